"""Checkpoints by Orbax: saved asynchronously, restored onto any mesh.

A checkpoint has three items: `ema`, everything that sampling needs; `state`, the rest of the train
state; `window`, the sums of the metrics since the last log line. Orbax writes to a temporary folder
and renames it, so a run that is killed at any moment leaves its last complete checkpoint.
"""

import contextlib
import errno
import functools
import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import orbax.checkpoint as ocp
from etils import epath

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import PyTree, TrainState
from ddgan_jax.io.storage import AnyPath, is_remote
from ddgan_jax.parallel.distributed import is_loss, on_all_processes, on_process_zero

Sums = Mapping[str, tuple[float, int]]  # metric -> (sum, number of steps)
args: Any = ocp.args
_CAUSES = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EIO)


@contextlib.contextmanager
def opened(
    workdir: AnyPath, keep: int = 1, read_only: bool = False
) -> Iterator[ocp.CheckpointManager]:
    """Open the checkpoints of a run folder; on exit, wait for a save in progress.

    Args:
      workdir: the run folder.
      keep: number of checkpoints to keep.
      read_only: whether nothing will be saved; the folder may then be on a read-only disk.

    Yields:
      Orbax's checkpoint manager.

    Raises:
      UserError: the folder cannot be used, or a save in progress failed.
    """
    options = ocp.CheckpointManagerOptions(
        max_to_keep=keep,
        read_only=read_only,
        create=not read_only,
        cleanup_tmp_directories=not read_only,  # of runs that were killed while saving
    )
    folder = workdir / "checkpoints"
    if not is_remote(folder):
        folder = folder.resolve()  # Orbax needs an absolute path
    with _reported(f"checkpoints cannot be kept in {folder}"):
        manager = ocp.CheckpointManager(folder, options=options)
    try:
        yield manager
    except BaseException as error:
        if not is_loss(error):  # closing would wait for the lost process
            with contextlib.suppress(Exception):  # report the first error
                manager.close()
        raise
    with _saving(manager):
        manager.close()


def save(manager: ocp.CheckpointManager, state: TrainState, window: Sums) -> None:
    """Start to save a train state under its step; return once the values are on the host.

    Args:
      manager: see `opened`.
      state: the train state.
      window: sums of the metrics since the last log line.

    Raises:
      UserError: this save or the one before failed, for example on a full disk.
    """
    step = int(state.step)
    if step in manager.all_steps():
        return
    rest = state._replace(ema={})._asdict()
    items = args.Composite(
        state=args.StandardSave(rest),
        ema=args.StandardSave(state.ema),
        window=args.JsonSave({name: list(pair) for name, pair in window.items()}),
    )
    with _saving(manager):
        manager.save(step, args=items)


def save_ema(manager: ocp.CheckpointManager, step: int, ema: PyTree) -> None:
    """Save a checkpoint for sampling only, without train state.

    Raises:
      UserError: saving failed.
    """
    with _saving(manager):
        manager.save(step, args=args.Composite(ema=args.StandardSave(ema)))


def wait(manager: ocp.CheckpointManager) -> None:
    """Wait until a save in progress is complete.

    Raises:
      UserError: saving failed.
    """
    with _saving(manager):
        manager.wait_until_finished()


def restore_state(
    manager: ocp.CheckpointManager, step: int, abstract: TrainState
) -> tuple[TrainState, Sums]:
    """Restore a train state and the sums of its metrics.

    Args:
      manager: see `opened`.
      step: step of the checkpoint.
      abstract: shapes, dtypes and shardings of the state.

    Raises:
      UserError: the checkpoint cannot be read or has another structure.
    """
    rest = abstract._replace(ema={})._asdict()
    items = args.Composite(
        state=args.StandardRestore(rest),
        ema=args.StandardRestore(abstract.ema),
        window=args.JsonRestore(),
    )
    restored = _restore(manager, step, items, "train on from")
    return TrainState(**{**restored["state"], "ema": restored["ema"]}), restored["window"]


