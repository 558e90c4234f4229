"""Figures of the command `reconstruct`: degradations, decoding paths, interpolations and edits.

Every figure is a uint8 picture [H, W, 3], a grid of images. Images are float32 [N, H, W, C] in
[-1, 1], latents float32 [N, ...], labels int32 [N]. Numbers of figures are those of the DDDG paper.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

from ddgan_jax.inference.model import Model
from ddgan_jax.plotting import grids as plots

SHOWN = 10  # images per figure
EDITED = 3  # latents edited at each t


def strip(rows: np.ndarray) -> np.ndarray:
    """Draw images [R, K, H, W, C] as R rows of K."""
    return plots.image_grid(rows.reshape(-1, *rows.shape[2:]), columns=rows.shape[1])


def degradation_figure(model: Model, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Degrade every image at t = 0, 1, ..., t_max (figure 1), one row per image."""
    inversion = model.method.inversion
    assert inversion is not None and inversion.degrade is not None
    t_max = model.encode(images[:1], labels[:1]).shape[1]
    x = jnp.asarray(images)
    rows = [np.asarray(inversion.degrade(x, jnp.int32(t))) for t in range(t_max + 1)]
    return strip(np.stack(rows, axis=1))


def path_figure(model: Model, latents: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Decode step by step (figure 2).

    First a row of x'_0..x'_{t_max - 1} for each image, then a row of x^norm_1..x^norm_{t_max}.
    """
    x, norm = model.path(latents, labels)
    return strip(np.concatenate([x[:, :-1], norm], axis=0))


def progress_figure(
    model: Model, images: np.ndarray, latents: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """Decode step by step (figure 3): x'_1..x'_{t_max} of each image's latents, then the image."""
    x, _ = model.path(latents, labels)
    return strip(np.concatenate([x[:, 1:], images[:, None]], axis=1))


def interpolation_figure(
    model: Model, images: np.ndarray, latents: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """Interpolate between the latents of each image and the next one of its class.

    The real images are at both ends of a row.
    """
    shown = min(SHOWN, len(images))
    following = np.empty(shown, int)
    for first in range(shown):
        same = np.flatnonzero(labels == labels[first])
        following[first] = same[(np.searchsorted(same, first) + 1) % len(same)]
    made = model.interpolate(latents[:shown], latents[following], labels[:shown])
    return strip(np.concatenate([images[:shown, None], made, images[following, None]], axis=1))


def largest_latents(model: Model) -> list[dict[str, Any]]:
    """The latents of largest learned variance, `EDITED` at each t.

    Returns:
      [{"t": .., "index": .., "variance": ..}, ...].
    """
    variance = np.asarray(model.params["latent"]["variance"])
    return [
        {"t": t, "index": int(index), "variance": float(row[index])}
        for t, row in enumerate(variance)
        for index in np.argsort(-row)[:EDITED]
    ]


def edit_figure(
    model: Model, image: np.ndarray, latents: np.ndarray, label: int, reach: float = 3.0
) -> np.ndarray:
    """Vary one latent per row, each of `largest_latents`, from -reach to reach.

    Args:
      model: a model with learned variances.
      image: the real image [1, H, W, C], shown at the left of every row.
      latents: its latents [1, t_max, d_z].
      label: its class.
      reach: largest value of the latent, in standard deviations of the prior.
    """
    values = np.linspace(-reach, reach, 7, dtype=np.float32)
    rows = []
    for which in largest_latents(model):
        made = model.edit(latents, which["t"], which["index"], values, np.array([label]))
        rows.append(np.concatenate([image, made[0]]))
    return strip(np.stack(rows))
