"""Latent space of LDDGAN: latents of a frozen autoencoder divided by a scale.

The scale is their largest absolute value, their root mean square, or config.space.scale.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from ddgan_jax.config import REQUIRED, check
from ddgan_jax.config.fields import choice, number, text
from ddgan_jax.core.types import Array, Autoencoder, PyTree, Shape, Space
from ddgan_jax.data.source import Source
from ddgan_jax.io.storage import as_path
from ddgan_jax.parallel.distributed import broadcast_from_zero, on_all_processes
from ddgan_jax.spaces import autoencoder_folder, latent_cache
from ddgan_jax.spaces.entry import FrozenNetworks, SpaceEntry
from ddgan_jax.spaces.pixels import KIND, pixels


def latent(autoencoder: Autoencoder, image_shape: Shape, shape: Shape) -> Space:
    """Latent space: encode(x) = E(x) / scale, decode(z) = clip(D(scale z), -1, 1).

    The frozen parameters are {"autoencoder": parameters of E and D, "scale": float32 scalar}.
    `encode` takes images uint8 [B, H, W, C], or cached unscaled latents float32 [B, h, w, c], and
    returns float32 [B, h, w, c]. E is deterministic: its mean if it predicts a log-variance.
    `decode` takes float32 [B, h, w, c] and returns images float32 [B, H, W, C] in [-1, 1].

    Args:
      autoencoder: the network with E and D.
      image_shape: (H, W, C) of an image.
      shape: (h, w, c) of its latents.
    """
    images = pixels(image_shape)

    def encode(data: Array, frozen: PyTree) -> Array:
        if data.dtype == jnp.uint8:
            x = images.encode(data, frozen)
            data, _ = autoencoder.apply({"params": frozen["autoencoder"]}, x, method="encode")
        scaled: Array = data / frozen["scale"]
        return scaled

    def decode(x: Array, frozen: PyTree) -> Array:
        params = {"params": frozen["autoencoder"]}
        image: Array = autoencoder.apply(params, x * frozen["scale"], method="decode")
        return jnp.clip(image, -1.0, 1.0)

    return Space(shape, encode, decode)


def _from_config(config: ConfigDict, shape: Shape) -> Space:
    bounded = "gen" in config and config.gen.get("tanh", True)
    allowed = "false with config.space.unit='deviation' (latents reach beyond 1)"
    check(config, "gen.tanh", not (config.space.unit == "deviation" and bounded), allowed)
    network = autoencoder_folder.build_autoencoder(config, shape)
    return latent(network, shape, network.latents_of(shape))


def _feed(
    config: ConfigDict, source: Source, frozen: dict[str, Any]
) -> tuple[Source, dict[str, Any]]:
    """Return the latents as a source, and `frozen` with the scale.

    The scale is that of scale.json, else config.space.scale, else measured on the data.
    """
    space = _from_config(config, source.shape)
    feed, measured = on_all_processes(lambda: latent_cache.encoded(config, space, source, frozen))
    if autoencoder_folder.read_scale(as_path(config.space.autoencoder)) is None:
        # Hosts may have measured scales that differ in the last bit; all use that of process 0.
        scale = np.float32(config.space.scale or broadcast_from_zero(measured))
        frozen = {**frozen, "scale": jax.device_put(scale, frozen["scale"].sharding)}
    return feed, frozen


def _batch(key: Array, config: ConfigDict, shape: Shape, count: int) -> dict[str, Array]:
    return latent_cache.random_latents(key, _from_config(config, shape).shape, count)


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
    },
    FrozenNetworks(
        use_local_copy=autoencoder_folder.use_local_copy,
        check=autoencoder_folder.check_trained,
        shapes=autoencoder_folder.shapes,
        load=autoencoder_folder.load,
        feed=_feed,
        copy_into=autoencoder_folder.copy_into,
        batch=_batch,
        folder=autoencoder_folder.FOLDER,
    ),
)
