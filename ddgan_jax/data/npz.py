"""`npz:FILE`: the arrays `images` and `labels` of a NumPy archive, checked before they are read."""

from ddgan_jax.core.errors import UserError
from ddgan_jax.data.source import DataKind, Request, Source, array_source
from ddgan_jax.data.splits import check_split
from ddgan_jax.data.views import select
from ddgan_jax.io.read_npz import read_named_npz
from ddgan_jax.io.storage import local_path


def npz(path: str, split: str = "train") -> Source:
    """The arrays `images` and, if it is there, `labels` of an npz file.

    Args:
      path: the file; see `array_source` for the shapes of its arrays.
      split: "train" (all examples) or a part such as "train[:90%]".

    Raises:
      UserError: no such file, not an npz file, arrays that are not allowed, or another split.
    """
    return select(split, lambda name: _load(Request(argument=path, split=name)))


def _load(request: Request) -> Source:
    check_split(request.split, ("train",))
    name = f"npz:{request.argument}"
    field = f"config.data.name is {name!r}"
    arrays = read_named_npz(local_path(request.argument), ("images", "labels"), field)
    if "images" not in arrays:
        raise UserError(f"{field}; the file has no array 'images'")
    return array_source(name, arrays["images"], arrays.get("labels"))


NPZ = DataKind(_load, "FILE", "the arrays `images` and `labels` of a NumPy archive")
