"""`--mode=sample`: a PNG and an npz of any number of images from a run folder."""

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
from ddgan_jax.plotting import grids as plots

GRID_LIMIT = 1024  # images in the picture; the npz has them all


def sample_to_folder(
    workdir: Path,
    out: Path,
    count: int,
    seed: int,
    *,
    label: int | None = None,
    step: int | None = None,
    config: ConfigDict | None = None,
    say: Callable[[str], None] = print,
) -> int:
    """Write `samples.png` and `samples.npz`: "images" (uint8; points: float32), "seed", "step".

    Of a class-conditional model also "labels", int32: all `label`, or if that is None each class in
    turn.

    Raises:
      UserError: see `model.load`; the model does not know `label`; or `out` cannot be written to.
    """
    model = load(workdir, step, config)
    labels = None if label is None else np.full(count, label, np.int32)
    if labels is None and model.classes:
        labels = np.arange(count, dtype=np.int32) % model.classes
    if jax.process_index() == 0:
        run_folder.check_writable("--out", out)  # before the work, not after it
    start = time.perf_counter()
    # To uint8 batch by batch: a quarter of the memory.
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
    return 0
