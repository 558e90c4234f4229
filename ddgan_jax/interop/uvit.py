"""Weights of the published U-ViT (Bao et al. 2023) as the backbone of `networks.uvit.UViT`."""

from flax import traverse_util

from ddgan_jax.core.types import PyTree
from ddgan_jax.interop.names import Arrays, Entry, Tree, layer, layers, to_params

Entries = tuple[Entry, ...]
_STEERED_BY_Z = ("latent_", "style")  # layers that the published network has not


def _block(name: str, path: str, tree: Tree) -> Entries:
    """Entries of the `networks.uvit.Block` at `path` of `tree`, without the styles of its norms."""
    parts = {
        "norm1": "norm_0/norm",
        "attn.qkv": "qkv",
        "attn.proj": "attention_out",
        "norm2": "norm_1/norm",
        "mlp.fc1": "mlp_0",
        "mlp.fc2": "mlp_1",
    }
    if "skip" in tree[path]:
        parts["skip_linear"] = "skip"
    return layers(parts, tree, (f"{name}.", f"{path}/"))


def backbone_entries(tree: Tree) -> Entries:
    """Entries of a `networks.uvit.UViT` without the layers that the latent steers.

    Args:
      tree: its parameters, or their shapes.
    """
    entries: Entries = (Entry("pos_embed", ("positions",), "same"),)
    entries += layer("patch_embed.proj", "patches", tree)
    for i, path in enumerate(("t_0", "t_1")):
        if path in tree:
            entries += layer(f"time_embed.{2 * i}", path, tree)
    for i in range(sum(path.startswith("in_") for path in tree)):
        entries += _block(f"in_blocks.{i}", f"in_{i}", tree)
        entries += _block(f"out_blocks.{i}", f"out_{i}", tree)
    entries += _block("mid_block", "middle", tree)
    for name, path in {"norm": "norm_out", "decoder_pred": "pixels"}.items():
        entries += layer(name, path, tree)
    return entries + layer("final_layer", "conv_out", tree)


def with_backbone(params: PyTree, arrays: Arrays) -> PyTree:
    """Replace the backbone of a `UViT` by published weights.

    As long as the styles of the norms are those of the initialization, the network is then the
    published one for every z.

    Args:
      params: parameters of a `UViT` with `tanh=False`.
      arrays: the arrays of the published file, by name.

    Returns:
      The parameters.

    Raises:
      UserError: see `names.to_params`.
    """
    flat = traverse_util.flatten_dict(params)
    backbone = {
        path: leaf
        for path, leaf in flat.items()
        if not any(part.startswith(_STEERED_BY_Z) for part in path)
    }
    abstract = traverse_util.unflatten_dict(backbone)
    published = to_params(arrays, backbone_entries(abstract), abstract)
    result: PyTree = traverse_util.unflatten_dict(flat | traverse_util.flatten_dict(published))
    return result
