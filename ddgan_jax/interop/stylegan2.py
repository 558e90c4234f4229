"""Names of the arrays of StyleGAN2's published networks, as entries of `names`.

Our parameters have the same tree of modules, so that names follow from paths.
"""

from collections.abc import Mapping

import numpy as np
from flax import traverse_util

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import PyTree
from ddgan_jax.interop.names import Arrays, Entry, Tree

_FILTER = np.outer([1, 3, 3, 1], [1, 3, 3, 1]).astype(np.float32) / 64
_W_AVERAGE, _NOISE, _FILTERS = "mapping.w_avg", ".noise_const", ".resample_filter"
_OTHERS = {"const": "image", "noise_strength": "same", "bias": "same"}


def entries(tree: Tree) -> tuple[Entry, ...]:
    """Entries of a `StyleGAN2Generator` or a `StyleGAN2Discriminator`.

    Args:
      tree: its parameters, or their shapes.
    """
    found = []
    flat: Mapping[tuple[str, ...], object] = traverse_util.flatten_dict(tree)
    for path, leaf in flat.items():
        *modules, last = path
        if last == "kernel":
            layout = "conv" if len(leaf.shape) == 4 else "dense"  # type: ignore[attr-defined]
            layout = "dense_of_4x4" if path[-3:] == ("b4", "fc", "kernel") else layout
        else:
            layout = _OTHERS[last]
        name = "weight" if last == "kernel" else last
        found.append(Entry(".".join([*modules, name]), path, layout))
    return tuple(found)


def _layer(name: str) -> tuple[int, str]:
    """Resolution and name of a layer of the synthesis network, in whose order noise is used."""
    _, block, convolution, _ = name.split(".")
    return int(block.removeprefix("b")), convolution


def without_buffers(arrays: Arrays) -> tuple[dict[str, np.ndarray], PyTree]:
    """(parameters, what our run folders keep as "styles") of a published generator.

    Raises:
      UserError: the average of w is missing, or images are resampled with another filter.
    """
    buffers = {k: v for k, v in arrays.items() if k == _W_AVERAGE or k.endswith((_NOISE, _FILTERS))}
    for name, array in buffers.items():
        same = array.shape == _FILTER.shape and np.allclose(array, _FILTER, atol=1e-6)
        if name.endswith(_FILTERS) and not same:
            raise UserError(f"array {name!r} is not the filter (1, 3, 3, 1), which is needed")
        if not np.isfinite(array).all():
            raise UserError(f"array {name!r} has values that are not finite")
    if _W_AVERAGE not in buffers:
        raise UserError(f"array {_W_AVERAGE!r} is missing: the checkpoint has another architecture")
    noise = sorted((name for name in buffers if name.endswith(_NOISE)), key=_layer)
    styles = {"w_average": buffers[_W_AVERAGE], "noise": [buffers[name] for name in noise]}
    return {k: v for k, v in arrays.items() if k not in buffers}, styles


def with_buffers(arrays: Arrays, styles: PyTree) -> dict[str, np.ndarray]:
    """`arrays` of a generator and its buffers, those of the filters included."""
    layers = sorted(
        (name for name in arrays if name.endswith(".noise_strength")),
        key=lambda name: _layer(name),
    )
    found = {name: np.asarray(array) for name, array in arrays.items()}
    for name, noise in zip(layers, styles["noise"], strict=True):
        layer = name.removesuffix(".noise_strength")
        found |= {layer + _NOISE: np.asarray(noise), layer + _FILTERS: _FILTER}
    blocks = {".".join(name.split(".")[:2]) for name in layers}
    found |= {block + _FILTERS: _FILTER for block in blocks}
    skips = [name.removesuffix(".weight") for name in arrays if name.endswith(".skip.weight")]
    found |= {skip + _FILTERS: _FILTER for skip in skips}
    found[_W_AVERAGE] = np.asarray(styles["w_average"])
    return found
