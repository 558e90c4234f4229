"""The command `reconstruct`: reconstruct real images by encoder and decoder, measure and draw them.

For methods that invert. Latents come from the encoder and, with `--refine=N`, from N further steps
of gradient descent. Baselines are the mean image and PCA with as many components as there are
latents, and with a half and a quarter of that; numbers of components that the images of PCA do not
determine are left out.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from ddgan_jax.core.errors import UserError, in_words_of
from ddgan_jax.core.random import sample_keys
from ddgan_jax.data import load_source
from ddgan_jax.data.source import Source
from ddgan_jax.evaluation import figures
from ddgan_jax.features.lpips import Lpips, distances_by_name, lpips_for
from ddgan_jax.inference.model import Model, load
from ddgan_jax.io import run_folder
from ddgan_jax.io.best import Step
from ddgan_jax.methods import METHODS
from ddgan_jax.metrics.reconstruction import UNIFORM_WINDOW, reconstruction_quality, ssim_protocol
from ddgan_jax.plotting import grids as plots
from ddgan_jax.spaces.pca import Pca, as_floats, evenly_spaced, principal_components

Say = Callable[[str], None]


def project(pca: Pca, images: np.ndarray, components: int) -> np.ndarray:
    """Project images, float32 [N, H, W, C], onto the first principal components."""
    axes = pca.axes[:components]
    centered = images.reshape(len(images), -1) - pca.mean
    projected: np.ndarray = centered @ axes.T @ axes + pca.mean
    return projected.reshape(images.shape).astype(np.float32)


def disagreement(model: Model, latents: np.ndarray, labels: np.ndarray) -> list[float]:
    """RMS of reduce_info(x'_{t+1}, t) - x'_t for t = 0..t_max-1, over decoded images.

    0 up to rounding if the degradation is a projection (equation 2 of the DDDG paper), which blur
    is not.

    Args:
      model: a model that decodes through degraded images.
      latents: float32 [N, t_max, d_z].
      labels: int32 [N].
    """
    inversion = model.method.inversion
    assert inversion is not None and inversion.degrade is not None
    x, _ = model.path(latents, labels)
    found = []
    for t in range(x.shape[1] - 1):
        again = np.asarray(inversion.degrade(jnp.asarray(x[:, t + 1]), jnp.int32(t)))
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
    """Reconstruct images by the model and by the baselines, and measure the quality of each.

    Args:
      model: a model that inverts.
      train: training data, for the baselines.
      images: float32 [N, H, W, C] in [-1, 1].
      labels: int32 [N].
      refine: steps of gradient descent on the latents; 0 for none.
      rate: learning rate of these steps.
      lpips: the network of LPIPS, if it is available.

    Returns:
      ({"encoder": {"psnr": .., "ssim": .., ..}, "refined": .., "pca_of_12": .., "mean_image": ..},
      {"latents": [N, ...], "reconstructions": [N, H, W, C], ...}).
    """
    distances = distances_by_name(lpips, images.shape[1:])

    def quality(reconstructions: np.ndarray) -> dict[str, float]:
        return reconstruction_quality([(images, reconstructions)], distances)

    latents = model.encode(images, labels)
    made = {"latents": latents, "reconstructions": model.decode(latents, labels)}
    found = {"encoder": quality(made["reconstructions"])}
    if refine:
        better = model.refine(images, latents, labels, refine, rate)
        made |= {"refined_latents": better, "refined": model.decode(better, labels)}
        found["refined"] = quality(made["refined"])
    known = as_floats(train.take(evenly_spaced(train.size, images[0].size))["image"])
    pca = principal_components(known)
    numbers = int(np.prod(latents.shape[1:]))
    for components in (numbers // 4, numbers // 2, numbers):
        if 0 < components < min(known[0].size, len(known)):
            found[f"pca_of_{components}"] = quality(project(pca, images, components))
    found["mean_image"] = quality(np.broadcast_to(known.mean(axis=0), images.shape))
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
    step: Step = None,
    say: Say = print,
) -> None:
    """Write `reconstruction.json`, `reconstructions.npz` and the figures.

    Args:
      config: config of the run with changes; None for the run's own.
      workdir: the run folder.
      out: the folder to write into.
      count: number of images, from the beginning of `split`.
      split: split of the run's data.
      refine: steps of gradient descent (Adam) on the latents; 0 for none.
      rate: learning rate of these steps.
      seed: seed of the samples in `path.png`.
      step: see `model.load`.
      say: prints a line.

    Raises:
      UserError: the method does not invert, or there are several processes; see also `model.load`.
    """
    if jax.process_count() > 1:
        raise UserError(
            f"reconstruct runs in {jax.process_count()} processes; one is needed: start it "
            "on one host with --coordinator=none"
        )
    model = load(workdir, step, config)
    _check_inverts(model)
    described = model.config.data.to_dict()
    with in_words_of({"config.data.split": "--split"}):
        source = load_source(ConfigDict({**described, "split": split}))
    train = load_source(ConfigDict(described))
    run_folder.check_writable("--out", out)
    some = source.take(np.arange(min(count, source.size)))
    images, labels = as_floats(some["image"]), some["label"]
    if not model.config.get("classes", 0):
        labels = np.zeros_like(labels)
    lpips, lpips_protocol = lpips_for(images.shape[1:])
    found, made = measure(model, train, images, labels, refine, rate, lpips)
    pictures = _pictures(model, images, labels, made)
    path: dict[str, Any] = {}
    if _decodes_through_degraded_images(model):
        pictures |= _path_pictures(model, images, labels, made, seed)
        path = {
            "disagreement_rms": disagreement(model, made["latents"], labels),
            "edits": figures.largest_latents(model),
        }
    enough = min(images.shape[1:3]) >= UNIFORM_WINDOW
    report: dict[str, Any] = {
        "quality": found,
        **path,
        "protocol": {
            "images": len(images),
            "split": f"{source.name}, {split}",
            "step": model.step,
            "refine": refine,
            "refine_rate": rate,
            "numbers_per_image": int(np.prod(made["latents"].shape[1:])),
            "psnr": "per image, data range 2, then the mean",
            "ssim": ssim_protocol(images.shape) if enough else "none",
            "lpips": lpips_protocol,
        },
    }
    _write(out, report, pictures, {**made, "images": images, "labels": labels})
    for line in _lines(report):
        say(line)
    say(f"written to {out / 'reconstruction.json'}, with figures in the same folder")


def _check_inverts(model: Model) -> None:
    """Raise a UserError unless the method of the model has an encoder and a decoder."""
    if model.method.inversion is None:
        able = sorted(name for name, entry in METHODS.items() if entry.inverts)
        raise UserError(
            f"config.method is {model.config.method!r}, which has no inversion; reconstruct needs "
            f"a method that inverts: {', '.join(able)}"
        )


def _decodes_through_degraded_images(model: Model) -> bool:
    """Whether the decoder has intermediate images, and a prior that latents are drawn from."""
    inversion = model.method.inversion
    if inversion is None or "latent" not in model.params:
        return False
    return None not in (inversion.prior, inversion.path, inversion.degrade)


def _pictures(
    model: Model, images: np.ndarray, labels: np.ndarray, made: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The figures of every method, by the name of their file."""
    shown = slice(min(figures.SHOWN, len(images)))
    best = made.get("refined_latents", made["latents"])
    rows = [images, *(made[k] for k in ("reconstructions", "refined") if k in made)]
    return {
        "interpolation": figures.interpolation_figure(model, images, best, labels),
        "reconstructions": figures.strip(np.stack(rows)[:, shown]),
    }


def _path_pictures(
    model: Model, images: np.ndarray, labels: np.ndarray, made: dict[str, np.ndarray], seed: int
) -> dict[str, np.ndarray]:
    """The figures of methods that decode through degraded images, by the name of their file."""
    inversion = model.method.inversion
    assert inversion is not None and inversion.prior is not None
    shown = slice(min(figures.SHOWN, len(images)))
    best = made.get("refined_latents", made["latents"])
    keys = sample_keys(jax.random.key(seed), 0, figures.SHOWN)
    drawn, drawn_labels = (np.asarray(x) for x in inversion.prior(keys))
    latents, some, some_labels = made["latents"][shown], images[shown], labels[shown]
    return {
        "degradation": figures.degradation_figure(model, some, some_labels),
        "path": figures.path_figure(model, drawn[:4], drawn_labels[:4]),
        "progress": figures.progress_figure(model, some, latents, some_labels),
        "edits": figures.edit_figure(model, images[:1], best[:1], int(labels[0])),
    }


def _lines(report: dict[str, Any]) -> list[str]:
    """Format a report for the terminal."""
    width = max(map(len, report["quality"]))
    lines = [
        f"{name:<{width}}  " + "  ".join(f"{k} {v:8.4f}" for k, v in values.items())
        for name, values in report["quality"].items()
    ]
    if "disagreement_rms" in report:
        errors = ", ".join(f"{error:.2g}" for error in report["disagreement_rms"])
        lines.append(f"RMS of reduce_info(x'_(t+1), t) - x'_t, t = 0, 1, ...: {errors}")
    said = report["protocol"]
    lines.append(
        f"{said['images']} images of {said['split']}, {said['numbers_per_image']} latents each; "
        f"step {said['step']}; LPIPS: {said['lpips']}"
    )
    return lines


def _write(
    out: Path,
    report: dict[str, Any],
    pictures: dict[str, np.ndarray],
    arrays: dict[str, Any],
) -> None:
    """Write figures, arrays and the report; each file is written whole or not at all."""
    try:
        for name, picture in pictures.items():
            plots.save_png(out / f"{name}.png", picture)
        with run_folder.atomically(out / "reconstructions.npz") as path:
            np.savez_compressed(path, **arrays)
        text = json.dumps(report, indent=2) + "\n"
        run_folder.write_atomically(out / "reconstruction.json", text)
    except OSError as error:
        raise UserError(f"--out={out} cannot be written to: {error.strerror}") from error
