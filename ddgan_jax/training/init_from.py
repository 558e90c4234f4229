"""`--init_from`: the first weights of a run are those of another run folder.

The run is a new one: it begins at step 0, its averages start at these weights, and what a method
remembers besides is new. So are the optimizers, except for raw weights of a converted checkpoint,
which bring the moments and the count of Adam. The source is not needed later.
"""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import traverse_util
from ml_collections import ConfigDict

from ddgan_jax.config.fields import flatten
from ddgan_jax.config.stored import read_config
from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import Method, Params, PyTree, TrainState
from ddgan_jax.inference.sampling import ema_shapes
from ddgan_jax.interop.weight_files import content_hash
from ddgan_jax.io import checkpoint, run_folder
from ddgan_jax.io.best import BEST, Step, best_in
from ddgan_jax.io.storage import AnyPath, as_path, name_of
from ddgan_jax.methods import build_method, complete_config, fields_of, tracing
from ddgan_jax.parallel.mesh import replicated
from ddgan_jax.spaces import FrozenNetworks, find_space
from ddgan_jax.training.setup import Run

WEIGHTS = ("ema", "raw")
Roles = tuple[str, ...]
_SPEC = re.compile(r"(.+?)(?:@(\d{1,12}|best))?", re.DOTALL)
_NOT_OF_THE_MODEL = ("data.", "seed", "train.")  # differences that a new run is expected to have


class Origin(NamedTuple):
    """What a run begins from.

    Attributes:
      folder: another run folder: trained here, exported, or converted from a published checkpoint.
      step: of its checkpoint; None: the last.
      weights: "ema", the averaged weights of the roles that have some; or "raw", those that the
        optimizer moved.
    """

    folder: AnyPath
    step: Step
    weights: str

    def __str__(self) -> str:
        return f"{self.folder}" + ("" if self.step is None else f"@{self.step}")


class Weights(NamedTuple):
    """The first weights of a run.

    Attributes:
      params: parameters by role, with the shardings of the run. Roles that the origin does not have
        begin with new weights.
      moments: {"count", "mu", "nu"} of Adam by role, for raw weights of published files that have
        them; other optimizers are new.
      record: for info.json: folder, step, weights, roles and hash.
      notes: what the user should know, one line each.
    """

    params: Params
    moments: Params
    record: dict[str, Any]
    notes: list[str]


def parse(text: str, weights: str = "ema") -> Origin:
    """The origin that `FOLDER[@STEP]` names; STEP is a number or "best".

    Raises:
      UserError: `FOLDER` cannot be a path, or `weights` is not one of `WEIGHTS`.
    """
    match = _SPEC.fullmatch(text)
    if not match:
        raise UserError(f"--init_from is {text!r}; FOLDER or FOLDER@STEP is needed")
    if weights not in WEIGHTS:
        raise UserError(f"--init_weights is {weights!r}; ema or raw is needed")
    name, step = match.groups()
    wanted: Step = None if step is None else BEST if step == BEST else int(step)
    return Origin(as_path(name), wanted, weights)


def recorded(workdir: AnyPath, origin: Origin | None) -> dict[str, Any]:
    """What the run in a folder began from, as its info.json says; {} for no run or no origin.

    Args:
      workdir: the run folder.
      origin: what the command asks for.

    Raises:
      UserError: the run began from something else than `origin`; or it was to begin from another
        folder, has no checkpoint yet, and `origin` is None.
    """
    found: dict[str, Any] = {}
    if (workdir / "info.json").exists():
        found = run_folder.read_info(workdir).get("init_from", {})
    if not run_folder.has_checkpoint(workdir):
        if found and origin is None:
            raise UserError(
                f"--workdir={workdir} has no checkpoint yet of a run from {found.get('folder')}; "
                f"--init_from={found.get('folder')}@{found.get('step')} is needed again"
            )
        return {}
    if origin is None:
        return found
    same = found.get("folder") == _full(origin.folder) and found.get("weights") == origin.weights
    if not same or (isinstance(origin.step, int) and origin.step != found.get("step")):
        kind, folder, step = (found.get(name) for name in ("weights", "folder", "step"))
        began = f"{kind} weights of {folder}@{step}" if found else ""
        raise UserError(
            f"--workdir={workdir} holds a run from {began or 'new weights'}, --init_from={origin} "
            "asks for another; choose another --workdir, or leave out --init_from to resume"
        )
    return found


