"""Names of the arrays of latent diffusion's published autoencoder, as entries of `names`."""

import itertools

from ddgan_jax.interop.names import Entry, Tree, layer, layers

Entries = tuple[Entry, ...]


def _block(name: str, path: str, tree: Tree) -> Entries:
    """Entries of the `networks.autoencoder.Block` at `path` of `tree`."""
    parts = {"norm1": "norm_0/norm", "conv1": "conv_0", "norm2": "norm_1/norm", "conv2": "conv_1"}
    if "shortcut" in tree[path]:
        parts["nin_shortcut"] = "shortcut"
    return layers(parts, tree, (f"{name}.", f"{path}/"))


def _attention(name: str, path: str, tree: Tree) -> Entries:
    """Entries of the `networks.layers.Attention` at `path` of `tree`."""
    parts = {"q": "q", "k": "k", "v": "v", "proj_out": "out"}
    maps = (layer(f"{name}.{k}", f"{path}/{v}", tree, pointwise=True) for k, v in parts.items())
    norm = layer(f"{name}.norm", f"{path}/norm/norm", tree)
    return norm + tuple(itertools.chain.from_iterable(maps))


def _half(name: str, tree: Tree) -> Entries:
    """Entries of a `networks.autoencoder.Encoder` or `Decoder` with the parameters `tree`."""
    entries: Entries = ()
    for path in tree:
        way, level, kind, number = (*path.split("_"), "", "", "")[:4]
        if way in ("down", "up"):
            if kind == "block":
                entries += _block(f"{way}.{level}.block.{number}", path, tree)
            elif kind == "attention":
                entries += _attention(f"{way}.{level}.attn.{number}", path, tree)
            else:
                entries += layer(f"{way}.{level}.{way}sample.conv", path, tree)
        elif path == "mid_attention":
            entries += _attention("mid.attn_1", path, tree)
        elif way == "mid":
            entries += _block(f"mid.block_{int(path[-1]) + 1}", path, tree)
        else:
            published = "conv_out" if path == "out" else path
            entries += layer(published, f"{path}/norm" if way == "norm" else path, tree)
    return tuple(Entry(f"{name}.{e.name}", (name, *e.path), e.layout) for e in entries)


def autoencoder_entries(tree: Tree) -> Entries:
    """Entries of a `networks.autoencoder.Autoencoder`.

    Args:
      tree: its parameters, or their shapes.
    """
    entries = _half("encoder", tree["encoder"]) + _half("decoder", tree["decoder"])
    entries += layer("quant_conv", "conv_latent", tree)
    entries += layer("post_quant_conv", "conv_code", tree)
    if "codebook" in tree:
        entries += (Entry("quantize.embedding.weight", ("codebook",), "same"),)
    return entries
