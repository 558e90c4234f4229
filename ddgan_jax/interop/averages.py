"""Read the weights of a published checkpoint: the moving averages where the file has them.

Files from which training resumes hold the weights that the optimizer updates, and their averages
elsewhere:

  DDGAN, WDDGAN, LDDGAN  `content.pth`: the optimizer keeps the average of parameter i as "ema" in
                         its state, optimizerG["state"][i]; `netG_dict` has the parameters in the
                         same order
  latent diffusion       `model.ckpt`, with use_ema: "model_ema." and the name without its dots
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ddgan_jax.interop.safetensors import is_safetensors, read_safetensors
from ddgan_jax.interop.torch_file import Tensor, read_picked, tensors_of

_LDM_AVERAGE = "model_ema."


class Published(NamedTuple):
    """The arrays of a published file.

    Attributes:
      arrays: by name, in the file's layouts.
      holds: what they are, such as "moving average".
    """

    arrays: dict[str, np.ndarray]
    holds: str


def read_published(
    path: Path, inside: Sequence[str], optimizers: Mapping[str, str], *, raw: bool
) -> Published:
    """Read the weights of a published file, or their moving averages if it has both.

    Args:
      path: the PyTorch file, or a `.safetensors`, which has no averages beside its weights.
      inside: keys of dictionaries that may hold the weights, see `torch_file.read_torch`.
      optimizers: such a key -> the key of the optimizer that keeps their averages.
      raw: read the weights that the optimizer updates.

    Raises:
      UserError: see `torch_file.read_torch`; or averages do not fit the weights.
    """
    plain = "as in the file, which does not say whether they are averaged"
    if is_safetensors(path):
        return Published(read_safetensors(path), plain)
    holds = ""

    def pick(tree: object) -> Mapping[str, Tensor]:
        nonlocal holds
        weights = tensors_of(tree, inside)
        averages = _in_optimizer(tree, weights, optimizers) or _beside(weights)
        own = {k: v for k, v in weights.items() if not k.startswith(_LDM_AVERAGE)}
        found = next((key for key in inside if isinstance(tree, Mapping) and key in tree), "")
        if averages and not raw:
            holds = "moving average, kept beside the weights"
            return {**own, **averages}
        beside = "" if averages else ", no moving average is beside them"
        resumable = found or averages
        holds = f"weights that the optimizer updates{beside}" if resumable else plain
        return own

    return Published(read_picked(path, pick), holds)


def _in_optimizer(
    tree: object, weights: Mapping[str, Tensor], optimizers: Mapping[str, str]
) -> dict[str, Tensor]:
    """The averages in the state of an optimizer; {} if there are none."""
    if not isinstance(tree, Mapping):
        return {}
    for key, name in optimizers.items():
        optimizer = tree.get(name)
        state = optimizer.get("state") if isinstance(optimizer, Mapping) else None
        if key not in tree or not isinstance(state, Mapping):
            continue
        kept = {
            i: entry["ema"]
            for i, entry in state.items()
            if isinstance(entry, Mapping) and isinstance(entry.get("ema"), Tensor)
        }
        if not kept:
            continue
        names = list(weights)
        fits = sorted(kept) == list(range(len(names)))
        if not fits or any(kept[i].shape != weights[k].shape for i, k in enumerate(names)):
            raise ValueError(
                f"the averages in {name!r} do not fit the weights in {key!r} "
                f"({len(kept)} averages, {len(names)} weights); --raw reads the weights"
            )
        return {k: kept[i] for i, k in enumerate(names)}
    return {}


def _beside(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Averages in the same dictionary, as latent diffusion names them; {} if there are none."""
    found = {name: _LDM_AVERAGE + name.replace(".", "") for name in weights}
    return {name: weights[average] for name, average in found.items() if average in weights}
