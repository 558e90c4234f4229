"""Config -> Method: the only place where names become methods. Their parts: `build_parts.py`."""

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from ddgan_jax.config.base import check, require
from ddgan_jax.core import losses
from ddgan_jax.core.errors import UserError, nearest
from ddgan_jax.core.types import Array, Method
from ddgan_jax.diffusion import processes, schedules
from ddgan_jax.diffusion.degradations import degradation
from ddgan_jax.diffusion.instance_noise import InstanceNoise
from ddgan_jax.features import lpips
from ddgan_jax.methods.autoencoder import Weights, make_autoencoder
from ddgan_jax.methods.dddg import make_dddg
from ddgan_jax.methods.ddgan import make_ddgan
from ddgan_jax.methods.ddpm import make_ddpm
from ddgan_jax.methods.diffusion_gan import make_diffusion_gan
from ddgan_jax.methods.difgan import make_difgan
from ddgan_jax.methods.gan import make_gan
from ddgan_jax.networks.build import (
    Shape,
    build_autoencoder,
    build_discriminator,
    build_encoder,
    build_generator,
    build_patch_discriminator,
    build_space,
    space_kind,
)


class Length(NamedTuple):
    """How long a run is: what schedules within losses need to know."""

    total: int  # steps
    epoch: int  # steps of one pass over the data


ONE_STEP = Length(1, 1)

_AUTOENCODER_FIELDS = (
    *("autoencoder.network", "disc.network"),
    *(f"loss.{name}" for name in Weights._fields),
)


def _autoencoder(config: ConfigDict, shape: Shape, length: Length) -> Method:
    del length
    require(config, _AUTOENCODER_FIELDS, "method 'autoencoder'")
    check(config, "space.kind", space_kind(config) == "pixels", "'pixels' (method 'autoencoder')")
    check(config, "classes", config.classes == 0, "0 (method 'autoencoder')")
    weights = Weights(**{name: config.loss[name] for name in Weights._fields})
    for name, value in weights._asdict().items():
        kind = int if name == "adversarial_start" else (int, float)
        ok = isinstance(value, kind) and not isinstance(value, bool) and 0 <= value < float("inf")
        check(config, f"loss.{name}", ok, "an integer >= 0" if kind is int else "a number >= 0")
    autoencoder = build_autoencoder(config, shape)
    check(config, "loss.kl", weights.kl == 0 or autoencoder.gaussian,
          "0 where config.autoencoder.gaussian is false")  # fmt: skip
    perceptual = shape[-1] == 3 and min(shape[:2]) >= lpips.SMALLEST
    check(config, "loss.lpips", weights.lpips == 0 or perceptual,
          f"0 for images of {shape} (LPIPS wants colour, {lpips.SMALLEST} pixels)")  # fmt: skip
    return make_autoencoder(
        autoencoder=autoencoder,
        discriminator=build_patch_discriminator(config, shape),
        shape=shape,
        weights=weights,
    )


_DDGAN_FIELDS = (
    "latent_size",
    *("diffusion.num_steps", "diffusion.beta_min", "diffusion.beta_max"),
    *("gen.network", "disc.network", "r1.gamma", "r1.every"),
    *("reconstruction.kind", "reconstruction.weight", "reconstruction.delta"),
)


def _reconstruction(config: ConfigDict, length: Length) -> Callable[[Array], Array] | None:
    """Step -> the weight of the reconstruction in the generator's loss."""
    kind, weight, delta = (config.reconstruction[name] for name in ("kind", "weight", "delta"))
    kinds = ("none", "constant", "weighted")
    check(config, "reconstruction.kind", kind in kinds, "'none', 'constant' or 'weighted'")
    for field, value in (("weight", weight), ("delta", delta)):
        ok = isinstance(value, int | float) and 0 <= value < math.inf
        check(config, f"reconstruction.{field}", ok, "a number >= 0")
    if kind == "none":
        return None
    if kind == "constant":
        return losses.constant_weight(weight)
    return losses.fading_weight(weight, delta, length.total, length.epoch)


