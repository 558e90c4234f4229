"""Registry entries of networks, and `build_network`: a section of a config -> a Flax module.

A section such as `config.gen` is {"network": name, attribute: value, ...}. The name selects a
registry entry; the rest are attributes of the entry's module.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

import jax.numpy as jnp
from ml_collections import ConfigDict

from ddgan_jax.config import lookup
from ddgan_jax.core.errors import UserError, nearest
from ddgan_jax.core.types import Shape


def no_attributes(shape: Shape) -> dict[str, Any]:
    """`Network.from_shape` of a network with no attribute that depends on the data."""
    del shape
    return {}


def channels_of(shape: Shape) -> dict[str, Any]:
    """`Network.from_shape` of a network with the attribute `channels`, the data's last axis."""
    return {"channels": shape[-1]}


def not_images(shape: Shape) -> str:
    """What to say of data that are no images, for `Network.fits`; "" for images."""
    if len(shape) != 3:
        return f"takes images; for data of shape {shape} 'mlp' is needed"
    return ""


def square_images(shape: Shape) -> dict[str, int]:
    """`Network.from_shape` of a network with the attributes `channels` and `resolution`."""
    return {"channels": shape[-1], "resolution": shape[0]}


def fits_powers_of_two(module: object, shape: Shape) -> str:
    """`Network.fits` of a network for square images of 8, 16, 32, ... pixels."""
    del module
    if len(shape) == 3 and shape[0] == shape[1] >= 8 and shape[0].bit_count() == 1:
        return ""
    sizes = "square images of 8x8, 16x16, 32x32, ... are needed"
    return f"does not take data of shape {'x'.join(map(str, shape))}; {sizes}"


def fits_any(module: Any, shape: Shape) -> str:
    """`Network.fits` of a network that takes data of any shape."""
    del module, shape
    return ""


def fits_images(halvings: Callable[[Any], int]) -> Callable[[Any, Shape], str]:
    """`Network.fits` of a network that halves the resolution `halvings(module)` times."""

    def fits(module: Any, shape: Shape) -> str:
        if refused := not_images(shape):
            return refused
        count = halvings(module)
        if shape[0] % 2**count or shape[1] % 2**count:
            return (
                f"halves its inputs {count} times; heights and widths that are multiples of "
                f"{2**count} are needed, config.data.image_size gives {shape[0]}x{shape[1]}"
            )
        return ""

    return fits


class Network(NamedTuple):
    """A network as configs name it.

    Attributes:
      module: the Flax module class.
      from_shape: shape of one example -> the attributes that follow from the data.
      fits: (module, shape) -> "" if the module takes data of this shape, or the reason why not, to
        follow "config.gen.network is 'ncsnpp', which ".
      consistent: module -> "" if its attributes agree with each other, or the problem, to follow
        "config.disc.".
      stddev_group: module -> group size of its minibatch standard deviation; 1: it has none.
      styles: whether it is a `core.types.StyleGenerator`; it has the attribute `classes` then.
      latent: whether a generator uses its latent z, and so the class that is appended to it.
    """

    module: Callable[..., Any]
    from_shape: Callable[[Shape], dict[str, Any]] = no_attributes
    fits: Callable[[Any, Shape], str] = fits_any
    consistent: Callable[[Any], str] = lambda module: ""
    stddev_group: Callable[[Any], int] = lambda module: 1
    styles: bool = False
    latent: bool = True


_POSITIVE = ("width", "t_width", "z_width", "blocks", "group", "groups", "heads", "patch")
_LAYERS = ("blocks", "layers", "z_layers")
_MOST_LAYERS = 1024  # each takes milliseconds to trace


