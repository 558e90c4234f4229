"""`--mode=sample`: a PNG and an npz of any number of images from a run folder."""

import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from ddgan_jax import plots
from ddgan_jax.errors import UserError
from ddgan_jax.model import load

GRID_LIMIT = 1024  # images in the picture; the npz has them all


def sample_to_folder(
    workdir: Path,
    out: Path,
    count: int,
    seed: int,
    *,
    step: int | None = None,
    config: ConfigDict | None = None,
    say: Callable[[str], None] = print,
) -> int:
    """Write `samples.png` and `samples.npz`: "images" (uint8; points: float32), "seed", "step".

    Raises:
      UserError: see `model.load`; or `out` cannot be written to.
    """
    model = load(workdir, step, config)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out={out} cannot be made: {error.strerror}") from None
    start = time.perf_counter()
    samples = model.sample(jax.random.key(seed), count)
    seconds = time.perf_counter() - start
    if jax.process_index() == 0:
        png, npz = out / "samples.png", out / "samples.npz"
        plots.save_png(png, plots.picture(samples[:GRID_LIMIT] if samples.ndim == 4 else samples))
        stored = plots.to_uint8(samples) if samples.ndim == 4 else samples
        np.savez_compressed(npz, images=stored, seed=seed, step=model.step)
        say(
            f"{count:,} samples of step {model.step}, {model.method.nfe} network evaluations each, "
            f"in {seconds:.1f} s (compilation included): {png} and {npz}"
        )
    return 0
