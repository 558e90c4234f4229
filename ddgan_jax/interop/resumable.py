"""Read what a published `content.pth` has for going on: weights of a network and Adam's moments.

netG_dict, netD_dict      weights by name
optimizerG, optimizerD    "state": i -> {"step", "exp_avg", "exp_avg_sq"} of the i-th weight
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ddgan_jax.interop.names import Arrays, plain_names
from ddgan_jax.interop.safetensors import is_safetensors
from ddgan_jax.interop.torch_file import Tensor, read_picked, tensors_of

_PARTS = ("weights", "exp_avg", "exp_avg_sq")


class Trained(NamedTuple):
    """A network as its optimizer left it; arrays by name, in the file's layouts.

    Attributes:
      weights: the weights.
      mean, square: Adam's moments; {} if the file has none that fit.
      steps: steps that Adam has taken; 0 without moments.
    """

    weights: Arrays
    mean: Arrays
    square: Arrays
    steps: int


def read_trained(path: Path, network: str, optimizer: str) -> Trained | None:
    """Read a network and the moments of its optimizer.

    Args:
      path: the PyTorch file.
      network, optimizer: keys of the file's dictionary.

    Returns:
      None if the file has no such network.

    Raises:
      UserError: see `torch_file.read_torch`; or two arrays have the same name.
    """
    if is_safetensors(path):
        return None
    counted: list[int] = []

    def pick(tree: object) -> Mapping[str, Tensor]:
        if not isinstance(tree, Mapping) or network not in tree:
            return {}
        weights = tensors_of(tree, (network,))
        picked = {f"weights/{name}": tensor for name, tensor in weights.items()}
        moments, steps = _moments(tree.get(optimizer), weights)
        counted.extend(steps)
        return {**picked, **moments}

    arrays = read_picked(path, pick)
    if not arrays:
        return None
    weights, mean, square = (
        plain_names({n[len(p) + 1 :]: a for n, a in arrays.items() if n.startswith(f"{p}/")})
        for p in _PARTS
    )
    steps = [*counted, int(np.asarray(arrays["step"]))] if "step" in arrays else counted
    if not mean or len(set(steps)) != 1:
        return Trained(weights, {}, {}, 0)
    return Trained(weights, mean, square, steps[0])


def _moments(
    optimizer: object, weights: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], list[int]]:
    """Adam's moments by name, and its steps where they are numbers; {} if they do not fit."""
    state = optimizer.get("state") if isinstance(optimizer, Mapping) else None
    if not isinstance(state, Mapping) or sorted(map(str, state)) != sorted(
        map(str, range(len(weights)))
    ):
        return {}, []
    found: dict[str, Tensor] = {}
    steps: list[int] = []
    for i, (name, weight) in enumerate(weights.items()):
        entry = state.get(i)
        for part in _PARTS[1:]:
            tensor = entry.get(part) if isinstance(entry, Mapping) else None
            if not isinstance(tensor, Tensor) or tensor.shape != weight.shape:
                return {}, []
            found[f"{part}/{name}"] = tensor
        step = entry["step"] if isinstance(entry, Mapping) else None
        if isinstance(step, Tensor) and step.shape == ():
            found["step"] = step
        elif isinstance(step, int):
            steps.append(step)
    return found, sorted(set(steps))
