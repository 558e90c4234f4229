"""Convert parameters between published PyTorch files and this library: names and layouts.

Each published network has a function that walks the tree of our parameters, or of their shapes as
`jax.eval_shape` returns them, and returns one `Entry` per array; see `interop.ddgan`. The tree
decides which optional parts there are (biases, shortcuts, attention). With the entries, `to_params`
converts the arrays of a file to parameters, and `to_arrays` converts back.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from flax import traverse_util

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import PyTree

Arrays = Mapping[str, np.ndarray]
Tree = Mapping[str, Any]

WRAPPER = "module."  # prefix of every name that PyTorch's DistributedDataParallel adds
COMPILED = "_orig_mod."  # part of a name that torch.compile adds, at every compiled module


def plain_names(arrays: Arrays) -> dict[str, np.ndarray]:
    """The same arrays without what torch.compile and DistributedDataParallel add to their names.

    Raises:
      UserError: two arrays have the same name then.
    """
    names = {name: ".".join(p for p in name.split(".") if p != COMPILED[:-1]) for name in arrays}
    while names and all(name.startswith(WRAPPER) for name in names.values()):
        names = {old: name.removeprefix(WRAPPER) for old, name in names.items()}
    if len(set(names.values())) < len(names):
        raise UserError(f"two arrays have the same name without {COMPILED!r}")
    return {names[old]: array for old, array in arrays.items()}


class Layout(NamedTuple):
    """A permutation of an array's axes, in both directions.

    Attributes:
      ours: PyTorch's array -> ours.
      theirs: our array -> PyTorch's.
    """

    ours: Callable[[np.ndarray], np.ndarray]
    theirs: Callable[[np.ndarray], np.ndarray]


LAYOUTS = {
    "same": Layout(lambda x: x, lambda x: x),
    # (out, in, height, width) <-> (height, width, in, out); with groups, `in` is per group.
    "conv": Layout(lambda x: x.transpose(2, 3, 1, 0), lambda x: x.transpose(3, 2, 0, 1)),
    # (out, in) <-> (in, out)
    "dense": Layout(lambda x: x.T, lambda x: x.T),
    # (out, in, 1, 1) <-> (in, out)
    "pointwise": Layout(lambda x: x[:, :, 0, 0].T, lambda x: x.T[:, :, None, None]),
    # (channels, height, width) <-> (height, width, channels)
    "image": Layout(lambda x: x.transpose(1, 2, 0), lambda x: x.transpose(2, 0, 1)),
    # Dense layer of a flattened 4x4 image: (out, in 4 4) <-> (4 4 in, out)
    "dense_of_4x4": Layout(
        lambda x: x.reshape(len(x), -1, 4, 4).transpose(2, 3, 1, 0).reshape(-1, len(x)),
        lambda x: x.reshape(4, 4, -1, x.shape[1]).transpose(3, 2, 0, 1).reshape(x.shape[1], -1),
    ),
}


class Entry(NamedTuple):
    """One array of a network.

    Attributes:
      name: its name in the PyTorch file.
      path: its path in the tree of our parameters.
      layout: a key of `LAYOUTS`.
    """

    name: str
    path: tuple[str, ...]
    layout: str


def layer(name: str, path: str, tree: Tree, *, pointwise: bool = False) -> tuple[Entry, ...]:
    """Entries of one convolution, dense layer or norm: its weight, and its bias if it has one.

    Args:
      name: name of the PyTorch module; its arrays are `NAME.weight` and `NAME.bias`.
      path: path of our layer in `tree`, such as "down_0_block_1/norm_0/style".
      tree: our parameters, or their shapes.
      pointwise: whether PyTorch's layer is a 1x1 convolution where ours is dense.
    """
    keys = tuple(path.split("/"))
    ours = tree
    for key in keys:
        ours = ours[key]
    entries = []
    if "kernel" in ours:
        dense = "pointwise" if pointwise else "dense"
        layout = "conv" if len(ours["kernel"].shape) == 4 else dense
        entries.append(Entry(f"{name}.weight", (*keys, "kernel"), layout))
    if "scale" in ours:
        entries.append(Entry(f"{name}.weight", (*keys, "scale"), "same"))
    if "bias" in ours:
        entries.append(Entry(f"{name}.bias", (*keys, "bias"), "same"))
    return tuple(entries)


def layers(
    parts: Mapping[str, str], tree: Tree, prefixes: tuple[str, str] = ("", "")
) -> tuple[Entry, ...]:
    """Entries of several layers.

    Args:
      parts: name of the PyTorch module -> path of our layer.
      tree: our parameters, or their shapes.
      prefixes: what stands before all these names, and before all these paths.
    """
    before, above = prefixes
    found = (layer(before + name, above + path, tree) for name, path in parts.items())
    return tuple(entry for entries in found for entry in entries)


def to_params(arrays: Arrays, entries: Sequence[Entry], abstract: PyTree) -> PyTree:
    """Convert the arrays of a PyTorch file to parameters.

    Args:
      arrays: arrays by name, in PyTorch's layouts; floats of any precision.
      entries: one for each parameter.
      abstract: the parameters, or their shapes and dtypes.

    Returns:
      The tree of parameters.

    Raises:
      UserError: an array is missing, of another shape, not a float or not finite (the first in the
        order of `entries`), or an array has no entry.
    """
    needed = _by_path(abstract, entries)
    flat = {}
    for entry in entries:
        leaf, layout = needed[entry.path], LAYOUTS[entry.layout]
        shape = layout.theirs(np.broadcast_to(np.float32(0), leaf.shape)).shape
        if entry.name not in arrays:
            missing = sum(e.name not in arrays for e in entries)
            raise UserError(
                f"array {entry.name!r} {shape} is missing, and {missing - 1} others: the "
                "checkpoint has another architecture"
            )
        found = np.asarray(arrays[entry.name])
        if found.shape != shape or found.dtype.kind != "f":
            raise UserError(
                f"array {entry.name!r} is {found.dtype} {found.shape}, {leaf.dtype} {shape} is "
                "needed: the checkpoint has another architecture"
            )
        with np.errstate(over="ignore"):
            flat[entry.path] = np.asarray(layout.ours(found), leaf.dtype, order="C")
        if not np.isfinite(flat[entry.path]).all():
            raise UserError(f"array {entry.name!r} has values that are not finite as {leaf.dtype}")
    known = {entry.name for entry in entries}
    if extra := [name for name in arrays if name not in known]:
        raise UserError(
            f"{len(extra)} arrays are not in this architecture, among them {extra[0]!r} "
            f"{np.shape(arrays[extra[0]])}"
        )
    params: PyTree = traverse_util.unflatten_dict(flat)
    return params


def to_arrays(params: PyTree, entries: Sequence[Entry]) -> dict[str, np.ndarray]:
    """Convert parameters to the arrays of a PyTorch file, in the order of `entries`."""
    ours = _by_path(params, entries)
    return {
        e.name: np.asarray(LAYOUTS[e.layout].theirs(np.asarray(ours[e.path])), order="C")
        for e in entries
    }


def _by_path(tree: PyTree, entries: Sequence[Entry]) -> Mapping[tuple[str, ...], Any]:
    """The leaves of `tree` by path, after a check of `entries` against them.

    Raises:
      ValueError: a path that is missing, unknown or duplicate, or a duplicate name: a bug in the
        function that made the entries.
    """
    flat: Mapping[tuple[str, ...], Any] = traverse_util.flatten_dict(tree)
    paths, names = [e.path for e in entries], [e.name for e in entries]
    if odd := set(paths) ^ set(flat):
        raise ValueError(f"entries and parameters differ in {'/'.join(min(odd))}, {len(odd)} paths")
    if len(set(paths)) < len(paths) or len(set(names)) < len(names):
        raise ValueError("two entries have the same name or path")
    return flat
