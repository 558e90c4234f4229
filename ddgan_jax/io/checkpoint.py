"""Checkpoints by orbax: saved asynchronously, restored onto any mesh.

A checkpoint has three items: `ema`, all that sampling needs; `state`, the rest of what training
needs; `window`, the sums of the metrics that the next log line is to average. Orbax writes into a
temporary folder and renames it, so a run killed at any moment leaves the last whole checkpoint.
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
from ddgan_jax.parallel.distributed import agreed, is_loss, led

Sums = Mapping[str, tuple[float, int]]
args: Any = ocp.args
_CAUSES = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EIO)


@contextlib.contextmanager
def opened(
    workdir: AnyPath, keep: int = 1, read_only: bool = False
) -> Iterator[ocp.CheckpointManager]:
    """The checkpoints of a run folder; leaving waits for a save that is still under way.

    Raises:
      UserError: the folder cannot be used, or the save that was under way failed.
    """
    options = ocp.CheckpointManagerOptions(
        max_to_keep=keep,
        read_only=read_only,
        create=not read_only,
        cleanup_tmp_directories=not read_only,  # of runs that were killed while saving
    )
    folder = workdir / "checkpoints"
    if not is_remote(folder):
        folder = folder.resolve()  # orbax wants an absolute path
    with _reported(f"checkpoints cannot be kept in {folder}"):
        manager = ocp.CheckpointManager(folder, options=options)
    try:
        yield manager
    except BaseException as error:
        if not is_loss(error):  # closing would wait for the process that is gone
            with contextlib.suppress(Exception):  # the first error is the one to report
                manager.close()
        raise
    with _saving(manager):
        manager.close()


def save(manager: ocp.CheckpointManager, state: TrainState, window: Sums) -> None:
    """Start saving `state` under its step; returns once the values are copied off the devices.

    Raises:
      UserError: this or the save before it failed, for example on a full disk.
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
    """Save a checkpoint that can be sampled from, but not trained on.

    Raises:
      UserError: it could not be saved.
    """
    with _saving(manager):
        manager.save(step, args=args.Composite(ema=args.StandardSave(ema)))


def wait(manager: ocp.CheckpointManager) -> None:
    """Wait until what is being saved is on the disk.

    Raises:
      UserError: it could not be saved.
    """
    with _saving(manager):
        manager.wait_until_finished()


def restore_state(
    manager: ocp.CheckpointManager, step: int, abstract: TrainState
) -> tuple[TrainState, Sums]:
    """What `save` was given at `step`, laid out as `abstract` (with shardings) says.

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
    """`restore_state` of the newest step that can be read.

    Newer ones that are damaged make room for what will be saved under their numbers: they are
    moved beside the checkpoints, and `say` hears of it. If none can be read, nothing is moved.

    Raises:
      UserError: none can be read; why the newest cannot.
    """
    failed: list[tuple[int, UserError]] = []
    for step in sorted(manager.all_steps(), reverse=True):
        try:
            found = agreed(functools.partial(restore_state, manager, step, abstract))
        except UserError as error:
            failed.append((step, error))
            continue
        for damaged, reason in failed:
            folder = led(functools.partial(_set_aside, manager, damaged))
            say(f"warning: {reason}; it is now {folder}")
        if failed:
            manager.reload()
        return found
    raise failed[0][1]


def _set_aside(manager: ocp.CheckpointManager, step: int) -> str:
    folder, place = epath.Path(manager.directory), epath.Path(manager.directory).parent / "damaged"
    target = next(t for i in itertools.count() if not (t := place / f"{step}.{i}").exists())
    with _reported(f"the damaged checkpoint {folder / str(step)} cannot be moved to {target}"):
        place.mkdir(parents=True, exist_ok=True)
        (folder / str(step)).rename(target)
    return str(target)


def restore_ema(manager: ocp.CheckpointManager, step: int, abstract: PyTree) -> PyTree:
    """The moving average alone.

    Raises:
      UserError: the checkpoint cannot be read or has another structure.
    """
    items = args.Composite(ema=args.StandardRestore(abstract))
    return _restore(manager, step, items, "sample from")["ema"]


def restore_params(manager: ocp.CheckpointManager, step: int, abstract: PyTree) -> PyTree:
    """The latest weights of the roles in `abstract`, without the rest of the train state.

    Raises:
      UserError: the checkpoint cannot be read, or holds averages only.
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
    """Turn whatever orbax and the layers below it raise into one line that begins with `what`."""
    try:
        yield
    except Exception as error:  # there is no common base class
        raise UserError(f"{what}: {_reason(error)}{rest}") from error


def _reason(error: Exception) -> str:
    """The cause, where it is one that people know; it comes last in a page of what was tried."""
    text = " ".join(str(error).split()) or type(error).__name__
    causes = (os.strerror(number) for number in _CAUSES)
    return next((cause for cause in causes if cause in text), text[:160])


def latest_step(manager: ocp.CheckpointManager, step: int | None = None) -> int:
    """`step` if it was saved, else the last one.

    Raises:
      UserError: there is no checkpoint (of that step).
    """
    steps = sorted(manager.all_steps())
    folder = manager.directory
    if not steps:
        raise UserError(f"no checkpoint in {folder}; train first with --mode=train")
    if step is not None and step not in steps:
        raise UserError(f"no checkpoint of step {step} in {folder}; there are steps {steps}")
    return steps[-1] if step is None else step


def with_sharding(tree: PyTree, sharding: jax.sharding.Sharding) -> PyTree:
    """Shapes and dtypes of `tree` as ShapeDtypeStructs that carry `sharding`."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)
