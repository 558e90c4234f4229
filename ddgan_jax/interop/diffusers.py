"""Published weights of DDPM's U-Net as the Diffusers library stores them (`UNet2DModel`).

`google/ddpm-cifar10-32` and its relatives are a folder with `config.json` and
`diffusion_pytorch_model.safetensors`. Settings without parameters are read from `config.json`,
because weights with other ones would be decoded wrongly without an error.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from ddgan_jax.core.errors import UserError
from ddgan_jax.data import data_shape
from ddgan_jax.interop.names import Entry, Tree, layer
from ddgan_jax.io.read_json import read_json

Entries = tuple[Entry, ...]

_BLOCK = {
    "norm_0/norm": "norm1",
    "conv_0": "conv1",
    "time": "time_emb_proj",
    "norm_1/norm": "norm2",
    "conv_1": "conv2",
    "shortcut": "conv_shortcut",
}
_ATTENTION = {
    "norm/norm": "group_norm",
    "q": "to_q",
    "k": "to_k",
    "v": "to_v",
    "out": "to_out.0",
}
# Names of attention layers in files of Diffusers before 0.15.
_EARLIER = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
# Settings that have no parameters, with the only values that our network has.
_SETTINGS: Mapping[str, tuple[Any, ...]] = {
    "_class_name": ("UNet2DModel",),
    "act_fn": ("silu",),
    "attention_head_dim": (None,),
    "center_input_sample": (False,),
    "class_embed_type": (None,),
    "downsample_padding": (0,),
    "downsample_type": ("conv",),
    "flip_sin_to_cos": (False,),
    "freq_shift": (1,),
    "mid_block_scale_factor": (1,),
    "norm_eps": (1e-6,),
    "resnet_time_scale_shift": ("default",),
    "time_embedding_type": ("positional",),
    "upsample_type": ("conv",),
}
# What Diffusers assumes of a setting that the file does not have, where that is not what we have.
_ASSUMED = {
    "attention_head_dim": 8,
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "norm_eps": 1e-5,
    "norm_num_groups": 32,
}


def _part(name: str, path: str, tree: Tree, parts: Mapping[str, str]) -> Entries:
    entries: Entries = ()
    for ours, theirs in parts.items():
        if ours.split("/")[0] in tree[path]:
            entries += layer(f"{name}.{theirs}", f"{path}/{ours}", tree)
    return entries


def generator_entries(tree: Tree) -> Entries:
    """Entries of a `networks.ddpm_unet.DDPMUNet`.

    Args:
      tree: its parameters, or their shapes.
    """
    levels = 1 + max(int(path.split("_")[1]) for path in tree if path.startswith("down_"))
    outside = {"time_0": "time_embedding.linear_1", "time_1": "time_embedding.linear_2"}
    outside |= {"norm_out": "conv_norm_out"}
    entries: Entries = ()
    for path in tree:
        way, *rest = path.split("_")
        if way in ("down", "up"):
            # Theirs count levels in the order of the computation.
            level = int(rest[0]) if way == "down" else levels - 1 - int(rest[0])
            prefix = f"{way}_blocks.{level}"
        if way == "mid":
            prefix, number = "mid_block", "0" if rest[0] == "attention" else rest[1]
        elif way in ("down", "up"):
            number = rest[-1]
        else:
            ours = f"{path}/norm" if path == "norm_out" else path
            entries += layer(outside.get(path, path), ours, tree)
            continue
        if "resample" in rest:
            entries += layer(f"{prefix}.{way}samplers.0.conv", path, tree)
        elif "attention" in rest:
            entries += _part(f"{prefix}.attentions.{number}", path, tree, _ATTENTION)
        else:
            entries += _part(f"{prefix}.resnets.{number}", path, tree, _BLOCK)
    return entries


def current_names(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same arrays with the names that Diffusers gives to attention layers since 0.15."""
    found = {}
    for name, array in arrays.items():
        *path, layer_name, kind = ["", *name.split(".")]
        if "attentions" in path and layer_name in _EARLIER:
            name = ".".join([*path[1:], _EARLIER[layer_name], kind])
        found[name] = array
    return found


def check_settings(file: Path, config: ConfigDict) -> None:
    """Check that `config.json` beside the weights describes the network of a config.

    Raises:
      UserError: there is none, it is damaged, or a setting differs.
    """
    path = file.with_name("config.json")
    try:
        found = _ASSUMED | read_json(path)
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing: it has settings of the network that the weights do not show"
        ) from None
    for name, allowed in _SETTINGS.items():
        if name in found and found[name] not in allowed:
            raise UserError(f"{path}: {name} is {found[name]!r}; {allowed[0]!r} is needed")
    gen, size = config.gen, data_shape(config.data)[0]
    widths = [gen.width * m for m in gen.multipliers]
    attended = [size >> level in gen.attention for level in range(len(widths))]
    needed = {
        "norm_num_groups": gen.get("groups", 32),
        "layers_per_block": gen.blocks,
        "block_out_channels": widths,
        "down_block_types": [f"{'Attn' * here}DownBlock2D" for here in attended],
        "up_block_types": [f"{'Attn' * here}UpBlock2D" for here in reversed(attended)],
    }
    for name, value in needed.items():
        if found.get(name) != value:
            raise UserError(
                f"{path}: {name} is {found.get(name)!r}; config.gen describes a network with "
                f"{value!r}"
            )
