"""Config -> Method: the only place where names become networks and methods."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax.numpy as jnp
from ml_collections import ConfigDict

from ddgan_jax import processes, schedules
from ddgan_jax.config import module_from, require
from ddgan_jax.errors import UserError, nearest
from ddgan_jax.methods.ddgan import make_ddgan
from ddgan_jax.networks.mlp import MLPDiscriminator, MLPGenerator
from ddgan_jax.networks.ncsnpp import NCSNpp
from ddgan_jax.networks.resblock import ResBlockDiscriminator
from ddgan_jax.spaces.pixels import pixels
from ddgan_jax.types import Method

Shape = tuple[int, ...]
GENERATORS = {"ncsnpp": NCSNpp, "mlp": MLPGenerator}
DISCRIMINATORS = {"resblock": ResBlockDiscriminator, "mlp": MLPDiscriminator}


def _check_resolution(config: ConfigDict, field: str, shape: Shape, halvings: int) -> None:
    if len(shape) != 3:
        raise UserError(
            f"config.{field}.network is {config[field].network!r}, which needs images; "
            f"data of shape {shape} needs 'mlp'"
        )
    divisor = 2**halvings
    if shape[0] % divisor or shape[1] % divisor:
        raise UserError(
            f"config.data.image_size gives images of {shape[0]}x{shape[1]}; config.{field} halves "
            f"them {halvings} times, so multiples of {divisor} are needed"
        )


def build_generator(config: ConfigDict, shape: Shape) -> Any:
    """The generator that `config.gen` describes, for data of `shape`."""
    dtype = jnp.dtype(config.dtype)
    if config.gen.network == "mlp":
        return module_from(config, "gen", GENERATORS, dtype=dtype)
    module = module_from(config, "gen", GENERATORS, dtype=dtype, channels=shape[-1])
    _check_resolution(config, "gen", shape, len(module.multipliers) - 1)
    return module


def build_discriminator(config: ConfigDict, shape: Shape) -> Any:
    """The discriminator that `config.disc` describes, for data of `shape`."""
    module = module_from(config, "disc", DISCRIMINATORS, dtype=jnp.dtype(config.dtype))
    part = config.train.batch_size // config.train.accumulate
    group = module.group if isinstance(module, MLPDiscriminator) else 4
    if part > group and part % group:
        raise UserError(
            f"config.train.batch_size / accumulate is {part}; the minibatch standard deviation "
            f"needs a multiple of {group} (or fewer than {group})"
        )
    if isinstance(module, ResBlockDiscriminator):
        if len(module.multipliers) != len(module.downsample):
            raise UserError(
                f"config.disc.downsample has {len(module.downsample)} entries; "
                f"{len(module.multipliers)} are needed, one for each of config.disc.multipliers"
            )
        _check_resolution(config, "disc", shape, sum(module.downsample))
    return module


_DDGAN_FIELDS = (
    "latent_size",
    *("diffusion.num_steps", "diffusion.beta_min", "diffusion.beta_max"),
    *("gen.network", "disc.network", "r1.gamma", "r1.every"),
)


def _ddgan(config: ConfigDict, shape: Shape) -> Method:
    require(config, _DDGAN_FIELDS, "method 'ddgan'")
    betas = schedules.variance_preserving_betas(
        config.diffusion.num_steps, config.diffusion.beta_min, config.diffusion.beta_max
    )
    return make_ddgan(
        generator=build_generator(config, shape),
        discriminator=build_discriminator(config, shape),
        process=processes.gaussian(betas),
        space=pixels(shape),
        latent_size=config.latent_size,
        r1_gamma=config.r1.gamma,
        r1_every=config.r1.every,
    )


@contextlib.contextmanager
def tracing(config: ConfigDict) -> Iterator[None]:
    """Around the first trace of a method: sizes that no network can have become one line."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # what a layer raises depends on the layer
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


METHODS: dict[str, Callable[[ConfigDict, Shape], Method]] = {"ddgan": _ddgan}


def build_method(config: ConfigDict, shape: Shape) -> Method:
    """The method that a config describes, for data whose examples have `shape`.

    Raises:
      UserError: one line for whatever does not fit.
    """
    if config.method not in METHODS:
        raise UserError(
            f"config.method is {config.method!r}; one of {', '.join(sorted(METHODS))} is needed"
            + nearest(config.method, METHODS)
        )
    return METHODS[config.method](config, shape)
