"""The architecture of a published network of DDGAN, WDDGAN or LDDGAN, from its arrays.

Names and shapes of a generator say everything but the size of the images and the number of
diffusion steps; those of a discriminator do not say which blocks halve the resolution.
"""

import itertools
from collections import defaultdict
from typing import Any

from ddgan_jax.core.errors import UserError
from ddgan_jax.interop.names import Arrays

_KINDS = {"Conv_0.weight": "block", "NIN_0.W": "attention", "Conv2d_0.weight": "pyramid"}


def describe_generator(arrays: Arrays, height: int) -> dict[str, Any]:
    """Fields of the config of the generator that a file holds.

    Args:
      arrays: the arrays of the file, by their published names; shapes suffice.
      height: height of the generator's input, by which the config names levels with attention.

    Returns:
      `latent_size` and `gen.network`, `gen.width`, `gen.multipliers`, `gen.blocks`,
      `gen.attention`, `gen.z_width` and `gen.z_layers`.

    Raises:
      UserError: the arrays are not those of such a generator.
    """
    modules = _modules(arrays)
    kinds = [_kind(modules.get(i, {})) for i in range(len(modules))]
    if kinds[:3] != ["dense", "dense", "pyramid"] or "norm" not in kinds:
        raise UserError("it has no arrays of a DDGAN generator (all_modules.0.weight, ...)")
    end = kinds.index("norm")
    levels: list[list[int]] = [[]]  # on the way down; the last one goes on with the way up
    for i in range(3, end):
        if kinds[i] == "pyramid":
            levels.append([])
        else:
            levels[-1].append(i)
    blocks = [sum(kinds[i] == "block" for i in level) for level in levels]
    # A level ends with a block that halves the resolution. The last one has its blocks, two in the
    # middle and, on the way up, one more block at every level and one that doubles the resolution.
    count = blocks[0] - 1 if len(levels) > 1 else (blocks[0] - 3) // 2
    up = len(levels) * (count + 1) + len(levels) - 1
    if count < 1 or blocks != [*[count + 1] * (len(levels) - 1), count + 2 + up]:
        raise UserError(
            f"blocks at its levels are {blocks}: the checkpoint has another architecture"
        )
    width = modules[0]["weight"][1]
    outputs = [modules[level[0]]["Conv_0.weight"][0] for level in levels]
    mapping = sorted(
        name for name in arrays if name.startswith("z_transform.") and "weight" in name
    )
    if any(features % width for features in outputs) or not mapping:
        raise UserError("its levels are no multiples of its width, or it has no latent")
    z_width, latent_size = arrays["z_transform.1.weight"].shape
    haar = any("convH_0.weight" in names for names in modules.values())
    return {
        "latent_size": latent_size,
        "gen.network": "wavelet_ncsnpp" if haar else "ncsnpp",
        "gen.width": width,
        "gen.multipliers": tuple(features // width for features in outputs),
        "gen.blocks": count,
        "gen.attention": tuple(
            height >> n for n, level in enumerate(levels) if kinds[level[1]] == "attention"
        ),
        "gen.z_width": z_width,
        "gen.z_layers": len(mapping) - 1,
    }


def describe_discriminator(arrays: Arrays) -> dict[str, Any]:
    """Fields of the config of the discriminator that a file holds.

    Args:
      arrays: the arrays of the file, by their published names; shapes suffice.

    Returns:
      `disc.width`, `disc.multipliers`, `disc.t_width` and, for the two published kinds,
      `disc.downsample`: the first block of *small* has the width of its input and keeps the
      resolution, that of *large* doubles the width, and all other blocks halve the resolution.
      {} for arrays of another network.
    """
    shapes = {name: array.shape for name, array in arrays.items()}
    blocks = next(n for n in itertools.count() if f"conv{n + 1}.conv1.0.weight" not in shapes)
    first, time = shapes.get("start_conv.weight", ()), shapes.get("t_embed.main.0.weight", ())
    if not (blocks and first and time):
        return {}
    width = first[0] // 2
    outputs = [shapes[f"conv{n + 1}.conv1.0.weight"][0] for n in range(blocks)]
    if width < 1 or any(features % width for features in outputs):
        return {}
    multipliers = tuple(features // width for features in outputs)
    kinds = {2: (False, *[True] * (blocks - 1)), 4: (True,) * blocks}
    return {
        "disc.width": width,
        "disc.multipliers": multipliers,
        "disc.t_width": time[0],
        **({"disc.downsample": kinds[multipliers[0]]} if multipliers[0] in kinds else {}),
    }


def _modules(arrays: Arrays) -> dict[int, dict[str, tuple[int, ...]]]:
    """Shapes by name within each module of the list `all_modules`."""
    modules: dict[int, dict[str, tuple[int, ...]]] = defaultdict(dict)
    for name, array in arrays.items():
        first, _, rest = name.partition(".")
        number, _, inner = rest.partition(".")
        if first == "all_modules" and number.isdecimal() and int(number) < len(arrays):
            modules[int(number)][inner] = array.shape
    return modules


def _kind(names: dict[str, tuple[int, ...]]) -> str:
    """Kind of a module; a convolution alone is one of the input pyramid, as in WDDGAN."""
    for name, kind in _KINDS.items():
        if name in names:
            return kind
    return {1: "norm", 2: "dense", 4: "pyramid"}.get(len(names.get("weight", ())), "")
