"""`Trainer`: training step by step in Python, on images in memory, by the functions of `train`."""

import contextlib
import numbers
import os
import warnings
from collections.abc import Generator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from ddgan_jax.config import plugins as plugin_code
from ddgan_jax.core.errors import UserError, in_words_of
from ddgan_jax.core.signals import interrupts_wait
from ddgan_jax.core.train_step import which_regularize
from ddgan_jax.core.types import Array, TrainState
from ddgan_jax.data import as_configured, from_arrays, load_source
from ddgan_jax.data.arrays import NAME
from ddgan_jax.data.source import Source
from ddgan_jax.data.splits import check_split
from ddgan_jax.inference.labels import Labels
from ddgan_jax.inference.model import Model
from ddgan_jax.inference.same_run import fingerprint
from ddgan_jax.interop.weight_files import write_npz
from ddgan_jax.io import checkpoint, run_folder
from ddgan_jax.io.best import best_step
from ddgan_jax.io.orbax_logs import told_once
from ddgan_jax.io.read_json import read_lines
from ddgan_jax.io.storage import PRETRAINED, AnyPath, as_path, check_name, is_remote
from ddgan_jax.methods import complete_config
from ddgan_jax.spaces import find_space
from ddgan_jax.training.beginning import changes_since, write_facts
from ddgan_jax.training.feed import feed_batches
from ddgan_jax.training.init_from import Origin, begin_with, load_weights, parse, recorded
from ddgan_jax.training.metrics_log import Window
from ddgan_jax.training.setup import compiled_steps, describe, first_state, prepare

_WORDS = {
    "train first: --config=FILE --workdir=": "train first into ",
    "--workdir": "workdir",
    "--init_from": "init_from",
}
DATA = "data.npz"  # in a run folder: the images that the Trainer was given


