"""The arrays of WDDGAN's published generators, see `convert.names`; discriminators are DDGAN's."""

from ddgan_jax.interop import ddgan
from ddgan_jax.interop.names import Entry, Tree, layer


def up_block(name: str, path: str, tree: Tree) -> tuple[Entry, ...]:
    """Of `networks.wavelet_ncsnpp.HaarUp`: a residual block and what makes its high bands."""
    return ddgan.res_block(name, path, tree) + layer(f"{name}.convH_0", f"{path}/bands", tree)


def generator_entries(tree: Tree) -> tuple[Entry, ...]:
    """Of `WaveletNCSNpp` or, for CIFAR-10, of the `NCSNpp` whose parameters `tree` is."""
    if not any("bands" in block for block in tree.values()):
        return ddgan.generator_entries(tree)
    return ddgan.generator_entries(tree, up_block=up_block, pyramid="")
