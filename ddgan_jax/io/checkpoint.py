"""Checkpoints by Orbax: saved asynchronously, restored onto any mesh.

A checkpoint has three items: `ema`, everything that sampling needs; `state`, the rest of the train
state; `window`, the sums of the metrics since the last log line. Orbax writes to a temporary folder
and renames it, so a run that is killed at any moment leaves its last complete checkpoint. Earlier
checkpoints are deleted only after the new one was verified.
"""

import contextlib
import errno
import functools
import itertools
import logging
import os
import time
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from orbax.checkpoint._src.checkpointers import async_checkpointer
from orbax.checkpoint._src.futures import future, signaling_client

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.finite import check_finite
from ddgan_jax.core.types import PyTree, TrainState
from ddgan_jax.io.checksums import damaged_files, write_checksums
from ddgan_jax.io.manifest import missing_arrays
from ddgan_jax.io.storage import AnyPath, check_name, check_tree, is_remote
from ddgan_jax.parallel.distributed import is_loss, on_all_processes, on_process_zero
from ddgan_jax.parallel.memory import check_fits

Sums = Mapping[str, tuple[float, int]]  # metric -> (sum, number of steps)
args: Any = ocp.args
_CAUSES = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EIO)


# These modules measure how long they have waited by the system's clock, which may be set.
for _module in (ocp.checkpoint_manager, async_checkpointer, future, signaling_client):
    _module.time = types.SimpleNamespace(**{**vars(time), "time": time.monotonic})


class Manager(ocp.CheckpointManager):  # type: ignore[misc]  # orbax has no types
    """Orbax's manager, which deletes earlier checkpoints only when `wait` has verified a new one.

    Attributes:
      keep: number of checkpoints to keep.
      best: step of a checkpoint that is kept besides, if there is one.
      unverified: step of the last save, until it was verified.
    """

    keep: int = 1
    best: int | None = None
    unverified: int | None = None


@contextlib.contextmanager
def opened(workdir: AnyPath, keep: int = 1, read_only: bool = False) -> Iterator[Manager]:
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
    if not read_only:
        check_name("--workdir", workdir)
    options = ocp.CheckpointManagerOptions(
        read_only=read_only,
        save_interval_steps=0 if read_only else 1,
        create=not read_only,
        cleanup_tmp_directories=not read_only,  # of runs that were killed while saving
    )
    folder = workdir / "checkpoints"
    if not is_remote(folder):
        if read_only:  # Orbax reads some files as soon as it is opened
            check_tree(folder, workdir)
        folder = folder.resolve()  # Orbax needs an absolute path
    with _reported(f"checkpoints cannot be kept in {folder}"), _without_note():
        manager = Manager(folder, options=options)
    manager.keep = keep
    try:
        yield manager
    except BaseException as error:
        if not is_loss(error):  # closing would wait for the lost process
            with contextlib.suppress(Exception):  # report the first error
                manager.close()
        raise
    wait(manager)
    with _saving(manager):
        manager.close()


def save(manager: Manager, state: TrainState, window: Sums) -> None:
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
    wait(manager)
    rest = state._replace(ema={})._asdict()
    items = args.Composite(
        state=args.StandardSave(rest),
        ema=args.StandardSave(state.ema),
        window=args.JsonSave({name: list(pair) for name, pair in window.items()}),
    )
    _save(manager, step, items)


def _save(manager: Manager, step: int, items: Any) -> None:
    with _saving(manager):
        started = manager.save(step, args=items)
    if not started:
        later = [other for other in manager.all_steps() if other >= step]
        raise UserError(
            f"the checkpoint of step {step} was not saved, because {manager.directory} has "
            f"checkpoints of steps {later}; move them elsewhere"
        )
    manager.unverified = step


