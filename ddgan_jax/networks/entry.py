"""Registry entries of networks, and how a section of a config becomes a Flax module.

A section such as `config.gen` is {"network": name, attribute: value, ...}: the name chooses an
entry, the rest are attributes of its module.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

import jax.numpy as jnp
from ml_collections import ConfigDict

from ddgan_jax.config import lookup
from ddgan_jax.core.errors import UserError, nearest
from ddgan_jax.core.types import Shape


def nothing(shape: Shape) -> dict[str, Any]:
    """No attribute depends on the shape of the data."""
    del shape
    return {}


def channels_of(shape: Shape) -> dict[str, Any]:
    """The attribute `channels`, the last axis of the data."""
    return {"channels": shape[-1]}


def fits_any(module: Any, shape: Shape) -> str:
    """No requirement on the data: images of any size, and points."""
    del module, shape
    return ""


def fits_images(halvings: Callable[[Any], int]) -> Callable[[Any, Shape], str]:
    """The requirement of a network that halves its images `halvings(module)` times."""

    def fits(module: Any, shape: Shape) -> str:
        if len(shape) != 3:
            return f"needs images; data of shape {shape} needs 'mlp'"
        count = halvings(module)
        if shape[0] % 2**count or shape[1] % 2**count:
            return (
                f"halves its inputs {count} times; config.data.image_size gives inputs of "
                f"{shape[0]}x{shape[1]}, multiples of {2**count} are needed"
            )
        return ""

    return fits


class Network(NamedTuple):
    """What a config and the methods need to know of a network.

    Attributes:
      module: the Flax module class.
      from_shape: shape of one example -> the attributes that the data determine.
      fits: (module, shape) -> "" or the reason why it cannot take such data, in words that follow
        "config.gen.network is 'ncsnpp', which".
      consistent: module -> "" or what is wrong with its attributes, in words that follow
        "config.disc.".
      stddev_group: module -> samples in a group of the minibatch standard deviation; 1: none.
    """

    module: Callable[..., Any]
    from_shape: Callable[[Shape], dict[str, Any]] = nothing
    fits: Callable[[Any, Shape], str] = fits_any
    consistent: Callable[[Any], str] = lambda module: ""
    stddev_group: Callable[[Any], int] = lambda module: 1


_POSITIVE = ("width", "t_width", "z_width", "blocks", "group")


def build_network(
    config: ConfigDict, section: str, networks: Mapping[str, Network], shape: Shape, **given: Any
) -> Any:
    """The Flax module that `config.<section>` describes.

    Args:
      config: the whole config.
      section: "gen", "disc" or "autoencoder".
      networks: the registry that `network` is looked up in, besides "module:attribute".
      shape: of one example in the space that the network works in.
      **given: attributes that the method determines.

    Raises:
      UserError: unknown network or attribute, an attribute that is missing or of another type, or
        a network that cannot take such data.
    """
    described = dict(config[section].items())
    name = described.pop("network", None)
    entry = lookup(f"{section}.network", str(name), networks, Network)
    given = {"dtype": jnp.dtype(config.dtype), **entry.from_shape(shape), **given}
    module = _module(section, str(name), entry.module, described, given)
    if problem := entry.consistent(module):
        raise UserError(f"config.{section}.{problem}")
    if problem := entry.fits(module, shape):
        raise UserError(f"config.{section}.network is {name!r}, which {problem}")
    _check_batch(config, entry.stddev_group(module))
    return module


def _module(
    section: str, name: str, cls: Any, described: dict[str, Any], given: dict[str, Any]
) -> Any:
    hints = get_type_hints(cls)
    own = [k for k in cls.__dataclass_fields__ if k not in ("parent", "name", "dtype")]
    for key, value in described.items():
        if key not in own or key in given:
            raise UserError(
                f"config.{section}.{key} is unknown; network {name} has "
                f"{', '.join(k for k in own if k not in given)}{nearest(key, own)}"
            )
        if not _is_a(value, hints[key]):
            raise UserError(f"config.{section}.{key} is {value!r}; {_words(hints[key])} is needed")
        if key in _POSITIVE and value < 1:
            raise UserError(f"config.{section}.{key} is {value!r}; a positive integer is needed")
    attributes = {k: tuple(v) if isinstance(v, list) else v for k, v in described.items()}
    try:
        return cls(**attributes, **given)
    except TypeError as error:
        raise UserError(f"config.{section}: {error}") from None


def _check_batch(config: ConfigDict, group: int) -> None:
    part = config.train.batch_size // config.train.accumulate
    if part > group and part % group:
        raise UserError(
            f"config.train.batch_size / accumulate is {part}; the minibatch standard deviation "
            f"needs a multiple of {group} (or fewer than {group})"
        )


_LARGEST = 2**20  # no width, group or number of layers is larger


def _is_a(value: Any, hint: Any) -> bool:
    if get_origin(hint) is tuple:
        item = get_args(hint)[0]
        return isinstance(value, tuple | list) and all(_is_a(v, item) for v in value)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST
    return isinstance(value, hint) if isinstance(hint, type) else True


def _words(hint: Any) -> str:
    if get_origin(hint) is tuple:
        return f"a tuple of {get_args(hint)[0].__name__}"
    names = {
        int: f"an integer in [0, {_LARGEST}]",
        float: "a number",
        bool: "true or false",
        str: "text",
    }
    return names.get(hint, str(hint))
