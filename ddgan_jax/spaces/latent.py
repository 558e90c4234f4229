"""Latent space of LDDGAN: latents of a frozen autoencoder divided by a scale.

The scale is their largest absolute value, their root mean square, or config.space.scale.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from ddgan_jax.config import REQUIRED, check
from ddgan_jax.config.fields import choice, flag, number, text
from ddgan_jax.config.stored import read_config
from ddgan_jax.core.types import Array, Autoencoder, PyTree, Shape, Space
from ddgan_jax.data.source import Source
from ddgan_jax.io.storage import as_path
from ddgan_jax.parallel.distributed import broadcast_from_zero, on_all_processes
from ddgan_jax.spaces import autoencoder_folder, latent_cache
from ddgan_jax.spaces.entry import FrozenNetworks, SpaceEntry, check_unbounded
from ddgan_jax.spaces.pixels import KIND, pixels


def latent(
    autoencoder: Autoencoder, image_shape: Shape, shape: Shape, sample: bool = False
) -> Space:
    """Latent space: encode(x) = E(x) / scale, decode(z) = clip(D(scale z), -1, 1).

    The frozen parameters are {"autoencoder": parameters of E and D, "scale": float32 scalar}.
    `encode` takes images uint8 [B, H, W, C], or cached unscaled latents float32 [B, h, w, c], and
    returns float32 [B, h, w, c]. E is deterministic: its mean if it predicts a log-variance.
    `decode` takes float32 [B, h, w, c] and returns images float32 [B, H, W, C] in [-1, 1].

    With `sample`, training uses draws (E(x) + exp(v / 2) noise) / scale of the autoencoder's
    posterior, with its log-variance v, as latent diffusion does. The cache then holds E(x) and v,
    float32 [B, h, w, 2 c].

    Args:
      autoencoder: the network with E and D.
      image_shape: (H, W, C) of an image.
      shape: (h, w, c) of its latents.
      sample: whether training draws latents; needs an autoencoder with a log-variance.
    """
    images, channels = pixels(image_shape), shape[-1]

    def moments(data: Array, frozen: PyTree) -> tuple[Array, Array | None]:
        """E(x) and v, which is None where `sample` is false and the data are from the cache."""
        if data.dtype == jnp.uint8:
            x = images.encode(data, frozen)
            found: tuple[Array, Array | None] = autoencoder.apply(
                {"params": frozen["autoencoder"]}, x, method="encode"
            )
            return found
        return (data[..., :channels], data[..., channels:]) if sample else (data, None)

    def encode(data: Array, frozen: PyTree) -> Array:
        scaled: Array = moments(data, frozen)[0] / frozen["scale"]
        return scaled

    def draw(key: Array, data: Array, frozen: PyTree) -> Array:
        mean, log_variance = moments(data, frozen)
        assert log_variance is not None
        noise = jax.random.normal(key, mean.shape)
        scaled: Array = (mean + jnp.exp(0.5 * log_variance) * noise) / frozen["scale"]
        return scaled

    def decode(x: Array, frozen: PyTree) -> Array:
        params = {"params": frozen["autoencoder"]}
        image: Array = autoencoder.apply(params, x * frozen["scale"], method="decode")
        return jnp.clip(image, -1.0, 1.0)

    return Space(shape, encode, decode, draw if sample else None)


def _stored(space: Space, network: Autoencoder, image_shape: Shape) -> Space:
    """What the cache holds of an image: its latents, or their mean and log-variance, unscaled."""
    if space.draw is None:
        return space
    images = pixels(image_shape)

    def encode(data: Array, frozen: PyTree) -> Array:
        params = {"params": frozen["autoencoder"]}
        found = network.apply(params, images.encode(data, frozen), method="encode")
        return jnp.concatenate(found, axis=-1)

    return space._replace(shape=(*space.shape[:-1], 2 * space.shape[-1]), encode=encode)


def _from_config(config: ConfigDict, shape: Shape) -> Space:
    if config.space.unit == "deviation":
        check_unbounded(config, "with config.space.unit='deviation' (latents reach beyond 1)")
    network = autoencoder_folder.build_autoencoder(config, shape)
    sample = config.space.get("sample", False)
    if sample:
        losses = read_config(as_path(config.space.autoencoder)).get("loss", {})
        allowed = "false with an autoencoder that was trained without config.loss.kl"
        check(config, "space.sample", network.gaussian and losses.get("kl", 0) > 0, allowed)
    return latent(network, shape, network.latents_of(shape), sample)


def _cached(config: ConfigDict, shape: Shape) -> Space:
    """See `_stored`, for images of `shape`."""
    network = autoencoder_folder.build_autoencoder(config, shape)
    return _stored(_from_config(config, shape), network, shape)


def _feed(
    config: ConfigDict, source: Source, frozen: dict[str, Any]
) -> tuple[Source, dict[str, Any]]:
    """Return the latents as a source, and `frozen` with the scale.

    The scale is that of scale.json, else config.space.scale, else measured on the data.
    """
    space = _cached(config, source.shape)
    feed, measured = on_all_processes(lambda: latent_cache.encoded(config, space, source, frozen))
    if autoencoder_folder.read_scale(as_path(config.space.autoencoder)) is None:
        # Hosts may have measured scales that differ in the last bit; all use that of process 0.
        scale = np.float32(config.space.scale or broadcast_from_zero(measured))
        frozen = {**frozen, "scale": jax.device_put(scale, frozen["scale"].sharding)}
    return feed, frozen


def _batch(key: Array, config: ConfigDict, shape: Shape, count: int) -> dict[str, Array]:
    return latent_cache.random_latents(key, _cached(config, shape).shape, count)


SPACE = SpaceEntry(
    _from_config,
    {
        "space.kind": KIND,
        "space.autoencoder": text(REQUIRED, help="run folder of a trained autoencoder"),
        "space.scale": number(
            0.0,
            help="divisor of the latents; 0: measured on the data; ignored once the run folder has "
            "scale.json",
        ),
        "space.unit": choice(
            "largest",
            "largest",
            "deviation",
            help="what scale 0 measures: the largest absolute latent, or the root mean square; "
            "ignored once the run folder has scale.json",
        ),
        "space.sample": flag(
            False, help="train on draws of the autoencoder's posterior, not on its mean"
        ),
    },
    FrozenNetworks(
        use_local_copy=autoencoder_folder.use_local_copy,
        check=autoencoder_folder.check_trained,
        shapes=autoencoder_folder.shapes,
        load=autoencoder_folder.load,
        feed=_feed,
        copy_into=autoencoder_folder.copy_into,
        batch=_batch,
        hashes=autoencoder_folder.hashes,
        folder=autoencoder_folder.FOLDER,
        field="space.autoencoder",
        copy=autoencoder_folder.FOLDER,
    ),
)
