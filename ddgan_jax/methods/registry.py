"""The methods by name, and the steps from a config to a `Method`: complete, validate, build."""

import contextlib
from collections.abc import Iterator, Mapping

from ml_collections import ConfigDict

from ddgan_jax.config import BASE_FIELDS, Field, adam_fields, check, check_fields, flatten, lookup
from ddgan_jax.config.fields import complete, require
from ddgan_jax.config.packaged import packaged
from ddgan_jax.config.stored import with_current_names
from ddgan_jax.core.errors import UserError, described, nearest
from ddgan_jax.core.types import Method, Shape
from ddgan_jax.methods import (
    autoencoder,
    dddg,
    ddgan,
    ddpm,
    diffusion_gan,
    difgan,
    gan,
    projected_gan,
)
from ddgan_jax.methods.entry import Length, MethodEntry
from ddgan_jax.spaces import find_space

METHODS: dict[str, MethodEntry] = {
    "autoencoder": autoencoder.METHOD,
    "ddgan": ddgan.METHOD,
    "dddg": dddg.METHOD,
    "gan": gan.METHOD,
    "diffusion_gan": diffusion_gan.METHOD,
    "difgan": difgan.METHOD,
    "projected_gan": projected_gan.METHOD,
    "ddpm": ddpm.METHOD,
}
ONE_STEP = Length(1, 1)
BASE_SECTIONS = ("data.", "train.", "sample.", "eval.")  # no method adds fields to these


def find_method(config: ConfigDict) -> MethodEntry:
    """The entry of `config.method`.

    Raises:
      UserError: there is no such method, or its code may not be imported.
    """
    name = config.get("method")
    entry = lookup("method", name, METHODS, MethodEntry)
    if not (callable(entry.build) and isinstance(entry.fields, Mapping)):
        raise UserError(f"config.method is {name!r}; MethodEntry(a function, a table) is needed")
    return entry


def fields_of(config: ConfigDict) -> dict[str, Field]:
    """All declared fields of a config: base, method, optimizers and space.

    The attributes of networks are not among them; `networks.build_network` checks those.
    """
    method = find_method(config)
    fields = {**BASE_FIELDS, **method.fields}
    for role in method.roles:
        fields |= adam_fields(role)
    return {**fields, **find_space(config).fields}


def with_field(name: str) -> str:
    """A hint at the methods that have a field, and a config of one of them; "" if none has it."""
    owners = [method for method, entry in METHODS.items() if name in entry.fields]
    examples = [f"--config={owner}_digits" for owner in owners if f"{owner}_digits" in packaged()]
    return f"; methods that have it: {', '.join(owners)} ({examples[0]})" if examples else ""


def complete_config(config: ConfigDict) -> ConfigDict:
    """A copy with the defaults of the fields that `config` lacks, and the field names of today.

    Raises:
      UserError: an unknown method or space, or an unknown field of a base section.
    """
    config = complete(with_current_names(config), BASE_FIELDS)
    for name in flatten(config):  # before the method is looked up, which may be missing
        if name.startswith(BASE_SECTIONS) and name not in BASE_FIELDS:
            raise UserError(f"config.{name} is unknown{nearest(name, BASE_FIELDS)}")
    return complete(config, fields_of(config))


def validate(config: ConfigDict) -> ConfigDict:
    """`complete_config`, and a check of all that needs neither data nor devices.

    Raises:
      UserError: one line for the first field that is missing, unknown or not allowed.
    """
    config = complete_config(config)
    fields, flat = fields_of(config), flatten(config)
    sections = find_method(config).networks
    for name in flat:
        if name not in fields and name.split(".")[0] not in sections:  # networks check their own
            raise UserError(f"config.{name} is unknown{nearest(name, (*fields, *sections))}")
    check_fields(config, fields, f"method {config.method!r}")
    require(config, [f"{s}.network" for s in sections], f"method {config.method!r}")
    batch_size, parts = config.train.batch_size, config.train.accumulate
    allowed = f"a multiple of config.train.accumulate = {parts}"
    check(config, "train.batch_size", batch_size % parts == 0, allowed)
    evaluates = "never" not in (config.eval.every, config.eval.best)
    allowed = "0 if config.eval.every or config.eval.best is 'never'"
    check(config, "eval.patience", evaluates or config.eval.patience == 0, allowed)
    rampup_used = config.ema_half_life > 0 or config.ema_rampup == 0
    check(config, "ema_rampup", rampup_used, "0 without config.ema_half_life")
    return config


@contextlib.contextmanager
def tracing(config: ConfigDict) -> Iterator[None]:
    """Report sizes that no network can have, found by the first trace of a method, in one line."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # layers raise many types
        if config.method not in METHODS:
            raise _failure(config.method, error) from error
        networks = [
            f"config.{name}"
            for name, part in config.items()
            if isinstance(part, ConfigDict) and "network" in part
        ]
        reason = " ".join(str(error).split())[:160]
        raise UserError(
            f"{' or '.join(networks)} has sizes that cannot be built ({reason}); compare with the "
            "configs that come with the project"
        ) from error


def build_method(config: ConfigDict, shape: Shape, length: Length = ONE_STEP) -> Method:
    """The method that a config describes.

    Args:
      config: config of a run.
      shape: shape of one example of the data.
      length: length of the run, for training; sampling needs none.

    Raises:
      UserError: one line for whatever does not fit together.
    """
    config = complete_config(config)
    method = find_method(config)
    check_fields(
        config, {**method.fields, **find_space(config).fields}, f"method {config.method!r}"
    )
    with _reported(config.method):
        return _checked(method.build(config, shape, length))


@contextlib.contextmanager
def _reported(method: str) -> Iterator[None]:
    """Report exceptions of methods from outside of the package as theirs."""
    try:
        yield
    except Exception as error:
        if method in METHODS or isinstance(error, UserError):
            raise
        raise _failure(method, error) from error


def _failure(method: str, error: Exception) -> UserError:
    return UserError(f"config.method is {method!r}, which fails: {described(error)}")


def _checked(built: Method) -> Method:
    if not isinstance(built, Method):
        raise TypeError(f"it builds {type(built).__name__}, not a Method")
    return built
