"""Names of the arrays of WDDGAN's published generators, as entries of `names`.

Its discriminators are DDGAN's, see `ddgan`.
"""

from ddgan_jax.interop import ddgan
from ddgan_jax.interop.names import Entry, Tree, layer


def up_block(name: str, path: str, tree: Tree) -> tuple[Entry, ...]:
    """Entries of the `networks.wavelet_ncsnpp.HaarUp` at `path`, whose PyTorch module is `name`."""
    return ddgan.res_block(name, path, tree) + layer(f"{name}.convH_0", f"{path}/bands", tree)


def generator_entries(tree: Tree) -> tuple[Entry, ...]:
    """Entries of a `WaveletNCSNpp`, or of the `NCSNpp` that was published for CIFAR-10.

    Args:
      tree: the network's parameters, or their shapes.
    """
    if not any("bands" in block for block in tree.values()):
        return ddgan.generator_entries(tree)
    return ddgan.generator_entries(tree, up_block=up_block, pyramid="")
