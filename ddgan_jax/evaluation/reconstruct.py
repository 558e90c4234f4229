"""`--mode=reconstruct`: real images through the encoder and back, measured and drawn.

For methods that encode: latents by the encoder alone and, for DDDG with `--refine=N`, after N steps
of gradient descent from there. The mean image and PCA with as many numbers as the latents have,
half and a quarter of them, stand beside both.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.random import sample_keys
from ddgan_jax.data import load_source
from ddgan_jax.data.source import Source
from ddgan_jax.features.lpips import Lpips, distances, lpips_for
from ddgan_jax.inference.model import Model, load
from ddgan_jax.io import run_folder
from ddgan_jax.metrics.reconstruction import psnr, ssim, ssim_protocol
from ddgan_jax.plotting import grids as plots
from ddgan_jax.spaces.pixels import pixels

SHOWN = 10  # images in the figures
EDITED = 3  # latents of every t in the figure of edits
PCA_IMAGES = 10_000  # of the training data, evenly spaced


def to_floats(images: np.ndarray) -> np.ndarray:
    """uint8 -> float32 in [-1, 1], as the methods see them."""
    return np.asarray(pixels(images.shape[1:]).encode(jnp.asarray(images), ()))


def quality(images: np.ndarray, others: np.ndarray, lpips: Lpips | None = None) -> dict[str, float]:
    """Means over images [N, H, W, C] in [-1, 1] of PSNR and SSIM (data range 2), and of LPIPS.

    That of grey images has a name of its own: the network was made for colour.
    """
    clipped = np.clip(others, -1, 1)
    found = {"psnr": float(psnr(images, clipped).mean())}
    if min(images.shape[1:3]) >= 7:
        found["ssim"] = float(ssim(images, clipped).mean())
    if lpips is not None:
        name = "lpips" if images.shape[-1] == 3 else "lpips_grey_as_colour"
        found[name] = float(distances(lpips, images, clipped).mean())
    return found


def pca(train: np.ndarray, images: np.ndarray, components: int) -> np.ndarray:
    """Images rebuilt from their coordinates along the first principal components of `train`."""
    flat = train.reshape(len(train), -1).astype(np.float64)
    mean = flat.mean(axis=0)
    scatter = (flat - mean).T @ (flat - mean)
    axes = np.linalg.eigh(scatter)[1][:, ::-1][:, :components]
    centred = images.reshape(len(images), -1) - mean
    return (centred @ axes @ axes.T + mean).reshape(images.shape).astype(np.float32)


def strip(rows: np.ndarray) -> np.ndarray:
    """Images [R, K, H, W, C] -> one picture, R rows of K."""
    return plots.image_grid(rows.reshape(-1, *rows.shape[2:]), columns=rows.shape[1])


def degradation_figure(model: Model, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Every image at t = 0, 1, ..., t_max (figure 1 of the paper)."""
    degrade = model.method.degrade
    assert degrade is not None  # a method that encodes has it
    t_max = model.encode(images[:1], labels[:1]).shape[1]
    x = jnp.asarray(images)
    rows = [np.asarray(degrade(x, jnp.int32(t))) for t in range(t_max + 1)]
    return strip(np.stack(rows, axis=1))


