"""PyTorch-named arrays of DDGAN's generator and discriminators -> parameters of our networks.

Pure functions over `{name: array}` in PyTorch's layouts (convolutions O I H W, Dense out x in; the
1x1 "NIN" layers of the generator's attention are in x out). The generator's modules are numbered
in order of construction, so the map walks the same U-Net in the same order.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from ddgan_jax.errors import UserError

Arrays = Mapping[str, np.ndarray]
Tree = dict[str, object]


class _Reader:
    """Hands out arrays by name and remembers which were read, so that none is forgotten."""

    def __init__(self, arrays: Arrays):
        self.arrays = dict(arrays)
        self.unread = set(arrays)

    def __call__(self, name: str) -> np.ndarray:
        if name not in self.arrays:
            raise UserError(f"array {name!r} is missing: the checkpoint has another architecture")
        self.unread.discard(name)
        return np.asarray(self.arrays[name])

    def conv(self, name: str) -> Tree:
        layer: Tree = {"kernel": self(f"{name}.weight").transpose(2, 3, 1, 0)}
        if f"{name}.bias" in self.arrays:
            layer["bias"] = self(f"{name}.bias")
        return layer

    def dense(self, name: str) -> Tree:
        return {"kernel": self(f"{name}.weight").T, "bias": self(f"{name}.bias")}

    def nin(self, name: str) -> Tree:
        return {"kernel": self(f"{name}.W"), "bias": self(f"{name}.b")}

    def norm(self, name: str) -> Tree:
        return {"norm": {"scale": self(f"{name}.weight"), "bias": self(f"{name}.bias")}}

    def finish(self, tree: Tree) -> Tree:
        if self.unread:
            raise UserError(
                f"{len(self.unread)} arrays have no place in this architecture, "
                f"{sorted(self.unread)[0]!r} among them"
            )
        return tree


def generator_params(
    arrays: Arrays, *, multipliers: Sequence[int], blocks: int, attention: Sequence[int], size: int
) -> Tree:
    """Parameters of `networks.ncsnpp.NCSNpp` from the published generator's arrays.

    Args:
      arrays: `all_modules.N...` and `z_transform.N...`, without a `module.` prefix.
      multipliers, blocks, attention: as in `NCSNpp`.
      size: height of the image, to know where attention lies.

    Raises:
      UserError: an array is missing or left over.
    """
    read = _Reader(arrays)
    tree: Tree = {}
    counter = iter(range(10_000))

    def module() -> str:
        return f"all_modules.{next(counter)}"

    def res_block() -> Tree:
        name = module()
        block: Tree = {
            f"norm_{i}": {"style": read.dense(f"{name}.GroupNorm_{i}.style")} for i in (0, 1)
        }
        block |= {f"conv_{i}": read.conv(f"{name}.Conv_{i}") for i in (0, 1)}
        block["time"] = read.dense(f"{name}.Dense_0")
        if f"{name}.Conv_2.weight" in arrays:
            block["shortcut"] = read.conv(f"{name}.Conv_2")
        return block

    def attention_block() -> Tree:
        name = module()
        layers = {k: read.nin(f"{name}.NIN_{i}") for i, k in enumerate(("q", "k", "v", "out"))}
        return {"norm": read.norm(f"{name}.GroupNorm_0"), **layers}

    linear = sorted(
        int(k.split(".")[1]) for k in arrays if k.startswith("z_transform.") and ".weight" in k
    )
    for i, number in enumerate(linear):
        tree[f"latent_{i}"] = read.dense(f"z_transform.{number}")
    tree["time_0"], tree["time_1"] = read.dense(module()), read.dense(module())
    tree["conv_in"] = read.conv(module())
    last = len(multipliers) - 1
    for level in range(last + 1):
        attends = size // 2**level in attention
        for i in range(blocks):
            tree[f"down_{level}_block_{i}"] = res_block()
            if attends:
                tree[f"down_{level}_attention_{i}"] = attention_block()
        if level < last:
            tree[f"down_{level}_resample"] = res_block()
            tree[f"pyramid_{level}"] = read.conv(f"{module()}.Conv2d_0")
    tree["middle_block_0"] = res_block()
    tree["middle_attention"] = attention_block()
    tree["middle_block_1"] = res_block()
    for level in range(last, -1, -1):
        for i in range(blocks + 1):
            tree[f"up_{level}_block_{i}"] = res_block()
        if size // 2**level in attention:
            tree[f"up_{level}_attention"] = attention_block()
        if level > 0:
            tree[f"up_{level}_resample"] = res_block()
    tree["norm_out"] = read.norm(module())
    tree["conv_out"] = read.conv(module())
    return read.finish(tree)


def discriminator_params(arrays: Arrays) -> Tree:
    """Parameters of `networks.resblock.ResBlockDiscriminator` from a published *small* or *large*.

    Raises:
      UserError: an array is missing or left over.
    """
    read = _Reader(arrays)
    tree: Tree = {
        "time_0": read.dense("t_embed.main.0"),
        "time_1": read.dense("t_embed.main.2"),
        "conv_in": read.conv("start_conv"),
        "conv_out": read.conv("final_conv"),
        "out": read.dense("end_linear"),
    }
    block = 1
    while f"conv{block}.conv1.0.weight" in arrays:
        name = f"conv{block}"
        tree[f"block_{block - 1}"] = {
            "conv_0": read.conv(f"{name}.conv1.0"),
            "conv_1": read.conv(f"{name}.conv2.0"),
            "time": read.dense(f"{name}.dense_t1"),
            "shortcut": read.conv(f"{name}.skip.0"),
        }
        block += 1
    return read.finish(tree)
