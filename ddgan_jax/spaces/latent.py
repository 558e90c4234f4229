"""Latent space: scaled latents of a frozen autoencoder, roughly in [-1, 1] (LDDGAN)."""

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
    `encode` treats uint8 data as images; float32 data are latents from the cache, E(x), and are
    only divided by the scale.

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
        "space.scale": number(0.0, help="divisor of the latents; 0: measured on the data"),
        "space.unit": choice(
            "largest",
            "largest",
            "deviation",
            help="what scale 0 measures: the largest absolute latent, or the root mean square",
        ),
    },
    FrozenNetworks(
        own=autoencoder_folder.own,
        check=autoencoder_folder.check_trained,
        shapes=autoencoder_folder.shapes,
        load=autoencoder_folder.load,
        feed=_feed,
        adopt=autoencoder_folder.adopt,
        batch=_batch,
        hashes=autoencoder_folder.hashes,
        folder=autoencoder_folder.FOLDER,
    ),
)
