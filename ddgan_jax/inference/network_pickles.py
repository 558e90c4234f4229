"""The config of a generator in a network pickle of StyleGAN2, from its constructor's arguments."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import Shape
from ddgan_jax.interop.network_pickle import NetworkFile
from ddgan_jax.methods.gan import gan
from ddgan_jax.networks.stylegan2_layers import ARCHITECTURES

_RESOLUTIONS = tuple(2**i for i in range(3, 13))


def config_of(network: NetworkFile, given: ConfigDict | None, file: Path) -> ConfigDict:
    """The config of the run folder of an imported generator.

    Args:
      network: the contents of the file.
      given: a config whose data, evaluation and discriminator are used; None: a `gan` with a
        discriminator of the same sizes.
      file: the file, for messages.

    Returns:
      A config with the generator of the file and its image size, channels and classes.

    Raises:
      UserError: the file asks for a network that is not StyleGAN2's, or is too large.
    """
    arguments = network.arguments
    mapping, synthesis = (
        _section(arguments, name, file) for name in ("mapping_kwargs", "synthesis_kwargs")
    )

    def size(where: Mapping[str, Any], name: str, default: int | None, low: int, high: int) -> int:
        value = where.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise UserError(f"{file}: {name} is {str(value)[:40]!r}; [{low}, {high}] is needed")
        return value

    resolution = size(arguments, "img_resolution", None, 8, 4096)
    if resolution not in _RESOLUTIONS:
        raise UserError(f"{file}: img_resolution is {resolution}; a power of two is needed")
    architecture = synthesis.get("architecture", "skip")
    if architecture not in ARCHITECTURES:
        allowed = ", ".join(ARCHITECTURES)
        raise UserError(f"{file}: architecture is {str(architecture)[:40]!r}; {allowed} is needed")
    for where, name, needed in ((mapping, "activation", "lrelu"), (synthesis, "use_noise", True)):
        if (value := where.get(name, needed)) != needed:
            raise UserError(f"{file}: {name} is {str(value)[:40]!r}; {needed!r} is needed")
    multiplier = mapping.get("lr_multiplier", 0.01)
    if not isinstance(multiplier, int | float) or not 0 < multiplier <= 1e3:
        raise UserError(f"{file}: lr_multiplier is {str(multiplier)[:40]!r}; a number is needed")
    channels = {
        "channel_base": size(synthesis, "channel_base", 32768, resolution, 2**20),
        "channel_max": size(synthesis, "channel_max", 512, 1, 2**13),
    }
    config = given or gan(
        noise="latent",
        latent_size=1,
        gen={},
        disc=dict(network="stylegan2", timed=False, **channels),
        lr_gen=2.5e-3,
        lr_disc=2.5e-3,
        r1_gamma=1.0,
        r1_every=16,
    )
    if given is None:
        config.data.name = "tfds:image_folder/imported"
    config = ConfigDict(config.to_dict())
    config.noise, config.latent_size = "latent", size(arguments, "z_dim", 512, 1, 2**16)
    config.classes = size(arguments, "c_dim", 0, 0, 2**16)
    config.data.image_size = resolution
    config.data.channels = size(arguments, "img_channels", 3, 1, 3)
    config.gen = ConfigDict(
        dict(
            network="stylegan2",
            width=size(arguments, "w_dim", 512, 1, 2**16),
            layers=size(mapping, "num_layers", 8, 1, 64),
            architecture=architecture,
            multiplier=float(multiplier),
            **channels,
        )
    )
    return config


def shape_of(config: ConfigDict) -> Shape:
    """The shape of an image of `config_of`."""
    return config.data.image_size, config.data.image_size, config.data.channels


def _section(arguments: Mapping[str, Any], name: str, file: Path) -> Mapping[str, Any]:
    section = arguments.get(name, {})
    if not isinstance(section, Mapping):
        raise UserError(f"{file}: {name} is a {type(section).__name__}; a dictionary is needed")
    return section