def save_ema(manager: Manager, step: int, ema: PyTree, rest: PyTree = None) -> None:
    """Save a checkpoint for sampling only, without a whole train state.

    Args:
      manager: see `opened`.
      step: the step.
      ema: what sampling needs.
      rest: parts of a train state that are known; None: none.

    Raises:
      UserError: saving failed.
    """
    items = {"ema": args.StandardSave(ema)}
    if rest is not None:
        items["state"] = args.StandardSave({**rest, "step": np.asarray(step, np.int32)})
    _save(manager, step, args.Composite(**items))


def wait(manager: Manager) -> None:
    """Wait until a save in progress is complete, verify it, and delete the earliest checkpoints.

    Raises:
      UserError: saving failed, or an array of the new checkpoint cannot be found again; the earlier
        checkpoints are then kept.
    """
    with _saving(manager):
        manager.wait_until_finished()
    step = manager.unverified
    if step is None:
        return
    on_process_zero(functools.partial(_verify, epath.Path(manager.directory) / str(step)))
    manager.unverified = None
    with _saving(manager):
        for earlier in sorted(manager.all_steps())[: -manager.keep]:
            if earlier != manager.best:
                manager.delete(earlier)


def _verify(folder: epath.Path) -> None:
    """Check that the arrays of all items of a checkpoint were written, and keep checksums."""
    with _reported(f"checkpoint {folder} cannot be read back"):
        missing = missing_arrays(folder)
    if missing:
        raise UserError(
            f"checkpoint {folder} was saved, but {len(missing)} of its arrays are missing "
            f"({missing[0]}); earlier checkpoints are kept"
        )
    if not is_remote(folder):  # object stores keep checksums themselves
        with _reported(f"checkpoint {folder} cannot be read back"):
            write_checksums(Path(folder))


def restore_state(manager: Manager, step: int, abstract: TrainState) -> tuple[TrainState, Sums]:
    """Restore a train state and the sums of its metrics.

    Args:
      manager: see `opened`.
      step: step of the checkpoint.
      abstract: shapes, dtypes and shardings of the state.

    Raises:
      UserError: the checkpoint cannot be read or has another structure.
    """
    check_fits("the train state", abstract)
    folder = epath.Path(manager.directory) / str(step)
    if not ((folder / "state").exists() or (folder / "window").exists()):
        reason = "it has averaged weights only; --init_from begins a new run with them"
        raise UserError(f"cannot train on from checkpoint {folder}: {reason}")
    rest = abstract._replace(ema={})._asdict()
    items = args.Composite(
        state=args.StandardRestore(rest),
        ema=args.StandardRestore(abstract.ema),
        window=args.JsonRestore(),
    )
    restored = _restore(manager, step, items, "train on from")
    _check_step(manager, step, int(restored["state"]["step"]))
    return TrainState(**{**restored["state"], "ema": restored["ema"]}), restored["window"]


