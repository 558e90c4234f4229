"""Read network pickles of StyleGAN2's PyTorch versions, without executing anything in them.

StyleGAN2-ADA, StyleGAN3 and Diffusion-GAN save a dictionary of networks with `pickle`. A network is
a call of one function with the source code of its classes, its constructor's arguments, and its
arrays, which are bytes of PyTorch's older files. The published loader executes that code. This
reader knows the dictionaries and the arrays; all other names are inert, see `torch_file`.
"""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.interop.pickles import next_pickle
from ddgan_jax.interop.torch_file import (
    InertDict,
    Storage,
    Tensor,
    Unpickler,
    array_of,
    check_regular,
    read_storage,
)

LARGEST_NETWORKS = 2**32  # bytes; those of three networks for 1024x1024 have 3.6e8
_MOST = 10_000  # arrays, and modules
_SIZES = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels")  # attributes of a generator
_WANTED = ("G_ema", "G")  # keys of the generator: its moving average, and what trains


class NetworkFile(NamedTuple):
    """The generator of a network pickle.

    Attributes:
      arrays: parameters and buffers by name, in the file's layouts.
      arguments: keyword arguments of its constructor: dictionaries, numbers, texts, None. The
        sizes are there too where they were given by position.
      holds: what the arrays are, such as "moving average".
    """

    arrays: dict[str, np.ndarray]
    arguments: dict[str, Any]
    holds: str


class _Network(NamedTuple):
    """A call of `_reconstruct_persistent_obj`, not made; `meta` describes the object."""

    meta: object


class _Call:
    """Callable that makes a `_Network`; a pickle cannot set attributes of it."""

    __slots__ = ()

    def __call__(self, meta: object, *_: object) -> _Network:
        return _Network(meta)


class _Networks(Unpickler):
    """Unpickler that collects the storages which are inside of the pickle as bytes."""

    def __init__(self, data: bytes):
        super().__init__(data)
        self.data: dict[str, np.ndarray] = {}
        self.left = len(data)  # bytes of storages; each is in the file once

    def find_class(self, module: str, name: str) -> object:
        """See `torch_file.Unpickler`."""
        full = f"{module}.{name}"
        if full == "torch.storage._load_from_bytes":
            return self._storage
        if name == "_reconstruct_persistent_obj" and module.endswith("persistence"):
            return _Call()
        if name == "EasyDict":
            return InertDict
        return super().find_class(module, name)

    def _storage(self, data: bytes) -> Storage:
        self.left -= len(data)
        if self.left < 0:
            raise ValueError("its storages have more bytes than the file")
        found = read_storage(data)
        key = str(len(self.data))
        self.data[key] = found
        return Storage(key, found.dtype, len(found))


def is_network_pickle(path: Path) -> bool:
    """Whether a file begins as a pickle of protocol 2 to 5 that is no PyTorch file."""
    try:
        check_regular(path)
        with open(path, "rb") as file:
            start = file.read(16)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    is_pickle = len(start) > 2 and start[0] == 0x80 and 2 <= start[1] <= 5
    return is_pickle and start[2:4] != b"\x8a\x0a"  # the magic number of PyTorch's streams


def read_network(path: Path, *, raw: bool = False) -> NetworkFile:
    """Read the generator of a network pickle: its moving average, "G_ema".

    Args:
      path: the file.
      raw: read the weights that the optimizer updates, "G".

    Raises:
      UserError: the file is missing, damaged, too large or too deep, or has no such network.
    """
    try:
        check_regular(path)
        with open(path, "rb") as file:
            unpickler = _Networks(next_pickle(file, LARGEST_NETWORKS))
            tree = unpickler.load()
        key = _WANTED[raw]
        if not isinstance(tree, Mapping) or not isinstance(tree.get(key), _Network):
            raise ValueError(f"it has no network {key!r}")
        state = _state(tree[key])
        arguments = state.get("_init_kwargs")
        if not isinstance(arguments, Mapping):
            raise ValueError("its network does not say how it was made")
        tensors: dict[str, Tensor] = {}
        _collect(tree[key], "", tensors, itertools.count(1))
        arrays = {name: array_of(tensor, unpickler.data) for name, tensor in tensors.items()}
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # unpickling arbitrary bytes can raise anything
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        what = "not a network pickle of StyleGAN2, or damaged"
        raise UserError(f"{path}: {what}: {reason}") from error
    holds = "weights that the optimizer updates" if raw else "moving average"
    sizes = {name: state[name] for name in _SIZES if isinstance(state.get(name), int)}
    return NetworkFile(arrays, {**arguments, **sizes}, f"{holds} ({key})")


def _state(network: object) -> Mapping[str, Any]:
    """The attributes of a network's object."""
    meta = network.meta if isinstance(network, _Network) else None
    state = meta.get("state") if isinstance(meta, Mapping) else None
    if not isinstance(state, Mapping):
        raise ValueError("a module is not a network object")
    return state


def _collect(
    network: object, prefix: str, found: dict[str, Tensor], modules: Iterator[int]
) -> None:
    """Add the tensors of a module and of the modules in it to `found`, by dotted name.

    `modules` counts the modules, since a module may be in several others.
    """
    if next(modules) > _MOST:
        raise ValueError(f"it has more than {_MOST:,} modules")
    state = _state(network)
    for group in ("_parameters", "_buffers"):
        for name, tensor in dict(state.get(group) or {}).items():
            if tensor is None:
                continue
            if not isinstance(tensor, Tensor):
                raise ValueError(f"{prefix}{name} is not a tensor")
            found[f"{prefix}{name}"] = tensor
            if len(found) > _MOST:
                raise ValueError(f"it has more than {_MOST:,} arrays")
    for name, module in dict(state.get("_modules") or {}).items():
        _collect(module, f"{prefix}{name}.", found, modules)
