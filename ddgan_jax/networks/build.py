"""Config -> networks and spaces: the only place where their names become modules and functions."""

import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from ml_collections import ConfigDict

from ddgan_jax.config.base import check, module_from, require
from ddgan_jax.core.errors import UserError, nearest
from ddgan_jax.core.types import Space
from ddgan_jax.io import run_folder
from ddgan_jax.io.storage import place
from ddgan_jax.networks.autoencoder import Autoencoder, MLPAutoencoder
from ddgan_jax.networks.encoder import MLPEncoder, ResBlockEncoder
from ddgan_jax.networks.mlp import MLPDiscriminator, MLPGenerator
from ddgan_jax.networks.ncsnpp import NCSNpp
from ddgan_jax.networks.patchgan import PatchDiscriminator
from ddgan_jax.networks.resblock import ResBlockDiscriminator
from ddgan_jax.networks.resblock_unet import ResBlockUNet
from ddgan_jax.networks.wavelet_ncsnpp import WaveletNCSNpp
from ddgan_jax.spaces.latent import latent
from ddgan_jax.spaces.pixels import pixels
from ddgan_jax.spaces.wavelet import wavelet

Shape = tuple[int, ...]

GENERATORS = {
    "ncsnpp": NCSNpp,
    "wavelet_ncsnpp": WaveletNCSNpp,
    "resblock": ResBlockUNet,
    "mlp": MLPGenerator,
}
DISCRIMINATORS = {"resblock": ResBlockDiscriminator, "mlp": MLPDiscriminator}
ENCODERS = {"resblock": ResBlockEncoder, "mlp": MLPEncoder}
AUTOENCODERS = {"conv": Autoencoder, "mlp": MLPAutoencoder}
PATCH_DISCRIMINATORS = {"patch": PatchDiscriminator}


def _check_resolution(config: ConfigDict, field: str, shape: Shape, halvings: int) -> None:
    if len(shape) != 3:
        raise UserError(
            f"config.{field}.network is {config[field].network!r}, which needs images; "
            f"data of shape {shape} needs 'mlp'"
        )
    divisor = 2**halvings
    if shape[0] % divisor or shape[1] % divisor:
        raise UserError(
            f"config.data.image_size gives inputs of {shape[0]}x{shape[1]}; config.{field} halves "
            f"them {halvings} times, so multiples of {divisor} are needed"
        )


def _wavelet(config: ConfigDict, shape: Shape) -> Space:
    require(config, ("space.levels",), "space 'wavelet'")
    return wavelet(shape, config.space.levels)


def _latent(config: ConfigDict, shape: Shape) -> Space:
    """The space of the autoencoder whose run folder `config.space.autoencoder` is."""
    require(config, ("space.autoencoder", "space.scale", "space.unit"), "space 'latent'")
    check(config, "space.autoencoder", isinstance(config.space.autoencoder, str), "text")
    folder, scale = place(config.space.autoencoder), config.space.scale
    allowed = isinstance(scale, int | float) and 0 <= scale < math.inf
    check(config, "space.scale", allowed, "a number >= 0 (0: measured)")
    unit = config.space.unit
    check(config, "space.unit", unit in ("largest", "deviation"), "'largest' or 'deviation'")
    bounded = "gen" in config and config.gen.get("tanh", True)
    check(config, "gen.tanh", not (unit == "deviation" and bounded),
          "false with config.space.unit='deviation' (latents reach beyond 1)")  # fmt: skip
    has = (folder / "config.json").exists() and (folder / "info.json").exists()
    check(config, "space.autoencoder", has and config.space.autoencoder != "",
          "the run folder of a trained autoencoder (configs/autoencoder_*.py)")  # fmt: skip
    theirs = run_folder.load_config(folder)
    check(config, "space.autoencoder", theirs.method == "autoencoder",
          f"a run of method 'autoencoder', not of {theirs.method!r},")  # fmt: skip
    known = run_folder.data_shape(folder)
    check(config, "space.autoencoder", known == shape,
          f"an autoencoder of {shape} images, not of {known},")  # fmt: skip
    module = build_autoencoder(theirs, shape)
    return latent(module, shape, module.latents_of(shape))