def restore_newest(
    manager: Manager, abstract: TrainState, say: Callable[[str], None]
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


def _set_aside(manager: Manager, step: int) -> str:
    folder = epath.Path(manager.directory)
    aside = folder.parent / "damaged"
    target = next(t for i in itertools.count() if not (t := aside / f"{step}.{i}").exists())
    with _reported(f"the damaged checkpoint {folder / str(step)} cannot be moved to {target}"):
        aside.mkdir(parents=True, exist_ok=True)
        (folder / str(step)).rename(target)
    return str(target)


def restore_ema(manager: Manager, step: int, abstract: PyTree) -> PyTree:
    """Restore the moving averages alone; `abstract` has their shapes, dtypes and shardings.

    Raises:
      UserError: the checkpoint cannot be read or has another structure.
    """
    check_fits("the moving average", abstract)
    if (epath.Path(manager.directory) / str(step) / "state").exists():  # not in exported ones
        _check_step(manager, step, _step_inside(manager, step))
    items = args.Composite(ema=args.StandardRestore(abstract))
    found = _restore(manager, step, items, "sample from")["ema"]
    check_finite(found, f"checkpoint {step} in {manager.directory}")
    return found


def restore_params(manager: Manager, step: int, abstract: PyTree) -> PyTree:
    """Restore the parameters, not averaged, of the roles in `abstract`.

    Raises:
      UserError: the checkpoint cannot be read, or has moving averages only.
    """
    check_fits("the parameters", abstract)
    if not (manager.directory / str(step) / "state").exists():
        raise UserError(
            f"{manager.directory} has averaged weights only; raw ones are in the run folder of a "
            "training"
        )
    return _restore_part(manager, step, {"params": abstract}, "read the raw weights of")["params"]


def restore_moments(manager: Manager, step: int, abstract: PyTree) -> PyTree:
    """Restore Adam's moments of a converted checkpoint, {role: {"count", "mu", "nu"}}.

    Raises:
      UserError: the checkpoint cannot be read, or has none.
    """
    item = {"moments": abstract}
    return _restore_part(manager, step, item, "read the optimizers of")["moments"]


def _restore_part(
    manager: Manager, step: int, item: PyTree, purpose: str, verify: bool = True
) -> Any:
    """Restore a part of the item `state`."""
    restore = args.PyTreeRestore(
        item,
        restore_args=ocp.checkpoint_utils.construct_restore_args(item),
        partial_restore=True,
    )
    return _restore(manager, step, args.Composite(state=restore), purpose, verify)["state"]


def _step_inside(manager: Manager, step: int) -> int:
    """The step that a checkpoint has saved in itself."""
    here: jax.sharding.Sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    if jax.process_count() > 1:
        here = jax.sharding.NamedSharding(
            jax.make_mesh((jax.device_count(),), ("data",)), jax.sharding.PartitionSpec()
        )
    item = {"step": jax.ShapeDtypeStruct((), jnp.int32, sharding=here)}
    return int(_restore_part(manager, step, item, "sample from", verify=False)["step"])


def _check_step(manager: Manager, step: int, inside: int) -> None:
    if inside != step:
        raise UserError(
            f"checkpoint {epath.Path(manager.directory) / str(step)} is of step {inside}, not "
            f"{step}; it was copied or renamed"
        )


def _restore(manager: Manager, step: int, items: Any, purpose: str, verify: bool = True) -> Any:
    """Restore items, whose sizes and, with `verify`, checksums are compared first."""
    folder = epath.Path(manager.directory) / str(step)
    others = [s for s in manager.all_steps() if s != step]
    rest = f"; steps {others} remain, delete that folder to use them" if others else ""
    if not is_remote(folder):  # a folder from elsewhere may have links at any depth
        check_tree(Path(folder), Path(folder).parents[1])
        if damaged := damaged_files(Path(folder), items.keys(), contents=verify):
            raise UserError(
                f"cannot {purpose} checkpoint {folder}: {damaged[0]} is not what was saved, its "
                f"size or checksum is another{rest}"
            )
    with _reported(f"cannot {purpose} checkpoint {folder}", rest):
        return manager.restore(step, args=items)


def _saving(manager: Manager) -> contextlib.AbstractContextManager[None]:
    return _reported(f"a checkpoint could not be saved in {manager.directory}")


@contextlib.contextmanager
def _without_note() -> Iterator[None]:
    """Drop Orbax's warning that a folder that is to be read is read only."""

    def keep(record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("Given directory is read only")

    logger = logging.getLogger("absl")
    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)


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


def step_to_restore(manager: Manager, step: int | None = None) -> int:
    """The step to restore: `step`, or the last one if it is None.

    Raises:
      UserError: there is no checkpoint, or none of `step`.
    """
    steps, folder = sorted(manager.all_steps()), manager.directory
    if not steps:
        raise UserError(f"no checkpoint in {folder}; train first: python -m ddgan_jax train")
    if step is not None and step not in steps:
        raise UserError(f"no checkpoint of step {step} in {folder}; one of {steps} is needed")
    return steps[-1] if step is None else step


def with_sharding(tree: PyTree, sharding: jax.sharding.Sharding) -> PyTree:
    """`jax.ShapeDtypeStruct`s of a tree's arrays, all with the given sharding."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)