def _ddgan(config: ConfigDict, shape: Shape, length: Length) -> Method:
    require(config, _DDGAN_FIELDS, "method 'ddgan'")
    betas = schedules.variance_preserving_betas(
        config.diffusion.num_steps, config.diffusion.beta_min, config.diffusion.beta_max
    )
    space = build_space(config, shape)
    return make_ddgan(
        generator=build_generator(config, space.shape),
        discriminator=build_discriminator(config, space.shape),
        process=processes.gaussian(betas),
        space=space,
        latent_size=config.latent_size,
        r1_gamma=config.r1.gamma,
        r1_every=config.r1.every,
        classes=config.classes,
        reconstruction=_reconstruction(config, length),
    )


_DDDG_FIELDS = (
    *("latent_size", "classes", "degradation.kind", "degradation.levels"),
    *("gen.network", "disc.network", "r1.weight", "r1.every"),
    *("encoder.weight", "encoder.per_class", "encoder.variance_decay"),
)


def _dddg(config: ConfigDict, shape: Shape, length: Length) -> Method:
    del length
    require(config, _DDDG_FIELDS, "method 'dddg'")
    check(config, "space.kind", space_kind(config) == "pixels", "'pixels' (method 'dddg')")
    degrade = degradation(config.degradation.kind, config.degradation.levels, shape)
    # Both players look at the same generated image.
    check(config, "gen.dropout", config.gen.get("dropout", 0.0) == 0, "0 (method 'dddg')")
    per_class = config.encoder.per_class
    check(config, "encoder.per_class", not per_class or config.classes > 0,
          "false where config.classes is 0")  # fmt: skip
    latents = degrade.t_max * config.latent_size * (config.classes if per_class else 1)
    return make_dddg(
        generator=build_generator(config, shape),
        discriminator=build_encoder(config, shape, max(config.classes, 1), latents),
        degradation=degrade,
        shape=shape,
        batch_size=config.train.batch_size,
        latent_size=config.latent_size,
        classes=config.classes,
        encoder_weight=config.encoder.weight,
        encoder_per_class=per_class,
        variance_decay=config.encoder.variance_decay,
        r1_weight=config.r1.weight,
        r1_every=config.r1.every,
    )


_ADVERSARIAL_FIELDS = ("gen.network", "disc.network", "r1.gamma", "r1.every")


def _gan_parts(config: ConfigDict, shape: Shape) -> dict[str, Any]:
    """The arguments of `make_gan`, but the view."""
    require(config, ("noise", *_ADVERSARIAL_FIELDS), f"method {config.method!r}")
    check(config, "noise", config.noise in ("latent", "image"), "'latent' or 'image'")
    if config.noise == "latent":
        require(config, ("latent_size",), "config.noise='latent'")
    space = build_space(config, shape)
    return dict(
        generator=build_generator(config, space.shape),
        discriminator=build_discriminator(config, space.shape),
        space=space,
        latent_size=config.latent_size if config.noise == "latent" else None,
        r1_gamma=config.r1.gamma,
        r1_every=config.r1.every,
        classes=config.classes,
    )


def _gan(config: ConfigDict, shape: Shape, length: Length) -> Method:
    del length
    return make_gan(**_gan_parts(config, shape))


