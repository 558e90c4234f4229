"""WDDGAN's published generators: names of their arrays, as entries of `names`, and their bands.

Its discriminators are DDGAN's, see `ddgan`.

The published code trains in the bands of one of two wavelet routines. For a block of pixels
a b / c d they give, after LL and before HH,

  haar              a-b+c-d, a+b-c-d: the default, and the order of `diffusion.haar`
  pytorch_wavelets  a+b-c-d, a-b+c-d: with --use_pytorch_wavelet

The routine is used between images and bands only. The wavelet transforms inside of the generator
have the order of `diffusion.haar` in all checkpoints.
"""

from typing import Any

import numpy as np

from ddgan_jax.core.types import PyTree
from ddgan_jax.interop import ddgan
from ddgan_jax.interop.names import Entry, Tree, layer

BANDS = ("haar", "pytorch_wavelets")
_WITH_PYTORCH_WAVELETS = ("cifar10", "stl10", "lsun")  # published checkpoints; not CelebA-HQ


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


def published_bands(data: str) -> str:
    """The order of bands, one of `BANDS`, of the checkpoint that was published for a data set.

    Args:
      data: `config.data.name`, such as "tfds:cifar10". For data without a published checkpoint it
        is the default of the published code.
    """
    return BANDS[any(name in data.lower() for name in _WITH_PYTORCH_WAVELETS)]


def reorder_bands(params: PyTree, bands: str) -> PyTree:
    """Permute channels, so that a generator of bands in one order takes and gives the other.

    Bands are channels of the input (of its convolution, and of the first one of the input pyramid)
    and of the output. Inside of the generator the pyramid of `WaveletNCSNpp` transforms each
    channel of the input, so that the permutation repeats in each of its four bands.

    Args:
      params: of the generator.
      bands: "haar": nothing changes; "pytorch_wavelets": between the published order and ours. The
        permutation is its own inverse.
    """
    if bands == BANDS[0]:
        return params
    count = params["conv_out"]["bias"].shape[0]
    order = np.arange(count).reshape(4, -1)[[0, 2, 1, 3]].reshape(-1)

    def inputs(layer: Any) -> Any:
        kernel = np.asarray(layer["kernel"])
        repeats = kernel.shape[2] // count
        index = (np.arange(repeats)[:, None] * count + order).reshape(-1)
        return {**layer, "kernel": kernel[:, :, index]}

    last = params["conv_out"]
    changed = {
        "conv_in": inputs(params["conv_in"]),
        "conv_out": {
            "kernel": np.asarray(last["kernel"])[..., order],
            "bias": np.asarray(last["bias"])[order],
        },
    }
    if "pyramid_0" in params:
        changed["pyramid_0"] = inputs(params["pyramid_0"])
    return {**params, **changed}
