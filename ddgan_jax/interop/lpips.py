"""Published weights of LPIPS-VGG v0.1 -> one .npz.

`python -m ddgan_jax.convert.lpips --vgg=vgg16.pth --heads=vgg.pth --out=lpips_vgg16.npz`, where
`--vgg` is torchvision's VGG16 for ImageNet and `--heads` the file weights/v0.1/vgg.pth of the LPIPS
project.
"""

import argparse
import itertools
import sys
from pathlib import Path

import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.interop.weight_files import (
    Arrays,
    check_arrays,
    content_hash,
    read_arrays,
    write_npz,
)
from ddgan_jax.networks.vgg import STAGES

NETWORK = "LPIPS-VGG v0.1"
_TORCH_INDEX = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)  # convolutions of `features`


def _widths() -> list[tuple[int, int]]:
    """(in, out) of each convolution."""
    outputs = [width for width, convolutions in STAGES for _ in range(convolutions)]
    return list(itertools.pairwise([3, *outputs]))


def shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the arrays of the .npz (convolutions H W I O)."""
    found: dict[str, tuple[int, ...]] = {}
    for i, (inputs, outputs) in enumerate(_widths()):
        found[f"VGG16_0/Conv_{i}/kernel"] = (3, 3, inputs, outputs)
        found[f"VGG16_0/Conv_{i}/bias"] = (outputs,)
    for i, (width, _) in enumerate(STAGES):
        found[f"NetLinLayer_{i}/Conv_0/kernel"] = (1, 1, width, 1)
    return found


def vgg_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of torchvision's VGG16 without its classifier (convolutions O I H W)."""
    found: dict[str, tuple[int, ...]] = {}
    for i, (inputs, outputs) in zip(_TORCH_INDEX, _widths(), strict=True):
        found |= {f"features.{i}.weight": (outputs, inputs, 3, 3), f"features.{i}.bias": (outputs,)}
    return found


def head_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the linear heads (O I H W)."""
    return {f"lin{i}.model.1.weight": (1, width, 1, 1) for i, (width, _) in enumerate(STAGES)}


def lpips_arrays(vgg: Arrays, heads: Arrays) -> dict[str, np.ndarray]:
    """Arrays of the .npz from those of torchvision's VGG16 and of the LPIPS heads."""
    arrays = {}
    for i, index in enumerate(_TORCH_INDEX):
        arrays[f"VGG16_0/Conv_{i}/kernel"] = vgg[f"features.{index}.weight"].transpose(2, 3, 1, 0)
        arrays[f"VGG16_0/Conv_{i}/bias"] = vgg[f"features.{index}.bias"]
    for i in range(len(STAGES)):
        head = heads[f"lin{i}.model.1.weight"]
        arrays[f"NetLinLayer_{i}/Conv_0/kernel"] = head.transpose(2, 3, 1, 0)
    return arrays


def main(argv: list[str] | None = None) -> int:
    """The command: one line."""
    parser = argparse.ArgumentParser("python -m ddgan_jax.convert.lpips", description=__doc__)
    parser.add_argument("--vgg", type=Path, required=True, help="torchvision's VGG16, .pth")
    parser.add_argument("--heads", type=Path, required=True, help="LPIPS v0.1 heads, vgg.pth")
    parser.add_argument("--out", type=Path, required=True, help="the .npz to write")
    args = parser.parse_args(argv)
    try:
        vgg, heads = read_arrays(args.vgg), read_arrays(args.heads)
        vgg = {k: v for k, v in vgg.items() if not k.startswith("classifier.")}
        check_arrays(vgg, vgg_shapes(), args.vgg, "torchvision's VGG16")
        check_arrays(heads, head_shapes(), args.heads, f"the heads of {NETWORK}")
        arrays = lpips_arrays(vgg, heads)
        write_npz(args.out, arrays)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{args.out}: {len(arrays)} arrays, weights {content_hash(arrays)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