def _diffusion_gan(config: ConfigDict, shape: Shape, length: Length) -> Method:
    del length
    fields = [f"instance_noise.{name}" for name in InstanceNoise._fields]
    require(config, fields, "method 'diffusion_gan'")
    for name, default in InstanceNoise._field_defaults.items():
        number = (int, float) if isinstance(default, float) else type(default)
        ok = isinstance(config.instance_noise[name], number)
        check(config, f"instance_noise.{name}", ok, f"a value like {default!r}")
    noise = InstanceNoise(**{name: config.instance_noise[name] for name in InstanceNoise._fields})
    holds = {
        "t_min": (noise.t_min >= 2, "at least 2"),
        "t_max": (noise.t_max >= noise.t_min, f"at least t_min = {noise.t_min}"),
        "beta_min": (noise.beta_min > 0, "a positive number"),
        "beta_max": (noise.beta_min <= noise.beta_max < 1, f"in [{noise.beta_min}, 1)"),
        "noise_std": (noise.noise_std >= 0, "a number >= 0"),
        "timesteps": (noise.timesteps in ("priority", "uniform"), "'priority' or 'uniform'"),
        "target": (-1 <= noise.target <= 1, "a number in [-1, 1]"),
        "every": (noise.every > 0, "a positive integer"),
        "images": (noise.images > 0, "a positive integer"),
    }
    for name, (ok, allowed) in holds.items():
        check(config, f"instance_noise.{name}", ok, allowed)
    return make_diffusion_gan(noise=noise, **_gan_parts(config, shape))


def _difgan(config: ConfigDict, shape: Shape, length: Length) -> Method:
    del length
    weights = ("difgan.weights_disc", "difgan.weights_gen")
    require(config, (*weights, "difgan.saturating", *_ADVERSARIAL_FIELDS), "method 'difgan'")
    eta_disc, eta_gen = config.difgan.weights_disc, config.difgan.weights_gen
    for field, eta in zip(weights, (eta_disc, eta_gen), strict=True):
        ok = len(eta) > 0 and min(eta) >= 0 and sum(eta) > 0
        check(config, field, ok, "one number >= 0 for each step, not all 0")
    same = len(eta_disc) == len(eta_gen)
    check(config, weights[0], same, f"as many weights as in config.{weights[1]}")
    saturating = config.difgan.saturating
    check(config, "difgan.saturating", isinstance(saturating, bool), "true or false")
    space = build_space(config, shape)
    return make_difgan(
        generator=build_generator(config, space.shape),
        discriminator=build_discriminator(config, space.shape),
        space=space,
        weights_disc=eta_disc,
        weights_gen=eta_gen,
        saturating=saturating,
        r1_gamma=config.r1.gamma,
        r1_every=config.r1.every,
        classes=config.classes,
    )


_DDPM_FIELDS = (
    *("diffusion.num_steps", "diffusion.beta_min", "diffusion.beta_max", "gen.network"),
    *("sampler.kind", "sampler.steps", "sampler.clip"),
)


def _ddpm(config: ConfigDict, shape: Shape, length: Length) -> Method:
    del length
    require(config, _DDPM_FIELDS, "method 'ddpm'")
    kind = config.sampler.kind
    check(config, "sampler.kind", kind in ("ancestral", "ddim"), "'ancestral' or 'ddim'")
    space = build_space(config, shape)
    return make_ddpm(
        generator=build_generator(config, space.shape),
        space=space,
        betas=schedules.linear_betas(
            config.diffusion.num_steps, config.diffusion.beta_min, config.diffusion.beta_max
        ),
        sampler=kind,
        sample_steps=config.sampler.steps,
        clip=config.sampler.clip,
        classes=config.classes,
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


METHODS: dict[str, Callable[[ConfigDict, Shape, Length], Method]] = {
    "autoencoder": _autoencoder,
    "ddgan": _ddgan,
    "dddg": _dddg,
    "gan": _gan,
    "diffusion_gan": _diffusion_gan,
    "difgan": _difgan,
    "ddpm": _ddpm,
}


def build_method(config: ConfigDict, shape: Shape, length: Length = ONE_STEP) -> Method:
    """The method that a config describes, for data whose examples have `shape`.

    `length` of the run that trains it; none is needed to sample.

    Raises:
      UserError: one line for whatever does not fit.
    """
    if config.method not in METHODS:
        raise UserError(
            f"config.method is {config.method!r}; one of {', '.join(sorted(METHODS))} is needed"
            + nearest(config.method, METHODS)
        )
    return METHODS[config.method](config, shape, length)
