"""`sample`: draw samples from a run folder and write them as samples.png and samples.npz."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.images import to_uint8
from ddgan_jax.inference.model import load
from ddgan_jax.io import run_folder
from ddgan_jax.io.best import Step
from ddgan_jax.plotting import grids as plots

GRID_LIMIT = 1024  # images shown in samples.png; samples.npz has all of them


def sample_to_folder(
    workdir: Path,
    out: Path,
    count: int,
    seed: int,
    *,
    label: int | None = None,
    step: Step = None,
    config: ConfigDict | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Write `samples.png` and `samples.npz`.

    The npz has "images" (uint8; points are float32), "seed", "step" and, for a class-conditional
    model, "labels" int32.

    Args:
      workdir: the run folder.
      out: folder to write to.
      count: number of samples.
      seed: seed of the samples; sample i depends on (seed, i) and its label only.
      label: class of all samples; None: each class in turn.
      step: see `model.load`.
      config: see `model.load`.
      say: prints a line.

    Raises:
      UserError: see `model.load`; the model does not know `label`; or `out` cannot be written to.
    """
    model = load(workdir, step, config)
    labels = None if label is None else np.full(count, label, np.int32)
    if labels is None and model.classes:
        labels = np.arange(count, dtype=np.int32) % model.classes
    if jax.process_index() == 0:
        run_folder.check_writable("--out", out)  # before the long computation
    if jax.process_index() == 0:
        say("compiling the sampler ...")
    start = time.perf_counter()
    # Converted to uint8 batch by batch, which needs a quarter of the memory.
    batches = model.batches(jax.random.key(seed), count, labels=labels)
    stored = np.concatenate([to_uint8(b) if b.ndim == 4 else b for b in batches])
    seconds = time.perf_counter() - start
    if jax.process_index() == 0:
        found: dict[str, Any] = {
            "images": stored,
            "seed": seed,
            "step": model.step,
        }
        found |= {} if labels is None else {"labels": labels}
        png, npz = out / "samples.png", out / "samples.npz"
        try:
            with run_folder.atomically(png) as path:
                shown = stored[:GRID_LIMIT] if stored.ndim == 4 else stored
                plots.save_png(path, plots.picture(shown))
            with run_folder.atomically(npz) as path:
                np.savez_compressed(path, **found)
        except OSError as error:
            raise UserError(f"--out={out} cannot be written to: {error.strerror}") from error
        say(
            f"{count:,} samples of step {model.step}, {model.method.nfe} network evaluations each, "
            f"in {seconds:.1f} s (compilation included): {png} and {npz}"
        )
