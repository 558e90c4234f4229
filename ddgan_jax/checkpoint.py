"""Checkpoints by orbax: saved asynchronously, restored onto any mesh.

A checkpoint has two items: `ema`, all that sampling needs, and `state`, the rest of what training
needs. Orbax writes into a temporary folder and renames it, so a run killed at any moment leaves
the last whole checkpoint in place.
"""

from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from ddgan_jax.errors import UserError
from ddgan_jax.types import PyTree, TrainState

args: Any = ocp.args


def open_manager(workdir: Path, keep: int = 1, read_only: bool = False) -> ocp.CheckpointManager:
    """The checkpoints of a run folder (orbax wants an absolute path)."""
    options = ocp.CheckpointManagerOptions(
        max_to_keep=keep, read_only=read_only, create=not read_only
    )
    return ocp.CheckpointManager((workdir / "checkpoints").resolve(), options=options)


def save(manager: ocp.CheckpointManager, state: TrainState) -> None:
    """Start saving `state` under its step; returns once the values are copied off the devices."""
    step = int(state.step)
    if step in manager.all_steps():
        return
    rest = state._replace(ema={})._asdict()
    manager.save(
        step, args=args.Composite(state=args.StandardSave(rest), ema=args.StandardSave(state.ema))
    )


def restore_state(manager: ocp.CheckpointManager, step: int, abstract: TrainState) -> TrainState:
    """The whole state at `step`, laid out as `abstract` (ShapeDtypeStructs with shardings) says.

    Raises:
      UserError: the checkpoint cannot be read or has another structure.
    """
    rest = abstract._replace(ema={})._asdict()
    items = args.Composite(state=args.StandardRestore(rest), ema=args.StandardRestore(abstract.ema))
    restored = _restore(manager, step, items, "train on from")
    return TrainState(**{**restored["state"], "ema": restored["ema"]})


def restore_ema(manager: ocp.CheckpointManager, step: int, abstract: PyTree) -> PyTree:
    """The moving average alone.

    Raises:
      UserError: the checkpoint cannot be read or has another structure.
    """
    items = args.Composite(ema=args.StandardRestore(abstract))
    return _restore(manager, step, items, "sample from")["ema"]


def _restore(manager: ocp.CheckpointManager, step: int, items: Any, purpose: str) -> Any:
    folder = Path(manager.directory) / str(step)
    try:
        return manager.restore(step, args=items)
    except Exception as error:  # orbax raises whatever its layers raise; the reason goes along
        others = [s for s in manager.all_steps() if s != step]
        rest = f"; steps {others} remain, delete that folder to use them" if others else ""
        reason = str(error).strip().split("\n")[0][:160]
        raise UserError(f"cannot {purpose} checkpoint {folder}: {reason}{rest}") from error


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