class Trainer:
    """A run that is trained step by step, in a process of its own, such as a notebook.

    Batches and steps are those of `python -m ddgan_jax train` with the same config and data, bit
    for bit on the same devices. Nothing is logged or written but by `save`: evaluations, sample
    grids and checkpoints that the config asks for are made by the command only.

    Args:
      config: config of the run, as a preset returns it.
      images: the data, a numpy or JAX array: images [N, H, W, C] or [N, H, W] with C 1 or 3, uint8
        or floats, or float points [N, D]. Images of floats are rounded to 8 bits; their range is
        [-1, 1] if the smallest value is below -0.5, and [0, 1] if it is 0. `config.data.split`,
        `image_size`, `fit`, `channels` and `flip` apply to them. None: the data that `config.data`
        names.
      labels: integers [N], which a config with `classes` learns; None: none.
      value_range: (-1, 1) or (0, 1), the range of images of floats that do not tell it themselves.
      workdir: a run folder, where `save` writes. Training goes on from its last checkpoint, if it
        has one.
      seed: instead of `config.seed`.
      init_from: "FOLDER" or "FOLDER@STEP", another run folder of the same method with the first
        weights: averaged ones, where it has some (see `python -m ddgan_jax train --help`).
      plugins: folder of the user's own modules that the config names as "module:attribute". What is
        imported already, or defined in a notebook ("__main__:attribute"), needs none.

    Raises:
      UserError: an invalid config, images that are not allowed or whose range is not known, a
        `workdir` that holds another run, an `init_from` without such weights, or a run of several
        processes.
    """

    def __init__(
        self,
        config: ConfigDict,
        images: Any = None,
        labels: Any = None,
        *,
        value_range: tuple[float, float] | None = None,
        workdir: str | AnyPath | None = None,
        seed: int | None = None,
        init_from: str | None = None,
        plugins: str | Path | None = None,
    ) -> None:
        if jax.process_count() > 1:
            raise UserError("Trainer is for one process; python -m ddgan_jax train is for several")
        if images is None and not (labels is None and value_range is None):
            raise UserError("labels or value_range are given without images, which are needed too")
        if plugins is not None:
            plugin_code.allow(plugins)
        _check_types(config, seed, value_range, init_from)
        config = complete_config(config)
        self._given = None if images is None else from_arrays(images, labels, value_range)
        if self._given:
            config.data.name, config.data.dir = NAME, ""
        if seed is not None:
            config.seed = int(seed)
        self._workdir = None if workdir is None else _folder("workdir", workdir)
        self._own = {_real(self._workdir)} if self._workdir is not None else set[str]()
        with in_words_of(_WORDS):
            self._run = run = prepare(config, workdir=self._workdir, load=self._load)
        self._roles = tuple(phase.role for phase in run.method.phases)
        self._step_fn = compiled_steps(
            run.method, run.optimizers, run.config, run.mesh, run.abstract
        )
        self._origin: dict[str, Any] = {}
        self._state, self._window = self._first(parse(init_from) if init_from else None)
        self._feed: Generator[dict[str, Array]] | None = None
        for note in run.source.notes:
            warnings.warn(note, stacklevel=2)

    def _load(self, data: ConfigDict) -> Source:
        """The data of the run."""
        given = self._given
        if given is None:
            return load_source(data)

        def load(split: str) -> Source:
            check_split(split, ("train",))
            return given

        return as_configured(data, load)

    def _first(self, origin: Origin | None) -> tuple[TrainState, Window]:
        """The state of the last readable checkpoint in the run folder, or a new one."""
        run, workdir, weights = self._run, self._workdir, None
        with in_words_of(_WORDS):
            if workdir is not None:
                self._check_data(workdir)
                changes_since(workdir, run.config, run)
                self._origin = recorded(workdir, origin)
            if origin and not self._origin:
                weights = load_weights(origin, run)
                self._origin = weights.record
        if workdir is None or not run_folder.has_checkpoint(workdir):
            state = first_state(run.create, run.abstract, run.config.seed)
            return begin_with(state, weights) if weights else state, Window(self._roles)
        with checkpoint.opened(workdir, read_only=True) as manager:
            step = checkpoint.step_to_restore(manager)
            with contextlib.suppress(UserError):
                state, sums = checkpoint.restore_state(manager, step, run.abstract)
                return state, Window(self._roles, sums)
        # The newest is damaged: it is set aside, as by `train`.
        with run_folder.claimed(workdir), checkpoint.opened(workdir, run.config.train.keep) as own:
            state, sums = checkpoint.restore_newest(own, run.abstract, warnings.warn)
        return state, Window(self._roles, sums)

    def _check_data(self, folder: AnyPath) -> None:
        """Check that a run in a folder, if there is one, was trained on these data."""
        if not run_folder.has_checkpoint(folder):
            return
        theirs = run_folder.read_info(folder).get("data", {}).get("hash")
        if theirs not in (None, fingerprint(self._run.source)):
            what = "images" if self._given else "data"
            raise UserError(f"{folder} holds a run with other {what} than these; they are needed")

    def __repr__(self) -> str:
        run = self._run
        return (
            f"<Trainer {run.config.method} on {run.source.size:,} examples {run.source.shape}, "
            f"step {int(self._state.step)} of {run.plan.total}>"
        )

    @property
    def config(self) -> ConfigDict:
        """A copy of the complete config."""
        return ConfigDict(self._run.config.to_dict())

    @property
    def steps(self) -> int:
        """Number of train steps so far, those before the checkpoint that it resumed included."""
        return int(self._state.step)

    @property
    def state(self) -> TrainState:
        """A copy of the train state, which later steps leave as it is."""
        copy: TrainState = jax.tree.map(jnp.copy, self._state)
        return copy

    @property
    def model(self) -> Model:
        """The model with a copy of the averaged weights, as `ddgan_jax.load` returns it."""
        run, step = self._run, int(self._state.step)
        params = jax.tree.map(jnp.copy, self._state.ema)
        shape = run.source.shape
        return Model(run.config, run.method, params, step, shape, run.mesh, run.frozen)

    def step(self, n: int = 1) -> dict[str, float]:
        """Take `n` train steps; the first call compiles.

        Returns:
          Means over these steps, by name: "<role>/loss", "<role>/grad_norm", ...

        Raises:
          UserError: `n` is below 1 or above the steps that `config.train.duration` has left; or a
            loss or norm is not finite, with the step and the phase.
        """
        run, done = self._run, int(self._state.step)
        if not isinstance(n, numbers.Integral) or isinstance(n, bool):
            raise UserError(f"n is {n!r}; an integer is needed")
        if not 1 <= n <= run.plan.total - done:
            raise UserError(
                f"n is {n}; 1..{run.plan.total - done} is needed: {done} of {run.plan.total} steps "
                "of config.train.duration are done"
            )
        means = Window(self._roles)
        try:
            self._feed = self._feed or feed_batches(run, done)
            for step in range(done + 1, done + n + 1):
                step_fn = self._step_fn(which_regularize(run.method, step - 1))
                batch = next(self._feed)
                with interrupts_wait():  # the step donates the state
                    self._state, metrics = step_fn(self._state, batch, run.frozen)
                    self._window.add(step, metrics)
                means.add(step, metrics)
                if step % run.plan.log == 0 or step == done + n:
                    self._window.settle(_advice)
                    means.settle(_advice)
                if step % run.plan.log == 0:
                    self._window.means()  # the window of a log line of `train` ends here
        except BaseException:  # an interrupt ends the generator, which begins again at any step
            self._feed = None
            raise
        return means.means()

    def sample(self, n: int, labels: Labels = None, seed: int = 0) -> np.ndarray:
        """Draw samples with the averaged weights, see `Model.sample`.

        Args:
          n: number of samples.
          labels: classes for a class-conditional model.
          seed: an integer in [0, 2^32); sample i depends on (seed, i, labels[i]) only.

        Returns:
          float32 [n, *shape]; images are in [-1, 1].

        Raises:
          UserError: another seed, or see `Model.sample`.
        """
        if not _is_integer(seed) or not 0 <= seed < 2**32:
            raise UserError(f"seed is {seed!r}; an integer in [0, 2^32) is needed")
        return self.model.sample(jax.random.key(int(seed)), n, labels=labels)

    def save(self, path: str | AnyPath | None = None) -> AnyPath:
        """Save a checkpoint in a run folder, and images that the Trainer was given as `data.npz`.

        Args:
          path: the run folder; None: `workdir`. It is made if it does not exist, or holds this run.

        Returns:
          The run folder, for `ddgan_jax.load`, `Trainer(workdir=...)` and all commands.

        Raises:
          UserError: the folder holds another run, another training or other data, or cannot be
            written to; or the last steps were not finite.
        """
        folder = self._workdir if path is None else _folder("path", path)
        if folder is None:
            raise UserError("path is missing; save(path) is needed, this Trainer has no workdir")
        if self._given and is_remote(folder):
            raise UserError(f"path is {folder}; a folder on a disk is needed for images in memory")
        check_name("path", folder)
        self._window.settle(_advice)
        run, config = self._run, self.config
        if self._given:
            config.data.name = f"npz:{os.path.abspath(folder / DATA)}"
        with in_words_of({"--workdir": "path"}):
            changes_since(folder, config, run)
        try:
            with told_once(), run_folder.claimed(folder), contextlib.ExitStack() as held:
                manager = held.enter_context(checkpoint.opened(folder, config.train.keep))
                done = int(self._state.step)
                if later := [step for step in manager.all_steps() if step > done]:
                    raise UserError(
                        f"{folder} has steps {later}; a folder without steps after {done} is needed"
                    )
                if manager.all_steps() and _real(folder) not in self._own:
                    raise UserError(
                        f"{folder} has checkpoints of another training; a new folder is needed, "
                        "or Trainer(..., workdir=FOLDER) to go on from them"
                    )
                lines = read_lines(folder / "evaluation.jsonl", folder)
                manager.best = best_step(lines, manager.all_steps(), config.eval.best)
                if networks := find_space(config).frozen:
                    networks.copy_into(config, run.frozen, folder)
                if self._given:
                    self._save_data(folder, config)
                origin = {"init_from": self._origin} if self._origin else {}
                write_facts(folder, config, describe(run) | origin)
                checkpoint.save(manager, self._state, self._window.sums())
                self._own.add(_real(folder))
        except OSError as error:
            raise UserError(f"{folder} cannot be written to: {error.strerror or error}") from error
        return folder

    def _save_data(self, folder: AnyPath, config: ConfigDict) -> None:
        """Write the images to a run folder, unless it has them."""
        given, file = self._given, folder / DATA
        assert given is not None
        if not file.exists():
            arrays = given.take(np.arange(given.size))
            labels = {"labels": arrays["label"]} if given.labeled else {}
            write_npz(file, {"images": arrays["image"], **labels})
        elif fingerprint(load_source(config.data)) != fingerprint(self._run.source):
            raise UserError(f"{file} has other data; a folder without it is needed")