SPACES: dict[str, Callable[[ConfigDict, Shape], Space]] = {
    "pixels": lambda config, shape: pixels(shape),
    "wavelet": _wavelet,
    "latent": _latent,
}


def space_kind(config: ConfigDict) -> str:
    """`config.space.kind`; pixels without that field."""
    return config.get("space", {"kind": "pixels"}).get("kind")


def build_space(config: ConfigDict, shape: Shape) -> Space:
    """The space that `config.space` describes, for data of `shape`; pixels without that field.

    Raises:
      UserError: unknown space, or what it needs is missing or does not fit.
    """
    kind = space_kind(config)
    if kind not in SPACES:
        raise UserError(
            f"config.space.kind is {kind!r}; one of {', '.join(sorted(SPACES))} is needed"
            + nearest(str(kind), SPACES)
        )
    return SPACES[kind](config, shape)


def build_generator(config: ConfigDict, shape: Shape) -> Any:
    """The generator that `config.gen` describes, for data of `shape`."""
    dtype = jnp.dtype(config.dtype)
    if config.gen.network == "mlp":
        return module_from(config, "gen", GENERATORS, dtype=dtype)
    module = module_from(config, "gen", GENERATORS, dtype=dtype, channels=shape[-1])
    # The wavelet generator's middle halves once more.
    halvings = len(module.multipliers) - (0 if isinstance(module, WaveletNCSNpp) else 1)
    _check_resolution(config, "gen", shape, halvings)
    return module


def build_discriminator(config: ConfigDict, shape: Shape) -> Any:
    """The discriminator that `config.disc` describes, for data of `shape`."""
    dtype = jnp.dtype(config.dtype)
    module = module_from(config, "disc", DISCRIMINATORS, dtype=dtype, classes=config.classes)
    return _checked_discriminator(config, shape, module)


def build_encoder(config: ConfigDict, shape: Shape, values: int, latents: int) -> Any:
    """The discriminator with an encoder in it that `config.disc` describes."""
    dtype = jnp.dtype(config.dtype)
    module = module_from(config, "disc", ENCODERS, dtype=dtype, values=values, latents=latents)
    return _checked_discriminator(config, shape, module)


def _checked_discriminator(config: ConfigDict, shape: Shape, module: Any) -> Any:
    part = config.train.batch_size // config.train.accumulate
    group = getattr(module, "group", 4)
    if part > group and part % group:
        raise UserError(
            f"config.train.batch_size / accumulate is {part}; the minibatch standard deviation "
            f"needs a multiple of {group} (or fewer than {group})"
        )
    if isinstance(module, ResBlockDiscriminator | ResBlockEncoder):
        if len(module.multipliers) != len(module.downsample):
            raise UserError(
                f"config.disc.downsample has {len(module.downsample)} entries; "
                f"{len(module.multipliers)} are needed, one for each of config.disc.multipliers"
            )
        _check_resolution(config, "disc", shape, sum(module.downsample))
    return module


def build_autoencoder(config: ConfigDict, shape: Shape) -> Any:
    """The autoencoder that `config.autoencoder` describes, for images of `shape`."""
    dtype = jnp.dtype(config.dtype)
    if config.autoencoder.network == "mlp":
        return module_from(config, "autoencoder", AUTOENCODERS, dtype=dtype, shape=shape)
    channels = shape[-1]
    module = module_from(config, "autoencoder", AUTOENCODERS, dtype=dtype, channels=channels)
    _check_resolution(config, "autoencoder", shape, len(module.multipliers) - 1)
    return module


def build_patch_discriminator(config: ConfigDict, shape: Shape) -> Any:
    """The patch discriminator that `config.disc` describes, for images of `shape`."""
    dtype = jnp.dtype(config.dtype)
    module = module_from(config, "disc", PATCH_DISCRIMINATORS, dtype=dtype)
    smallest = 3 * 2**module.layers
    check(config, "disc.layers", min(shape[:2]) >= smallest,
          f"fewer for {shape[0]}x{shape[1]} images (so many want {smallest} pixels)")  # fmt: skip
    return module