def path_figure(model: Model, latents: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Above, x'_0..x'_{t_max - 1}; below, x^norm_1..x^norm_{t_max} (figure 2 of the paper)."""
    x, norm = model.path(latents, labels)
    return strip(np.concatenate([x[:, :-1], norm], axis=0))


def progress_figure(
    model: Model, images: np.ndarray, latents: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """x'_1..x'_{t_max} of the encoder's latents, and the image itself (figure 3 of the paper)."""
    x, _ = model.path(latents, labels)
    return strip(np.concatenate([x[:, 1:], images[:, None]], axis=1))


def interpolation_figure(
    model: Model, images: np.ndarray, latents: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """Between the latents of one image and the next of its class, real images at both ends."""
    shown = min(SHOWN, len(images))
    following = np.empty(shown, int)
    for first in range(shown):
        same = np.flatnonzero(labels == labels[first])
        following[first] = same[(np.searchsorted(same, first) + 1) % len(same)]
    made = model.interpolate(latents[:shown], latents[following], labels[:shown])
    return strip(np.concatenate([images[:shown, None], made, images[following, None]], axis=1))


def largest_latents(model: Model) -> list[dict[str, Any]]:
    """The `EDITED` latents of largest learned variance of every t: [{"t", "index", "variance"}]."""
    variance = np.asarray(model.params["latent"]["variance"])
    return [
        {"t": t, "index": int(index), "variance": float(row[index])}
        for t, row in enumerate(variance)
        for index in np.argsort(-row)[:EDITED]
    ]


def edit_figure(
    model: Model, image: np.ndarray, latents: np.ndarray, label: int, reach: float = 3.0
) -> np.ndarray:
    """A row for each of `largest_latents`, moved from -reach to reach.

    Args:
      model: one with learned variances.
      image: the real one [1, H, W, C], at the left of every row.
      latents: its own, [1, t_max, d_z].
      label: its class.
      reach: in standard deviations of the prior.
    """
    values = np.linspace(-reach, reach, 7, dtype=np.float32)
    rows = []
    for which in largest_latents(model):
        made = model.edit(latents, which["t"], which["index"], values, np.array([label]))
        rows.append(np.concatenate([image, made[0]]))
    return strip(np.stack(rows))


def disagreement(model: Model, latents: np.ndarray, labels: np.ndarray) -> list[float]:
    """RMS of reduce_info(x'_{t+1}, t) - x'_t over images decoded from `latents`, t = 0..t_max-1.

    0 up to rounding where the degradation is a projection (equation 2 of the paper); blur is none.
    """
    degrade = model.method.degrade
    assert degrade is not None  # a method that encodes has it
    x, _ = model.path(latents, labels)
    found = []
    for t in range(x.shape[1] - 1):
        again = np.asarray(degrade(jnp.asarray(x[:, t + 1]), jnp.int32(t)))
        found.append(float(np.sqrt(np.mean(np.square(again - x[:, t])))))
    return found


def measure(
    model: Model,
    train: Source,
    images: np.ndarray,
    labels: np.ndarray,
    refine: int,
    rate: float,
    lpips: Lpips | None = None,
) -> tuple[dict[str, dict[str, float]], dict[str, np.ndarray]]:
    """Quality of every way to rebuild float images, and the arrays that came out.

    Returns:
      ({"encoder": {"psnr": .., "ssim": .., ..}, "refined": .., "pca_of_12": .., "mean_image": ..},
      {"latents": [N, t_max, d_z], "reconstructions": [N, H, W, C], ...}).
    """
    latents = model.encode(images, labels)
    made = {"latents": latents, "reconstructions": model.decode(latents, labels)}
    found = {"encoder": quality(images, made["reconstructions"], lpips)}
    if refine:
        better = model.refine(images, latents, labels, refine, rate)
        made |= {"refined_latents": better, "refined": model.decode(better, labels)}
        found["refined"] = quality(images, made["refined"], lpips)
    chosen = np.linspace(0, train.size - 1, min(train.size, PCA_IMAGES)).round().astype(int)
    known = to_floats(train.take(chosen)["image"])
    numbers = int(np.prod(latents.shape[1:]))
    for components in (numbers // 4, numbers // 2, numbers):  # a quarter and a half say how far off
        if 0 < components < known[0].size:
            found[f"pca_of_{components}"] = quality(images, pca(known, images, components), lpips)
    mean = np.broadcast_to(known.mean(axis=0), images.shape)
    found["mean_image"] = quality(images, mean, lpips)
    return found, made


def reconstruct(
    config: ConfigDict | None,
    workdir: Path,
    out: Path,
    count: int,
    *,
    split: str = "test",
    refine: int = 0,
    rate: float = 0.05,
    seed: int = 0,
    step: int | None = None,
    say: Callable[[str], None] = print,
) -> int:
    """Write `reconstruction.json`, `reconstructions.npz` and the figures into `out`.

    Args:
      config: the run's, changed; None: its own.
      workdir: the run folder.
      out: where to.
      count: how many images of `split`, from its beginning.
      split: of the run's data.
      refine, rate: steps and learning rate of Adam on the latents; 0 leaves it out.
      seed: of the samples in `path.png`.
      step: of the checkpoint; the last one if None.
      say: where lines for a person go.

    Raises:
      UserError: the method has no inversion; see also `model.load`.
    """
    if jax.process_count() > 1:
        raise UserError("--mode=reconstruct is for one process: start it on one host alone, with "
                        "--coordinator=none")  # fmt: skip
    model = load(workdir, step, config)
    if model.method.encode is None:
        raise UserError(
            f"--mode=reconstruct: method {model.config.method!r} has no inversion; 'dddg' and "
            "'autoencoder' have"
        )
    described = model.config.data.to_dict()
    source = load_source(ConfigDict({**described, "split": split}))
    train = load_source(ConfigDict(described))
    if jax.process_index() == 0:
        run_folder.check_writable("--out", out)
    some = source.take(np.arange(min(count, source.size)))
    images, labels = to_floats(some["image"]), some["label"]
    if not model.config.get("classes", 0):
        labels = np.zeros_like(labels)
    lpips, lpips_protocol = lpips_for(images.shape[1:])
    found, made = measure(model, train, images, labels, refine, rate, lpips)

    shown = slice(min(SHOWN, len(images)))
    best = made.get("refined_latents", made["latents"])
    rows = [images, *(made[k] for k in ("reconstructions", "refined") if k in made)]
    pictures = {
        "interpolation": interpolation_figure(model, images, best, labels),
        "reconstructions": strip(np.stack(rows)[:, shown]),
    }
    inside: dict[str, Any] = {}
    if model.method.prior is not None:  # decoding goes through degraded images
        keys = sample_keys(jax.random.key(seed), 0, SHOWN)
        drawn, drawn_labels = (np.asarray(x) for x in model.method.prior(keys))
        latents, some_labels = made["latents"][shown], labels[shown]
        pictures |= {
            "degradation": degradation_figure(model, images[shown], some_labels),
            "path": path_figure(model, drawn[:4], drawn_labels[:4]),
            "progress": progress_figure(model, images[shown], latents, some_labels),
            "edits": edit_figure(model, images[:1], best[:1], int(labels[0])),
        }
        inside = {
            "disagreement_rms": disagreement(model, made["latents"], labels),
            "edits": largest_latents(model),
        }
    report: dict[str, Any] = {
        "quality": found,
        **inside,
        "protocol": {
            "images": len(images),
            "split": f"{source.name}, {split}",
            "step": model.step,
            "refine": refine,
            "refine_rate": rate,
            "numbers_per_image": int(np.prod(made["latents"].shape[1:])),
            "psnr": "per image, data range 2, then the mean",
            "ssim": ssim_protocol(images.shape) if min(images.shape[1:3]) >= 7 else "none",
            "lpips": lpips_protocol,
        },
    }
    if jax.process_index() == 0:
        _write(out, report, pictures, {**made, "images": images, "labels": labels})
        width = max(map(len, found))
        for name, values in found.items():
            say(f"{name:<{width}}  " + "  ".join(f"{k} {v:8.4f}" for k, v in values.items()))
        if inside:
            errors = ", ".join(f"{error:.2g}" for error in inside["disagreement_rms"])
            say(f"RMS of reduce_info(x'_(t+1), t) - x'_t, t = 0, 1, ...: {errors}")
        said = report["protocol"]
        say(
            f"{said['images']} images of {said['split']}, {said['numbers_per_image']} numbers each;"
            f" step {model.step}; LPIPS: {said['lpips']}: {out / 'reconstruction.json'}, figures"
            " beside it"
        )
    return 0


def _write(
    out: Path,
    report: dict[str, Any],
    pictures: dict[str, np.ndarray],
    arrays: dict[str, Any],
) -> None:
    try:
        for name, picture in pictures.items():
            with run_folder.atomically(out / f"{name}.png") as path:
                plots.save_png(path, picture)
        with run_folder.atomically(out / "reconstructions.npz") as path:
            np.savez_compressed(path, **arrays)
        text = json.dumps(report, indent=2) + "\n"
        run_folder.write_atomically(out / "reconstruction.json", text)
    except OSError as error:
        raise UserError(f"--out={out} cannot be written to: {error.strerror}") from error