def build_network(
    config: ConfigDict, section: str, networks: Mapping[str, Network], shape: Shape, **given: Any
) -> Any:
    """Build the Flax module that `config.<section>` describes.

    Args:
      config: the whole config.
      section: "gen", "disc" or "autoencoder".
      networks: registry in which `network` is looked up; "module:attribute" names one elsewhere.
      shape: shape of one example in the space that the network works in.
      **given: attributes set by the method; the config cannot set them.

    Returns:
      The module, with the compute dtype `config.dtype`.

    Raises:
      UserError: an unknown network or attribute, a missing attribute, an attribute of the wrong
        type, or a network that takes no such data, or no latent where there is one.
    """
    described = dict(config[section].items())
    name = described.pop("network", None)
    entry = lookup(f"{section}.network", str(name), networks, Network)
    given = {"dtype": jnp.dtype(config.dtype), **entry.from_shape(shape), **given}
    module = _module(section, str(name), entry.module, described, given)
    if section == "gen" and not entry.latent:
        _check_no_latent(config, str(name))
    if problem := entry.consistent(module):
        raise UserError(f"config.{section}.{problem}")
    if problem := entry.fits(module, shape):
        raise UserError(f"config.{section}.network is {name!r}, which {problem}")
    _check_batch(config, entry.stddev_group(module))
    return module


def ends_with_tanh(config: ConfigDict, networks: Mapping[str, Network]) -> bool:
    """Whether the output of the generator that `config.gen` describes goes through tanh.

    Raises:
      UserError: an unknown network.
    """
    if "gen" not in config:
        return False
    module = lookup("gen.network", str(config.gen.get("network")), networks, Network).module
    field = getattr(module, "__dataclass_fields__", {}).get("tanh")
    return bool(config.gen.get("tanh", field is not None and field.default is True))


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
        if not _has_type(value, hints[key]):
            raise UserError(f"config.{section}.{key} is {value!r}; {_words(hints[key])} is needed")
        if allowed := _out_of_range(key, value, hints[key]):
            raise UserError(f"config.{section}.{key} is {value!r}; {allowed} is needed")
    attributes = {k: tuple(v) if isinstance(v, list) else v for k, v in described.items()} | given
    for field in dataclasses.fields(cls):
        if field.name not in attributes and _is_required(field):
            allowed = _words(hints[field.name])
            raise UserError(f"config.{section}.{field.name} is missing; {allowed} is needed")
    return cls(**attributes)


def _out_of_range(key: str, value: Any, hint: Any) -> str:
    """What is allowed, if `value` of the type `hint` is not; "" if it is."""
    if hint is int and key in _POSITIVE and value < 1:
        return "a positive integer"
    if hint is int and key in _LAYERS and value > _MOST_LAYERS:
        return f"an integer up to {_MOST_LAYERS}"
    if hint is float and key == "dropout" and not 0 <= value < 1:
        return "a number in [0, 1)"
    return ""


def _check_no_latent(config: ConfigDict, network: str) -> None:
    for field, what in (("classes", "classes"), ("latent_size", "latent")):
        if config.get(field, 0):
            raise UserError(
                f"config.gen.network is {network!r}, which takes no {what}; another network, or "
                f"config.{field}=0, is needed"
            )


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is field.default_factory is dataclasses.MISSING


def _check_batch(config: ConfigDict, group: int) -> None:
    turns = config.get("adversarial", {}).get("disc_steps", 1)
    part = config.train.batch_size // config.train.accumulate // turns
    if part > group and part % group:
        name = "batch_size / accumulate" + (" / adversarial.disc_steps" if turns > 1 else "")
        raise UserError(
            f"config.train.{name} is {part}; for the minibatch standard deviation a multiple of "
            f"{group}, or fewer than {group}, is needed"
        )


_LARGEST = 2**20  # limit of widths, groups and numbers of layers


def _has_type(value: Any, hint: Any) -> bool:
    if get_origin(hint) is tuple:
        item = get_args(hint)[0]
        return isinstance(value, tuple | list) and all(_has_type(v, item) for v in value)
    if hint is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and math.isfinite(value)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST
    return isinstance(value, hint) if isinstance(hint, type) else True


def _words(hint: Any) -> str:
    if get_origin(hint) is tuple:
        return f"a tuple of {get_args(hint)[0].__name__}"
    names = {
        int: f"an integer in [0, {_LARGEST}]",
        float: "a finite number",
        bool: "true or false",
        str: "text",
    }
    return names.get(hint, str(hint))