def restore_newest(
    manager: ocp.CheckpointManager, abstract: TrainState, say: Callable[[str], None]
) -> tuple[TrainState, Sums]:
    """Restore the newest checkpoint that can be read (collective).

    Newer, damaged checkpoints are moved to the folder `damaged` beside the checkpoints, so that
    their steps can be saved again. If no checkpoint can be read, none is moved.

    Args:
      manager: see `opened`.
      abstract: shapes, dtypes and shardings of the state.
      say: called with a warning for each checkpoint that is moved.

    Raises:
      UserError: no checkpoint can be read; the reason for the newest.
    """
    failed: list[tuple[int, UserError]] = []
    for step in sorted(manager.all_steps(), reverse=True):
        try:
            found = on_all_processes(functools.partial(restore_state, manager, step, abstract))
        except UserError as error:
            failed.append((step, error))
            continue
        for damaged, reason in failed:
            folder = on_process_zero(functools.partial(_set_aside, manager, damaged))
            say(f"warning: {reason}; it is now {folder}")
        if failed:
            manager.reload()
        return found
    raise failed[0][1]


def _set_aside(manager: ocp.CheckpointManager, step: int) -> str:
    folder = epath.Path(manager.directory)
    aside = folder.parent / "damaged"
    target = next(t for i in itertools.count() if not (t := aside / f"{step}.{i}").exists())
    with _reported(f"the damaged checkpoint {folder / str(step)} cannot be moved to {target}"):
        aside.mkdir(parents=True, exist_ok=True)
        (folder / str(step)).rename(target)
    return str(target)


def restore_ema(manager: ocp.CheckpointManager, step: int, abstract: PyTree) -> PyTree:
    """Restore the moving averages alone; `abstract` has their shapes, dtypes and shardings.

    Raises:
      UserError: the checkpoint cannot be read or has another structure.
    """
    items = args.Composite(ema=args.StandardRestore(abstract))
    return _restore(manager, step, items, "sample from")["ema"]


def restore_params(manager: ocp.CheckpointManager, step: int, abstract: PyTree) -> PyTree:
    """Restore the parameters, not averaged, of the roles in `abstract`.

    Raises:
      UserError: the checkpoint cannot be read, or has moving averages only.
    """
    item = {"params": abstract}
    restore = args.PyTreeRestore(
        item,
        restore_args=ocp.checkpoint_utils.construct_restore_args(item),
        partial_restore=True,
    )
    items = args.Composite(state=restore)
    return _restore(manager, step, items, "read the raw weights of")["state"]["params"]


def _restore(manager: ocp.CheckpointManager, step: int, items: Any, purpose: str) -> Any:
    folder = epath.Path(manager.directory) / str(step)
    others = [s for s in manager.all_steps() if s != step]
    rest = f"; steps {others} remain, delete that folder to use them" if others else ""
    with _reported(f"cannot {purpose} checkpoint {folder}", rest):
        return manager.restore(step, args=items)


def _saving(manager: ocp.CheckpointManager) -> contextlib.AbstractContextManager[None]:
    return _reported(f"a checkpoint could not be saved in {manager.directory}")


@contextlib.contextmanager
def _reported(what: str, rest: str = "") -> Iterator[None]:
    """Turn any exception, from Orbax or below, into a `UserError` that begins with `what`."""
    try:
        yield
    except Exception as error:  # they have no common base class
        raise UserError(f"{what}: {_reason(error)}{rest}") from error


def _reason(error: Exception) -> str:
    """The system's error if Orbax's long message contains one, else the start of the message."""
    text = " ".join(str(error).split()) or type(error).__name__
    causes = (os.strerror(number) for number in _CAUSES)
    return next((cause for cause in causes if cause in text), text[:160])


def latest_step(manager: ocp.CheckpointManager, step: int | None = None) -> int:
    """The step to restore: `step`, or the last one if it is None.

    Raises:
      UserError: there is no checkpoint, or none of `step`.
    """
    steps = sorted(manager.all_steps())
    folder = manager.directory
    if not steps:
        raise UserError(f"no checkpoint in {folder}; train first: python -m ddgan_jax train")
    if step is not None and step not in steps:
        raise UserError(
            f"no checkpoint of step {step} in {folder}; one of the steps {steps} is needed"
        )
    return steps[-1] if step is None else step


def with_sharding(tree: PyTree, sharding: jax.sharding.Sharding) -> PyTree:
    """`jax.ShapeDtypeStruct`s of a tree's arrays, all with the given sharding."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)
