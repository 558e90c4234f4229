"""Names of the arrays of DDGAN's published generator and discriminators, as entries of `names`.

The published generator numbers its modules in the order of their construction, so
`generator_entries` walks the U-Net in that order. Its 1x1 layers in attention, "NIN", have the
arrays `W` [in, out] and `b`.
"""

import itertools
from collections.abc import Callable

from ddgan_jax.interop.names import Entry, Tree, layer, layers

Entries = tuple[Entry, ...]
LayerEntries = Callable[[str, str, Tree], Entries]  # (PyTorch module, path, tree) -> entries


def res_block(name: str, path: str, tree: Tree) -> Entries:
    """Entries of the `networks.ncsnpp.ResBlock` at `path`, whose PyTorch module is `name`."""
    parts = {
        "GroupNorm_0.style": "norm_0/style",
        "Conv_0": "conv_0",
        "Dense_0": "time",
        "GroupNorm_1.style": "norm_1/style",
        "Conv_1": "conv_1",
    }
    if "shortcut" in tree[path]:
        parts["Conv_2"] = "shortcut"
    return layers(parts, tree, (f"{name}.", f"{path}/"))


def attention(name: str, path: str, tree: Tree) -> Entries:
    """Entries of the `networks.layers.Attention` at `path`, whose PyTorch module is `name`."""
    entries = layer(f"{name}.GroupNorm_0", f"{path}/norm/norm", tree)
    for i, ours in enumerate(("q", "k", "v", "out")):
        entries += (
            Entry(f"{name}.NIN_{i}.W", (path, ours, "kernel"), "same"),
            Entry(f"{name}.NIN_{i}.b", (path, ours, "bias"), "same"),
        )
    return entries


def generator_entries(
    tree: Tree, up_block: LayerEntries = res_block, pyramid: str = ".Conv2d_0"
) -> Entries:
    """Entries of a `networks.ncsnpp.NCSNpp`.

    Args:
      tree: its parameters, or their shapes.
      up_block: entries of the blocks that double the resolution.
      pyramid: name of the convolution within a PyTorch module of the input pyramid.
    """
    numbers = itertools.count()
    entries: Entries = ()

    def add(kind: LayerEntries, path: str, inner: str = "") -> None:
        nonlocal entries
        entries += kind(f"all_modules.{next(numbers)}{inner}", path, tree)

    levels = 1 + sum(name.startswith("pyramid_") for name in tree)
    blocks = sum(name.startswith("down_0_block_") for name in tree)
    for name in ("time_0", "time_1", "conv_in"):
        add(layer, name)
    for level in range(levels):
        for i in range(blocks):
            add(res_block, f"down_{level}_block_{i}")
            if f"down_{level}_attention_{i}" in tree:
                add(attention, f"down_{level}_attention_{i}")
        if level < levels - 1:
            add(res_block, f"down_{level}_resample")
            add(layer, f"pyramid_{level}", pyramid)
    add(res_block, "middle_block_0")
    add(attention, "middle_attention")
    add(res_block, "middle_block_1")
    for level in reversed(range(levels)):
        for i in range(blocks + 1):
            add(res_block, f"up_{level}_block_{i}")
        if f"up_{level}_attention" in tree:
            add(attention, f"up_{level}_attention")
        if level > 0:
            add(up_block, f"up_{level}_resample")
    add(layer, "norm_out/norm")
    add(layer, "conv_out")
    for i in range(sum(name.startswith("latent_") for name in tree)):
        # Module 0 is a pixel norm, and every layer is followed by an activation module.
        entries += layer(f"z_transform.{2 * i + 1}", f"latent_{i}", tree)
    return entries


def discriminator_entries(tree: Tree) -> Entries:
    """Entries of a `networks.resblock.ResBlockDiscriminator`, *small* or *large*.

    Args:
      tree: its parameters, or their shapes.
    """
    parts = {"t_embed.main.0": "time_0", "t_embed.main.2": "time_1", "start_conv": "conv_in"}
    for i in range(sum(name.startswith("block_") for name in tree)):
        parts |= {
            f"conv{i + 1}.conv1.0": f"block_{i}/conv_0",
            f"conv{i + 1}.conv2.0": f"block_{i}/conv_1",
            f"conv{i + 1}.dense_t1": f"block_{i}/time",
            f"conv{i + 1}.skip.0": f"block_{i}/shortcut",
        }
    parts |= {"final_conv": "conv_out", "end_linear": "out"}
    return layers(parts, tree)
