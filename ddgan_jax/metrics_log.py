"""Metrics to JSONL, TensorBoard and the terminal; exact to resume."""

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np

from ddgan_jax.errors import UserError
from ddgan_jax.run_folder import write_atomically
from ddgan_jax.types import Array

Metrics = Mapping[str, Array]


class MetricsLog:
    """Writes `metrics.jsonl` and TensorBoard events into a run folder.

    Opened at step s it first drops the lines after s, which a killed run wrote beyond its last
    checkpoint: the file always is that of one uninterrupted run.
    """

    def __init__(self, workdir: Path, start: int):
        from tensorboardX import SummaryWriter

        path = workdir / "metrics.jsonl"
        if path.exists():
            lines = path.read_text().splitlines(keepends=True)
            write_atomically(path, "".join(line for line in lines if _step_of(line) <= start))
        self._file = path.open("a", buffering=1)
        self._board = SummaryWriter(str(workdir / "tensorboard"), purge_step=start + 1)

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """One line and one TensorBoard point per scalar."""
        rounded = {k: float(f"{v:.6g}") for k, v in scalars.items()}
        self._file.write(json.dumps({"step": step, **rounded}) + "\n")
        for name, value in scalars.items():
            self._board.add_scalar(name, value, step)

    def image(self, name: str, step: int, picture: np.ndarray) -> None:
        """A uint8 [H, W, 3] picture for TensorBoard."""
        self._board.add_image(name, picture, step, dataformats="HWC")

    def close(self) -> None:
        """Flush and close both files."""
        self._file.close()
        self._board.close()


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return math.inf  # a line that was cut short


class Window:
    """Metrics of the steps since the last log line; on the devices until `settle` asks for them."""

    def __init__(self) -> None:
        self._pending: list[tuple[int, Metrics]] = []
        self._settled: list[Mapping[str, np.ndarray]] = []

    def add(self, step: int, metrics: Metrics) -> None:
        """Remember the metrics of a step, without waiting for them."""
        self._pending.append((step, metrics))

    def settle(self, advice: str) -> None:
        """Wait for all metrics so far and check them: the only host sync of the loop.

        Raises:
          UserError: one is NaN or infinite; names the first such step, its phase and the metric.
        """
        fetched = jax.device_get([metrics for _, metrics in self._pending])
        for (step, _), metrics in zip(self._pending, fetched, strict=True):
            for name, value in metrics.items():
                if not np.isfinite(value):
                    role, _, metric = name.partition("/")
                    raise UserError(f"step {step}, phase {role}: {metric} is {value}; {advice}")
        self._settled += fetched
        self._pending.clear()

    def means(self) -> dict[str, float]:
        """Means over the settled steps, by name; starts a new window."""
        names = sorted({name for metrics in self._settled for name in metrics})
        result = {
            name: float(np.mean([m[name] for m in self._settled if name in m])) for name in names
        }
        self._settled.clear()
        return result


class Clock:
    """Images/s and time left, from the steps since the last reading."""

    def __init__(self, step: int, total: int, batch_size: int):
        self.total, self.batch_size = total, batch_size
        self.restart(step)

    def restart(self, step: int) -> None:
        """Start anew at `step`: what came before (a checkpoint, a grid) does not count."""
        self.step, self.time = step, time.perf_counter()

    def read(self, step: int) -> tuple[float, float]:
        """(images per second, seconds left) and start anew."""
        seconds = max(time.perf_counter() - self.time, 1e-9) / max(step - self.step, 1)
        self.restart(step)
        return self.batch_size / seconds, seconds * (self.total - step)


def duration(seconds: float) -> str:
    """3725 -> "1h 02m"; 65 -> "1m 05s"."""
    minutes, secs = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h {minutes:02d}m"
    return f"{minutes}m {secs:02d}s" if minutes else f"{secs}s"


def progress_line(step: int, total: int, scalars: Mapping[str, float], left: float) -> str:
    """What a person watches: step, losses, images/s, time left."""
    losses = "  ".join(
        f"{name.partition('/')[0]} {value:.3f}"
        for name, value in scalars.items()
        if name.endswith("/loss")
    )
    return (
        f"step {step}/{total}  loss: {losses}  {scalars['images_per_second']:.0f} images/s  "
        f"{duration(left)} left"
    )
