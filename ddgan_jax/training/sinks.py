"""Where metrics, grids and the config go besides the JSONL files: TensorBoard, wandb, trackio.

`config.train.sinks` names them. Each is made by a class or function of this file, whose arguments
are those of `TensorBoard`, and has its methods.
"""

import contextlib
import importlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ddgan_jax.core.errors import UserError, described


class Sink(Protocol):
    """What the log of a run writes to. Every method raises OSError if it cannot write."""

    def points(self, step: int, scalars: Mapping[str, float]) -> None:
        """Write numbers by name."""
        ...

    def image(self, name: str, step: int, picture: np.ndarray) -> None:
        """Write a uint8 [H, W, 3] picture."""
        ...

    def close(self) -> None:
        """Write what is left."""
        ...


class TensorBoard:
    """TensorBoard events in `tensorboard/` of the run folder.

    Every method flushes to the operating system before it returns, so write errors are raised in
    the caller. (tensorboardX's own writer thread dies on a full disk, and the training loop then
    blocks.)

    Args:
      workdir: the run folder, on a disk.
      start: step at which the run begins or resumes.
      name: of the run.
      config: fields of the config by dotted name.

    Raises:
      OSError: a file cannot be written.
    """

    def __init__(self, workdir: Path, start: int, name: str, config: Mapping[str, Any]) -> None:
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        del name
        (workdir / "tensorboard").mkdir(exist_ok=True)
        self._board = EventsWriter(str(workdir / "tensorboard" / "events"), f".{start}")
        # TensorBoard then hides the points that a killed run wrote after its last checkpoint.
        self._event(Event(session_log=SessionLog(status=SessionLog.START)), start + 1)
        if config:
            from tensorboardX import summary

            text = "\n".join(f"    {field}: {value!r}" for field, value in config.items())
            self._event(Event(summary=summary.text("config", text)), start)

    def points(self, step: int, scalars: Mapping[str, float]) -> None:
        """Write numbers by name."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        points = [Summary.Value(tag=k, simple_value=v) for k, v in scalars.items()]
        self._event(Event(summary=Summary(value=points)), step)

    def image(self, name: str, step: int, picture: np.ndarray) -> None:
        """Write a uint8 [H, W, 3] picture."""
        from tensorboardX import summary
        from tensorboardX.proto.event_pb2 import Event

        self._event(Event(summary=summary.image(name, picture, dataformats="HWC")), step)

    def _event(self, event: Any, step: int) -> None:
        event.wall_time, event.step = time.time(), step
        self._board.write_event(event)
        self._board.flush()

    def close(self) -> None:
        """Close the file."""
        self._board.close()


class Service:
    """A run of Weights & Biases or Trackio, which have the same functions.

    Args:
      module: the package.
      run: what its `init` returned.

    Methods: see `TensorBoard`.
    """

    def __init__(self, module: Any, run: Any) -> None:
        self._module, self._run = module, run

    def points(self, step: int, scalars: Mapping[str, float]) -> None:
        """Write numbers by name."""
        self._run.log(dict(scalars), step=step)

    def image(self, name: str, step: int, picture: np.ndarray) -> None:
        """Write a uint8 [H, W, 3] picture."""
        self._run.log({name: self._module.Image(picture)}, step=step)

    def close(self) -> None:
        """End the run, which sends what is left."""
        self._run.finish()


def wandb(workdir: Path, start: int, name: str, config: Mapping[str, Any]) -> Service:
    """A run of Weights & Biases, named like the run folder; its project is $WANDB_PROJECT.

    A resumed run continues the same one, by its identifier in `wandb.txt` of the run folder.
    Whether it is online is for wandb's own settings, such as $WANDB_MODE.

    Args: see `TensorBoard`.

    Raises:
      UserError: wandb is not installed, or cannot begin a run.
    """
    del start
    module = _imported("wandb")
    known = workdir / "wandb.txt"
    identifier = known.read_text().strip() if known.is_file() else None
    with _beginning("wandb"):
        run = module.init(
            name=name, id=identifier, resume="allow", dir=str(workdir), config=dict(config)
        )
    if identifier is None:
        known.write_text(f"{run.id}\n")
    return Service(module, run)


def trackio(workdir: Path, start: int, name: str, config: Mapping[str, Any]) -> Service:
    """A run of Trackio, named like the run folder; its project is $TRACKIO_PROJECT, or ddgan_jax.

    A resumed run continues the same one, by its name in `trackio.txt` of the run folder.

    Args: see `TensorBoard`.

    Raises:
      UserError: trackio is not installed, or cannot begin a run.
    """
    del start
    module = _imported("trackio")
    known = workdir / "trackio.txt"
    begun = known.is_file()
    with _beginning("trackio"):
        run = module.init(
            project=os.environ.get("TRACKIO_PROJECT", "ddgan_jax"),
            name=known.read_text().strip() if begun else name,
            resume="allow" if begun else "never",
            config=dict(config),
        )
    if not begun:
        known.write_text(f"{run.name}\n")
    return Service(module, run)


_SERVICES = ("wandb", "trackio")
IDENTIFIERS = tuple(f"{name}.txt" for name in _SERVICES)  # in a run folder
SINKS: Mapping[str, Any] = {"tensorboard": TensorBoard, "wandb": wandb, "trackio": trackio}


@contextlib.contextmanager
def _beginning(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # of the network, of the account
        raise UserError(f"{name} cannot begin a run: {described(error)}") from error


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f"config.train.sinks has '{name}', which cannot be imported ({described(error)}); "
            f"pip install {name}, or other sinks, are needed"
        ) from error


def check_sinks(names: Sequence[str]) -> None:
    """Check that what the sinks need is there, before anything is compiled or written.

    Raises:
      UserError: it is not.
    """
    for name in _SERVICES:
        if name in names:
            _imported(name)