def _real(folder: AnyPath) -> str:
    """A name that is the same for all paths of a folder."""
    return str(folder) if is_remote(folder) else os.path.realpath(folder)


def _folder(argument: str, path: str | AnyPath) -> AnyPath:
    """The path of a run folder, for the argument of this name."""
    if path == "":
        raise UserError(f"{argument} is empty; '.' is the current folder")
    if str(path).startswith(PRETRAINED):
        raise UserError(f"{argument} is {path!r}; a run of the package is only read")
    return as_path(path)


def _is_integer(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _check_types(config: Any, seed: Any, value_range: Any, init_from: Any) -> None:
    """Raise a UserError for arguments of other types than the Trainer takes."""
    if not isinstance(config, ConfigDict):
        raise UserError(f"config is {config!r:.60}; a ConfigDict, as configs return it, is needed")
    if not (seed is None or _is_integer(seed)):
        raise UserError(f"seed is {seed!r}; an integer is needed")
    if value_range is not None and tuple(np.shape(value_range)) != (2,):
        raise UserError(f"value_range is {value_range!r}; (0, 1) or (-1, 1) is needed")
    if init_from is not None and not isinstance(init_from, str):
        raise UserError(f'init_from is {init_from!r}; "FOLDER" or "FOLDER@STEP" is needed')


def _advice() -> str:
    return "a Trainer that begins again, with a lower learning rate, may help"
