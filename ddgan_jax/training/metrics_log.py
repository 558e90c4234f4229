"""Metrics of training as JSONL files, progress lines, and what goes to the sinks.

A resumed run continues the JSONL files as if it had not been interrupted, except for timings.
"""

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import jax
import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import Array
from ddgan_jax.io.read_json import MAX_BYTES_OF_LINES, read_lines, read_text
from ddgan_jax.io.run_folder import write_atomically
from ddgan_jax.training.sinks import SINKS, Sink

LOGS = ("metrics.jsonl", "evaluation.jsonl")

Metrics = Mapping[str, Array]


class MetricsLog:
    """Writer of `metrics.jsonl`, `evaluation.jsonl` and the sinks of a run.

    Creates the folder `samples/`, and deletes the lines after step `start`, which a killed run
    wrote after its last checkpoint.

    Args:
      workdir: the run folder, on a disk.
      start: step at which the run begins or resumes.
      sinks: `config.train.sinks`.
      name: of the run, for sinks.
      config: fields of the config by dotted name, for sinks.

    Attributes:
      path: path of `metrics.jsonl`.
      evaluations: path of `evaluation.jsonl`.
      seconds: seconds of training before step `start`.

    Raises:
      OSError: a file cannot be written; raised by every method.
      UserError: a sink cannot be opened.
    """

    def __init__(
        self,
        workdir: Path,
        start: int,
        sinks: Sequence[str] = ("tensorboard",),
        name: str = "",
        config: Mapping[str, Any] | None = None,
    ):
        self.path, self.evaluations = (workdir / name for name in LOGS)
        for path in (self.path, self.evaluations):
            _drop_after(path, start)
        self.seconds = _seconds_at(self.path, start)
        (workdir / "samples").mkdir(exist_ok=True)
        self._sinks: list[Sink] = []
        with contextlib.ExitStack() as files:
            self._file = files.enter_context(append(self.path))
            for kind in sinks:
                self._sinks.append(SINKS[kind](workdir, start, name, config or {}))
                files.callback(self._sinks[-1].close)
            self._close = files.pop_all().close

    def write(
        self, step: int, scalars: Mapping[str, float], rates: Mapping[str, float] | None = None
    ) -> None:
        """Write a line to `metrics.jsonl`, with 6 significant digits, and points to the sinks.

        Args:
          step: the step.
          scalars: numbers by name.
          rates: learning rates by name, for the sinks alone: they follow from the config.
        """
        self._file.write(_line(step, scalars))
        self._points(step, {**scalars, **(rates or {})})

    def evaluation(self, step: int, scalars: Mapping[str, float]) -> None:
        """Write a line to `evaluation.jsonl`, and points named "eval/<name>" to the sinks."""
        with append(self.evaluations) as file:
            file.write(_line(step, scalars))
        points = {f"eval/{name}": x for name, x in scalars.items() if name != "protocol"}
        self._points(step, points)

    def _points(self, step: int, scalars: Mapping[str, float]) -> None:
        for sink in self._sinks:
            sink.points(step, scalars)

    def image(self, name: str, step: int, picture: np.ndarray) -> None:
        """Write a uint8 [H, W, 3] picture to the sinks."""
        for sink in self._sinks:
            sink.image(name, step, picture)

    def close(self) -> None:
        """Close the files and the sinks."""
        self._close()


