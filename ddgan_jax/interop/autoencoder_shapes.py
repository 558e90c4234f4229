"""The architecture of latent diffusion's published autoencoder, from its arrays.

Names and shapes say everything but the size of the images and whether the output goes through tanh.
"""

import itertools
from typing import Any

from ddgan_jax.core.errors import UserError
from ddgan_jax.interop.names import Arrays

_CODES = "quantize.embedding.weight"


def describe_autoencoder(arrays: Arrays, height: int) -> dict[str, Any]:
    """Fields of the config of the autoencoder that a file holds.

    Args:
      arrays: the arrays of the file, by their published names; shapes suffice.
      height: height of the images, by which the config names levels with attention.

    Returns:
      `autoencoder.width`, `autoencoder.multipliers`, `autoencoder.blocks`,
      `autoencoder.attention`, `autoencoder.latent_channels`, `autoencoder.gaussian` and
      `autoencoder.codes`.

    Raises:
      UserError: the arrays are not those of such an autoencoder.
    """
    shapes = {name: array.shape for name, array in arrays.items()}
    levels = _count(shapes, "encoder.down.{}.block.0.conv1.weight")
    needed = ("encoder.conv_in.weight", "quant_conv.weight", "post_quant_conv.weight")
    if not levels or any(len(shapes.get(name, ())) != 4 for name in needed):
        raise UserError("it has no arrays of an autoencoder (encoder.conv_in.weight, ...)")
    width, latent_channels = (shapes[name][i] for name, i in zip(needed[::2], (0, 1), strict=True))
    outputs = [shapes[f"encoder.down.{n}.block.0.conv1.weight"][0] for n in range(levels)]
    if any(features % width for features in outputs):
        raise UserError("its levels are no multiples of its width: it has another architecture")
    return {
        "autoencoder.width": width,
        "autoencoder.multipliers": tuple(features // width for features in outputs),
        "autoencoder.blocks": _count(shapes, "encoder.down.0.block.{}.conv1.weight"),
        "autoencoder.attention": tuple(
            height >> n for n in range(levels) if f"encoder.down.{n}.attn.0.q.weight" in shapes
        ),
        "autoencoder.latent_channels": latent_channels,
        "autoencoder.gaussian": shapes["quant_conv.weight"][0] == 2 * latent_channels,
        "autoencoder.codes": shapes[_CODES][0] if _CODES in shapes else 0,
    }


def _count(shapes: dict[str, tuple[int, ...]], name: str) -> int:
    """How many of name.format(0), name.format(1), ... are there."""
    return next(n for n in itertools.count() if name.format(n) not in shapes)