def check(origin: Origin) -> None:
    """Check that there is a checkpoint at `origin`, without reading it.

    Raises:
      UserError: no such folder or checkpoint.
    """
    try:
        theirs = read_config(origin.folder)
        with _checkpoints(origin.folder) as manager:
            _step_of(origin, manager, theirs)
    except UserError as error:
        raise UserError(f"--init_from={origin}: {error}") from error


def load_weights(origin: Origin, run: Run) -> Weights:
    """Read the first weights of a run (collective).

    Args:
      origin: where they are.
      run: the new run.

    Raises:
      UserError: no such folder or checkpoint, one of another method or without the wanted weights,
        or arrays whose shapes differ, all of which are named.
    """
    try:
        return _load(origin, run)
    except UserError as error:
        raise UserError(f"--init_from={origin}: {error}") from error


def _load(origin: Origin, run: Run) -> Weights:
    folder = origin.folder
    theirs = complete_config(read_config(folder))
    if theirs.method != run.config.method:
        raise UserError(
            f"it is a run of method {theirs.method!r}; one of {run.config.method!r} is needed"
        )
    networks, shape = find_space(theirs).frozen, run_folder.data_shape(folder)
    local = networks.use_local_copy(theirs, folder) if networks else theirs
    method = build_method(local, shape)
    with tracing(local):
        shapes = jax.eval_shape(method.init, jax.random.key(0))
    with _checkpoints(folder) as manager:
        step = _step_of(origin, manager, theirs)
        raw, with_moments = _held(folder, step, tuple(shapes))
        if origin.weights == "raw" and not set(method.ema_roles) <= set(raw):
            raise UserError("it has averaged weights only; --init_weights=ema is needed")
        averaged = method.ema_roles if origin.weights == "ema" else ()
        roles = [role for role in run.abstract.params if role in (*averaged, *raw)]
        roles = [role for role in roles if role in shapes]
        if wrong := mismatches(shapes, run.abstract.params, roles):
            raise UserError(f"{len(wrong)} arrays differ: {'; '.join(wrong)}")
        if networks:
            _check_frozen(networks, networks.load(local, shape, run.mesh), folder, run)
        params = _restore(manager, step, run, method, local, roles, averaged)
        adams = [role for role in roles if role in with_moments and role not in averaged]
        moments = _restore_moments(manager, step, run, adams) if adams else {}
    flat = traverse_util.flatten_dict(params, sep="/")
    digest = content_hash({name: _on_host(leaf) for name, leaf in flat.items()})
    record = {"folder": _full(folder), "step": step, "weights": origin.weights}
    notes = [f"first weights: {_kind(r, averaged)} of {r}, {folder}@{step}" for r in roles]
    notes += [f"optimizer of {r}: {int(moments[r]['count']):,} steps of Adam" for r in adams]
    notes += [f"first weights: new ones of {r}" for r in run.abstract.params if r not in roles]
    notes += [f"other than in {folder}: {line}" for line in differences(theirs, run.config)]
    return Weights(params, moments, {**record, "roles": roles, "hash": digest}, notes)


def _check_frozen(
    networks: FrozenNetworks, theirs: Mapping[str, Any], folder: AnyPath, run: Run
) -> None:
    """Check that the space of the weights is that of the run.

    Raises:
      UserError: its frozen networks are others, so that its numbers mean something else.
    """

    def digest(tree: Mapping[str, Any]) -> str:
        flat = traverse_util.flatten_dict(dict(tree), sep="/")
        return content_hash({name: _on_host(leaf) for name, leaf in flat.items()})

    ours = {name: run.frozen[name] for name in theirs if name in run.frozen}
    if digest(theirs) != digest(ours):
        raise UserError(
            f"its weights belong to {folder / networks.copy}, which is not what this run has; "
            f"--config.{networks.field}={folder / networks.copy} is needed"
        )


@contextlib.contextmanager
def _checkpoints(folder: AnyPath) -> Iterator[checkpoint.Manager]:
    if not (folder / "checkpoints").is_dir():
        raise UserError("it has no checkpoint")
    with checkpoint.opened(folder, read_only=True) as manager:
        yield manager


def _step_of(origin: Origin, manager: checkpoint.Manager, theirs: ConfigDict) -> int:
    wanted = origin.step
    if wanted == BEST:
        wanted = best_in(origin.folder, manager.all_steps(), theirs.eval.best)
    return checkpoint.step_to_restore(manager, wanted)


