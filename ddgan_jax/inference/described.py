"""What an imported file says of its network, beside the config that is given with it."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from ddgan_jax.config import flatten
from ddgan_jax.core.errors import UserError

# No array depends on them: networks take images of any size and a time of any range, and tanh has
# no parameters.
UNSAID = ("data.image_size", "diffusion.num_steps", "autoencoder.tanh")
# What a file tells by convention only: a given value has precedence.
BY_CONVENTION = ("disc.downsample",)


def as_described(
    file: Path, config: ConfigDict, found: Mapping[str, Any], given: Collection[str]
) -> tuple[ConfigDict, str]:
    """The config with the network that a file describes.

    A config that differs from the file was made for another checkpoint, so that its image size and
    number of steps are not used either: they have to be given.

    Args:
      file: the file, for messages.
      config: a complete config.
      found: fields of the config that the file tells, and their values.
      given: fields that were given beside the config, on the command line.

    Returns:
      The config, and one line that says where its network is from.

    Raises:
      UserError: the file differs from the config in given fields, or in others while those of
        `UNSAID` are not given. The message names all differences.
    """
    flat = flatten(config)
    found = {k: v for k, v in found.items() if not (k in BY_CONVENTION and k in given)}
    unsaid = [name for name in UNSAID if name in flat]
    differ = [name for name, value in found.items() if flat.get(name) != value]
    if not differ:
        rest = " and ".join(f"{name}={flat[name]}" for name in unsaid)
        return config, f"the file does not say {rest}: as in the config" if found else ""
    texts = [f"{name}={_text(found[name])} (config: {_text(flat.get(name))})" for name in differ]
    says = f"{file} has {', '.join(texts)}"
    if wrong := [name for name in differ if name in given]:
        flags = ", ".join(f"--config.{name}" for name in wrong)
        raise UserError(f"{says}; {flags} contradicts it")
    if missing := [name for name in unsaid if name not in given]:
        flags = " and ".join(f"--config.{name}=VALUE" for name in missing)
        raise UserError(f"{says}; the file does not say {flags}, which is needed to import it")
    config = config.copy_and_resolve_references()
    for name in differ:
        *sections, last = name.split(".")
        section = config
        for part in sections:
            section = section[part]
        section[last] = found[name]
    return config, says


def _text(value: Any) -> str:
    """A value as on the command line."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
