"""Metrics to JSONL, TensorBoard and the terminal; exact to resume."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import Array
from ddgan_jax.io.run_folder import write_atomically

LOGS = ("metrics.jsonl", "evaluation.jsonl")

Metrics = Mapping[str, Array]


class MetricsLog:
    """Writes `metrics.jsonl`, `evaluation.jsonl` and TensorBoard events into a run folder.

    Opened at step s it first drops the lines after s, which a killed run wrote beyond its last
    checkpoint: the files always are those of one uninterrupted run. What is written is on its way
    to the disk when a method returns, and what goes wrong is raised there: tensorboardX's usual
    writer has a thread, which would die alone on a full disk and leave the loop waiting for it.

    `seconds` is how long the run had trained at step s.

    Raises:
      OSError: whatever the disk has to say, from every method.
    """

    def __init__(self, workdir: Path, start: int):
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        self.path, self.evaluations = (workdir / name for name in LOGS)
        for path in (self.path, self.evaluations):
            _drop_after(path, start)
        self.seconds = _seconds_at(self.path, start)
        for folder in ("tensorboard", "samples"):
            (workdir / folder).mkdir(exist_ok=True)
        with contextlib.ExitStack() as files:
            # Unbuffered: nothing is left over that closing the file could fail to write.
            self._file = files.enter_context(self.path.open("ab", buffering=0))
            self._board = EventsWriter(str(workdir / "tensorboard" / "events"), f".{start}")
            files.callback(self._board.close)
            # TensorBoard then hides the points of a killed run beyond its last checkpoint.
            self._event(Event(session_log=SessionLog(status=SessionLog.START)), start + 1)
            self._close = files.pop_all().close

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """One line and one TensorBoard point per scalar."""
        self._file.write(_line(step, scalars))
        self._points(step, scalars)

    def evaluation(self, step: int, scalars: Mapping[str, float]) -> None:
        """The same for an evaluation, in `evaluation.jsonl` and below "eval/" in TensorBoard."""
        with self.evaluations.open("ab", buffering=0) as file:
            file.write(_line(step, scalars))
        self._points(step, {f"eval/{name}": value for name, value in scalars.items()})

    def _points(self, step: int, scalars: Mapping[str, float]) -> None:
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        points = [Summary.Value(tag=k, simple_value=v) for k, v in scalars.items()]
        self._event(Event(summary=Summary(value=points)), step)

    def image(self, name: str, step: int, picture: np.ndarray) -> None:
        """A uint8 [H, W, 3] picture for TensorBoard."""
        from tensorboardX import summary
        from tensorboardX.proto.event_pb2 import Event

        self._event(Event(summary=summary.image(name, picture, dataformats="HWC")), step)

    def _event(self, event: Any, step: int) -> None:
        event.wall_time, event.step = time.time(), step
        self._board.write_event(event)
        self._board.flush()

    def close(self) -> None:
        """Close both files."""
        self._close()


def read_lines(path: Path) -> list[dict[str, float]]:
    """The whole lines of a JSONL file; none if there is no file, those cut short left out."""
    lines = path.read_text().splitlines(keepends=True) if path.is_file() else []
    return [json.loads(line) for line in lines if line.endswith("\n") and _is_line(line)]


def _line(step: int, scalars: Mapping[str, float]) -> bytes:
    rounded = {name: float(f"{value:.6g}") for name, value in scalars.items()}
    return (json.dumps({"step": step, **rounded}) + "\n").encode()


def _is_line(line: str) -> bool:
    try:
        return "step" in json.loads(line)
    except (ValueError, TypeError):
        return False


def _drop_after(path: Path, start: int) -> None:
    if path.is_file():
        kept = [line for line in read_lines(path) if line["step"] <= start]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        if text != path.read_text():
            write_atomically(path, text)


def _seconds_at(path: Path, start: int) -> float:
    """Seconds of training until step `start`: of the last line, carried on at its speed."""
    lines = [line for line in read_lines(path) if "seconds" in line]
    if not lines:
        return 0.0
    last = lines[-1]
    return last["seconds"] * (start / last["step"])


class Window:
    """Metrics of the steps since the last log line; on the devices until `settle` asks for them.

    Args:
      roles: of the phases, in their order, which is that of blame.
      sums: what `sums` gave when a checkpoint was saved within a window: a resumed run writes the
        same means as one that was never stopped.
    """

    def __init__(
        self, roles: tuple[str, ...], sums: Mapping[str, tuple[float, int]] | None = None
    ) -> None:
        self._roles = roles
        self._pending: list[tuple[int, Metrics]] = []
        self._sums = {name: (float(s), int(n)) for name, (s, n) in (sums or {}).items()}

    def add(self, step: int, metrics: Metrics) -> None:
        """Remember the metrics of a step, without waiting for them."""
        self._pending.append((step, metrics))

    def settle(self, advice: Callable[[], str]) -> None:
        """Wait for all metrics so far and check them: the only host sync of the loop.

        Raises:
          UserError: one is NaN or infinite; names the first such step, its phase and the metric.
        """
        fetched = jax.device_get([metrics for _, metrics in self._pending])
        for (step, _), metrics in zip(self._pending, fetched, strict=True):
            by_phase = sorted(metrics, key=lambda name: self._roles.index(name.split("/")[0]))
            for name in by_phase:
                value = metrics[name]
                if not np.isfinite(value):
                    role, _, metric = name.partition("/")
                    raise UserError(f"step {step}, phase {role}: {metric} is {value}; {advice()}")
                total, count = self._sums.get(name, (0.0, 0))
                self._sums[name] = (total + float(value), count + 1)
        self._pending.clear()

    def sums(self) -> dict[str, tuple[float, int]]:
        """(sum, number of steps) of every metric, over the settled steps of the open window."""
        return dict(self._sums)

    def means(self) -> dict[str, float]:
        """Means over the settled steps, by name; starts a new window."""
        means = {name: total / count for name, (total, count) in sorted(self._sums.items())}
        self._sums.clear()
        return means


class Clock:
    """Images/s, time left and seconds of training so far, pauses left out.

    Args:
      step: where the run begins, or goes on.
      total: steps of the run.
      batch_size: images of a step.
      seconds: of training before `step`.
    """

    def __init__(self, step: int, total: int, batch_size: int, seconds: float = 0.0):
        self.total, self.batch_size, self.seconds = total, batch_size, seconds
        self.forget(step)

    def forget(self, step: int) -> None:
        """Start anew at `step`: what came before (a compilation) counts for nothing."""
        self.step, self._window, self._since = step, 0.0, time.perf_counter()

    @contextlib.contextmanager
    def pause(self) -> Iterator[None]:
        """Around what is not training: a grid, a checkpoint, an evaluation."""
        self._window += time.perf_counter() - self._since
        yield
        self._since = time.perf_counter()

    def now(self) -> float:
        """Seconds of training until the pause that this is asked in."""
        return self.seconds + self._window

    def read(self, step: int) -> tuple[float, float]:
        """(images per second since the last reading, seconds left)."""
        window = max(self._window + time.perf_counter() - self._since, 1e-9)
        each = window / max(step - self.step, 1)
        self.seconds += window
        self.forget(step)
        return self.batch_size / each, each * (self.total - step)


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


def evaluation_line(step: int, metrics: Mapping[str, float]) -> str:
    """The line that is printed after an evaluation during training."""
    return f"step {step}  " + "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
