"""Published PyTorch parameters <-> ours: which array is which, and how each is laid out.

For a published network write a function that walks our tree of parameters (or of their shapes, as
`jax.eval_shape` gives them) and returns one `Entry` for each array; see `convert.ddgan`. The tree
says which parts there are (biases, shortcuts, attention): nothing is guessed from a file. With the
entries, `to_params` reads such a file and `to_arrays` writes one.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from flax import traverse_util

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import PyTree

Arrays = Mapping[str, np.ndarray]
Tree = Mapping[str, Any]


class Layout(NamedTuple):
    """How an array is turned to be ours, and back; the values stay."""

    ours: Callable[[np.ndarray], np.ndarray]
    theirs: Callable[[np.ndarray], np.ndarray]


LAYOUTS = {
    "same": Layout(lambda x: x, lambda x: x),
    # Of a grouped convolution I is the inputs of one group, in both.
    "conv": Layout(lambda x: x.transpose(2, 3, 1, 0), lambda x: x.transpose(3, 2, 0, 1)),  # OIHW
    "dense": Layout(lambda x: x.T, lambda x: x.T),  # O I <-> I O
    "pointwise": Layout(lambda x: x[:, :, 0, 0].T, lambda x: x.T[:, :, None, None]),  # O I 1 1, I O
}


class Entry(NamedTuple):
    """One array of a network."""

    name: str  # in the PyTorch file
    path: tuple[str, ...]  # in our tree
    layout: str  # a key of LAYOUTS


def layer(name: str, path: str, tree: Tree, *, pointwise: bool = False) -> tuple[Entry, ...]:
    """The entries of one convolution, dense layer or norm: its weight, and its bias if it has one.

    Args:
      name: of the PyTorch module; its arrays are `NAME.weight` and `NAME.bias`.
      path: of our layer, such as "down_0_block_1/norm_0/style".
      tree: the parameters that it lies in, or their shapes.
      pointwise: their layer is a 1x1 convolution, ours is dense.
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


def to_params(arrays: Arrays, entries: Sequence[Entry], abstract: PyTree) -> PyTree:
    """Our parameters from the arrays of a PyTorch file.

    Args:
      arrays: by name, in PyTorch's layouts.
      entries: one for each parameter.
      abstract: the parameters or their shapes and dtypes (all float32, as a rule; float16 arrays
        are widened).

    Raises:
      UserError: the first array, in the order of `entries`, that is missing, of another shape or
        no float; or an array that has no entry.
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
                "checkpoint is of another architecture"
            )
        found = np.asarray(arrays[entry.name])
        widens = found.dtype.kind == "f" and np.can_cast(found.dtype, leaf.dtype)
        if found.shape != shape or not widens:
            raise UserError(
                f"array {entry.name!r} is {found.dtype} {found.shape}, {leaf.dtype} {shape} is "
                "needed: the checkpoint is of another architecture"
            )
        flat[entry.path] = np.ascontiguousarray(layout.ours(found), leaf.dtype)
    known = {entry.name for entry in entries}
    if extra := [name for name in arrays if name not in known]:
        raise UserError(
            f"{len(extra)} arrays have no place in this architecture, {extra[0]!r} "
            f"{np.shape(arrays[extra[0]])} among them"
        )
    return traverse_util.unflatten_dict(flat)


def to_arrays(params: PyTree, entries: Sequence[Entry]) -> dict[str, np.ndarray]:
    """The arrays of a PyTorch file, in the order of `entries`, from our parameters."""
    ours = _by_path(params, entries)
    return {
        e.name: np.ascontiguousarray(LAYOUTS[e.layout].theirs(np.asarray(ours[e.path])))
        for e in entries
    }


def _by_path(tree: PyTree, entries: Sequence[Entry]) -> Mapping[tuple[str, ...], Any]:
    """The leaves of `tree`; checks that `entries` has each once, as only a mistake of ours breaks.

    Raises:
      ValueError: a path that is missing, unknown or there twice, or a name that is there twice.
    """
    flat = traverse_util.flatten_dict(tree)
    paths, names = [e.path for e in entries], [e.name for e in entries]
    if odd := set(paths) ^ set(flat):
        raise ValueError(f"entries and parameters differ in {'/'.join(min(odd))}, {len(odd)} paths")
    if len(set(paths)) < len(paths) or len(set(names)) < len(names):
        raise ValueError("two entries have the same name or path")
    return flat
