"""`sample`: draw samples from a run folder and write them as a grid with an npz, or one by one."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.images import to_uint8
from ddgan_jax.inference.model import Model, load
from ddgan_jax.io import run_folder
from ddgan_jax.io.best import Step
from ddgan_jax.plotting import grids as plots

MOST_COLUMNS = 32  # with more classes, the grid has not a column for each
GRID_LIMIT = 1024  # images shown in samples.png; samples.npz has all of them


@dataclasses.dataclass(frozen=True)
class Wanted:
    """Which samples to draw.

    Attributes:
      count: number of samples.
      seed: sample i depends on (seed, i) and its label only.
      seeds: one sample for each of these seeds, the first of that seed; `count` and `seed` are
        not used then. Empty: see `seed`.
      label: class of all samples; None: each in turn, by i or by the seed of the sample.
      psi: truncation, see `sampling.truncated`.
    """

    count: int = 64
    seed: int = 0
    seeds: Sequence[int] = ()
    label: int | None = None
    psi: float = 1.0


def sample_to_folder(
    workdir: Path,
    out: Path,
    wanted: Wanted,
    *,
    files: str = "grid",
    columns: int = 0,
    raw: bool = False,
    step: Step = None,
    config: ConfigDict | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Draw samples and write them.

    The npz has "images" (uint8; points are float32), "seed" or "seeds", "step" and, for a
    class-conditional model, "labels" int32, and with truncation "truncation_psi".

    Args:
      workdir: the run folder.
      out: folder to write to.
      wanted: which samples.
      files: "grid": `samples.png` and `samples.npz`; "png": a file for each image, whose name has
        its seed, the step, and what else was asked for: class, truncation, raw weights.
      columns: images in a row of the grid; 0: the number of classes, or else as square as possible.
      raw: see `model.load`.
      step: see `model.load`.
      config: see `model.load`.
      say: prints a line.

    Raises:
      UserError: see `model.load`; the model does not know the label, or has no styles to truncate;
        points are wanted as "png"; or `out` cannot be written to.
    """
    model = load(workdir, step, config, raw=raw)
    if wanted.psi != 1 and model.method.styles is None:
        raise UserError(
            f"--truncation is {wanted.psi:g}; 1 is needed, since the generator of "
            f"--workdir={workdir} has no styles"
        )
    if files == "png" and len(model.shape) != 3:
        raise UserError(f"--format=png needs images; the data of --workdir={workdir} are points")
    first = jax.process_index() == 0
    if first:
        run_folder.check_writable("--out", out)  # before the long computation
        say("compiling the sampler ...")
    start = time.perf_counter()
    found = draw(model, wanted)
    if not first:
        return
    seconds = time.perf_counter() - start
    try:
        if files == "png":
            written = _write_each(out, found, _asked_for(wanted, raw))
        else:
            row = model.classes if model.classes <= MOST_COLUMNS else 0
            written = _write_grid(out, found, columns or row)
    except OSError as error:
        raise UserError(f"--out={out} cannot be written to: {error.strerror}") from error
    say(
        f"{len(found['images']):,} samples of step {model.step}, {model.method.nfe} network "
        f"evaluations each, in {seconds:.1f} s (compilation included): {written}"
    )


def draw(model: Model, wanted: Wanted) -> dict[str, Any]:
    """Draw samples.

    Args:
      model: a model that samples.
      wanted: which samples.

    Returns:
      What the npz of `sample_to_folder` has.

    Raises:
      UserError: see `Model.sample`.
    """
    count = len(wanted.seeds) or wanted.count
    turn = np.asarray(wanted.seeds or range(count), np.int64)
    labels = None if wanted.label is None else np.full(count, wanted.label, np.int32)
    if labels is None and model.classes:
        labels = (turn % model.classes).astype(np.int32)
    if wanted.seeds:
        key = jax.vmap(jax.random.key)(turn.astype(np.uint32))
    else:
        key = jax.random.key(wanted.seed)
    # Converted to uint8 batch by batch, which needs a quarter of the memory.
    batches = model.batches(key, count, labels=labels, truncation_psi=wanted.psi)
    found: dict[str, Any] = {
        "images": np.concatenate([to_uint8(b) if b.ndim == 4 else b for b in batches]),
        **({"seeds": turn} if wanted.seeds else {"seed": wanted.seed}),
        "step": model.step,
    }
    found |= {} if labels is None else {"labels": labels}
    return found | ({} if wanted.psi == 1 else {"truncation_psi": wanted.psi})


def _write_grid(out: Path, found: dict[str, Any], columns: int) -> str:
    images, png, npz = found["images"], out / "samples.png", out / "samples.npz"
    shown = images[:GRID_LIMIT] if images.ndim == 4 else images
    plots.save_png(png, plots.picture(shown, columns))
    with run_folder.atomically(npz) as path:
        np.savez_compressed(path, **found)
    return f"{png} and {npz}"


def _asked_for(wanted: Wanted, raw: bool) -> str:
    """The part of a file's name that tells samples of one seed apart."""
    parts = {
        f"_class{wanted.label}": wanted.label is not None,
        f"_psi{wanted.psi:g}": wanted.psi != 1,
        "_raw": raw,
    }
    return "".join(text for text, holds in parts.items() if holds)


def _write_each(out: Path, found: dict[str, Any], asked: str) -> str:
    end = f"step{found['step']:08d}{asked}.png"
    seeds = found.get("seeds")
    names = [
        f"seed{found['seed']:04d}_{i:05d}_{end}" if seeds is None else f"seed{seeds[i]:04d}_{end}"
        for i in range(len(found["images"]))
    ]
    for name, image in zip(names, found["images"], strict=True):
        plots.save_png(out / name, image)
    return f"{out / names[0]} to {names[-1]}"