def _held(folder: AnyPath, step: int, roles: tuple[str, ...]) -> tuple[Roles, Roles]:
    """The roles that a checkpoint has raw weights of, and those with Adam's moments to begin with.

    A run that was trained here has all weights, and begins a new run without its moments.
    """
    if not (folder / "checkpoints" / str(step) / "state").exists():
        return (), ()
    converted = run_folder.read_info(folder).get("converted")
    if converted is None:
        return roles, ()
    return tuple(converted.get("networks", ())), tuple(converted.get("optimizers", ()))


def _kind(role: str, averaged: tuple[str, ...]) -> str:
    return "averaged" if role in averaged else "raw"


def _restore(
    manager: checkpoint.Manager,
    step: int,
    run: Run,
    method: Method,
    config: ConfigDict,
    roles: list[str],
    averaged: tuple[str, ...],
) -> dict[str, PyTree]:
    """The parameters of `roles`, with the shardings of the run."""
    needed, found = run.abstract.params, {}
    if averaged:
        item = checkpoint.with_sharding(ema_shapes(method, config), replicated(run.mesh))
        item |= {role: needed[role] for role in averaged}
        ema = checkpoint.restore_ema(manager, step, item)
        found = {role: ema[role] for role in averaged}
    if rest := [role for role in roles if role not in averaged]:
        found |= checkpoint.restore_params(manager, step, {role: needed[role] for role in rest})
    return found


def _restore_moments(
    manager: checkpoint.Manager, step: int, run: Run, roles: list[str]
) -> dict[str, PyTree]:
    """Adam's moments of `roles`, with the shardings of the parameters."""
    count = jax.ShapeDtypeStruct((), jnp.int32, sharding=replicated(run.mesh))
    needed = {role: run.abstract.params[role] for role in roles}
    item = {role: {"count": count, "mu": tree, "nu": tree} for role, tree in needed.items()}
    found: dict[str, PyTree] = checkpoint.restore_moments(manager, step, item)
    return found


def mismatches(theirs: Params, ours: Params, roles: list[str]) -> list[str]:
    """The arrays that two trees of parameters do not have in common, or not in one shape."""
    named = [
        traverse_util.flatten_dict({role: tree[role] for role in roles}, sep="/")
        for tree in (theirs, ours)
    ]
    shapes = [{name: tuple(leaf.shape) for name, leaf in flat.items()} for flat in named]
    return [
        f"{name} {shapes[0].get(name, 'none')} there, {shapes[1].get(name, 'none')} here"
        for name in sorted({*shapes[0], *shapes[1]})
        if shapes[0].get(name) != shapes[1].get(name)
    ]


def differences(theirs: ConfigDict, ours: ConfigDict) -> list[str]:
    """The fields of two configs that describe the model and differ, as "field: old -> new"."""
    old, new = (
        {name: tuple(v) if isinstance(v, list) else v for name, v in flatten(config).items()}
        for config in (theirs, ours)
    )
    fields = fields_of(ours)
    return [
        f"{name}: {old.get(name)!r} -> {new.get(name)!r}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
        and not name.startswith(_NOT_OF_THE_MODEL)
        and not (name in fields and fields[name].may_change)
    ]


def begin_with(state: TrainState, weights: Weights) -> TrainState:
    """A first state with other weights, from which the moving averages start too."""
    copies = {role: jax.tree.map(jnp.copy, tree) for role, tree in weights.params.items()}
    ema = {role: copies.get(role, tree) for role, tree in state.ema.items()}
    opt_state = dict(state.opt_state)
    for role, moments in weights.moments.items():
        opt_state[role] = _with_moments(opt_state[role], moments)
    params = {**state.params, **weights.params}
    return state._replace(params=params, ema=ema, opt_state=opt_state)


def _with_moments(opt_state: PyTree, moments: Mapping[str, Any]) -> PyTree:
    """The state of an optimizer with other moments of Adam; the learning rate begins anew."""

    def is_adam(node: object) -> bool:
        return isinstance(node, optax.ScaleByAdamState)

    return jax.tree.map(
        lambda node: node._replace(**moments) if is_adam(node) else node,
        opt_state,
        is_leaf=is_adam,
    )


def _on_host(leaf: jax.Array) -> np.ndarray:
    """A whole array on this host, also one that is split over devices of several."""
    if leaf.is_fully_addressable or leaf.is_fully_replicated:
        return np.asarray(leaf)
    from jax.experimental import multihost_utils

    whole: np.ndarray = multihost_utils.process_allgather(leaf, tiled=True)
    return whole


def _full(folder: AnyPath) -> str:
    """The path of a folder, for comparison."""
    return name_of(folder) or (str(folder) if "://" in str(folder) else os.path.abspath(folder))
