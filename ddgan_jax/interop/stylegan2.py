"""Names of the arrays of StyleGAN2's published networks, as entries of `names`.

Our parameters have the same tree of modules, so that names follow from paths.
"""

from collections.abc import Mapping

from flax import traverse_util

from ddgan_jax.interop.names import Entry, Tree

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