def append(path: Path) -> BinaryIO:
    """Open a file to append to, without following a link.

    It is unbuffered, so that closing it writes nothing and cannot fail.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    return os.fdopen(os.open(path, flags, 0o666), "ab", buffering=0)


def _line(step: int, scalars: Mapping[str, float]) -> bytes:
    """A line of a JSONL file, with 6 significant digits."""
    rounded = {name: float(f"{value:.6g}") for name, value in scalars.items()}
    return (json.dumps({"step": step, **rounded}) + "\n").encode()


def _drop_after(path: Path, start: int) -> None:
    """Delete the lines after step `start` from a JSONL file."""
    if path.is_file():
        kept = [line for line in read_lines(path) if line["step"] <= start]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        if text != read_text(path, limit=MAX_BYTES_OF_LINES):
            write_atomically(path, text)


def _seconds_at(path: Path, start: int) -> float:
    """Seconds of training until step `start`, extrapolated from the last line."""
    lines = [line for line in read_lines(path) if "seconds" in line]
    if not lines:
        return 0.0
    last = lines[-1]
    return last["seconds"] * (start / max(last["step"], 1))


class Window:
    """Sums of the metrics of the steps since the last log line.

    Metrics stay on the devices until `settle`, so that the loop does not wait for every step.

    Args:
      roles: roles of the phases, in order. The earliest phase with a non-finite metric is reported.
      sums: result of the method `sums` that was saved in a checkpoint, so that a resumed run
        writes the same means as an uninterrupted one.
    """

    def __init__(
        self, roles: tuple[str, ...], sums: Mapping[str, tuple[float, int]] | None = None
    ) -> None:
        self._roles = roles
        self._pending: list[tuple[int, Metrics]] = []
        self._sums = {name: (float(s), int(n)) for name, (s, n) in (sums or {}).items()}

    def add(self, step: int, metrics: Metrics) -> None:
        """Add the metrics of a step without waiting for them."""
        self._pending.append((step, metrics))

    def settle(self, advice: Callable[[], str]) -> None:
        """Copy the pending metrics to the host, check that they are finite, and sum them.

        Args:
          advice: () -> the end of the error message, what the user can do.

        Raises:
          UserError: a metric is NaN or infinite; the message has the first such step, phase and
            metric.
        """
        fetched = jax.device_get([metrics for _, metrics in self._pending])
        for (step, _), metrics in zip(self._pending, fetched, strict=True):
            names = sorted(metrics, key=lambda name: self._roles.index(name.split("/")[0]))
            for name in names:
                value = metrics[name]
                if not np.isfinite(value):
                    role, _, metric = name.partition("/")
                    raise UserError(f"step {step}, phase {role}: {metric} is {value}; {advice()}")
                total, count = self._sums.get(name, (0.0, 0))
                self._sums[name] = (total + float(value), count + 1)
        self._pending.clear()

    def sums(self) -> dict[str, tuple[float, int]]:
        """Name -> (sum, number of steps) over the settled steps since the last `means`."""
        return dict(self._sums)

    def means_so_far(self) -> dict[str, float]:
        """Means over the settled steps by name; the window goes on."""
        return {name: total / count for name, (total, count) in sorted(self._sums.items())}

    def means(self) -> dict[str, float]:
        """Means over the settled steps by name; starts a new window."""
        means = self.means_so_far()
        self._sums.clear()
        return means


class Clock:
    """Clock of training time: images/s, time left and total seconds, without pauses.

    Args:
      step: step at which the run begins or resumes.
      total: steps of the run.
      batch_size: images per step.
      seconds: seconds of training before `step`.

    Attributes:
      seconds: seconds of training until the last `read`.
    """

    def __init__(self, step: int, total: int, batch_size: int, seconds: float = 0.0):
        self.total, self.batch_size, self.seconds = total, batch_size, seconds
        self.forget(step)

    def forget(self, step: int) -> None:
        """Start a new interval at `step`; the time since the last `read` does not count."""
        self.step, self._window, self._since = step, 0.0, time.perf_counter()

    @contextlib.contextmanager
    def pause(self) -> Iterator[None]:
        """Context manager for work that is not training: a grid, a checkpoint, an evaluation."""
        self._window += time.perf_counter() - self._since
        yield
        self._since = time.perf_counter()

    def now(self) -> float:
        """Seconds of training so far; to be called within a `pause`."""
        return self.seconds + self._window

    def so_far(self, step: int) -> dict[str, float]:
        """Speed and time left as `read` gives them, while the clock goes on; {} at the start."""
        window, steps = self._window + time.perf_counter() - self._since, step - self.step
        if steps <= 0:
            return {}
        each = max(window, 1e-9) / steps
        left = each * (self.total - step)
        return {"images_per_second": self.batch_size / each, "seconds_left": left}

    def read(self, step: int) -> tuple[float, float]:
        """(images per second since the last `read` or `forget`, estimated seconds left)."""
        window = max(self._window + time.perf_counter() - self._since, 1e-9)
        each = window / max(step - self.step, 1)
        self.seconds += window
        self.forget(step)
        return self.batch_size / each, each * (self.total - step)


def duration(seconds: float) -> str:
    """Format seconds: 3725 -> "1h 02m", 65 -> "1m 05s", 5 -> "5s"."""
    minutes, secs = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h {minutes:02d}m"
    return f"{minutes}m {secs:02d}s" if minutes else f"{secs}s"


def progress_line(step: int, total: int, scalars: Mapping[str, float]) -> str:
    """A progress line for the terminal: step, losses, images/s, time left.

    Args:
      step, total: steps done, and steps of the run.
      scalars: "<role>/loss" of every role; "images_per_second" and "seconds_left", if they are
        known; and others that are not shown.
    """
    losses = "  ".join(
        f"{name.partition('/')[0]} {value:.3f}"
        for name, value in scalars.items()
        if name.endswith("/loss")
    )
    line = f"step {step}/{total}  loss: {losses}"
    if "images_per_second" in scalars:
        line += f"  {scalars['images_per_second']:.0f} images/s"
    if "seconds_left" in scalars:
        line += f"  {duration(scalars['seconds_left'])} left"
    return line


def evaluation_line(step: int, metrics: Mapping[str, float]) -> str:
    """A line for the terminal after an evaluation during training: step and metrics."""
    return f"step {step}  " + "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
