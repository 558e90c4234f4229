"""Measure whether the host keeps a device busy: training with a stand-in for the train step.

The stand-in takes a given time, as long as the step of an accelerator would, and computes nothing.
All else is that of a training: data, transfer, dispatch, logs and checkpoints of the whole state.

Measured is the time between the end of one stand-in and the start of the next, which is all the
work of the host for a step: the host waits for the stand-in. An accelerator runs while the host
works on the next step, and waits only as far as that takes longer than the step; at lines of the
log and at checkpoints it waits for all of it.
"""

import functools
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from ddgan_jax.config.overrides import override
from ddgan_jax.core.train_step import Regularize, train_step
from ddgan_jax.core.types import Array, Method, Metrics, PyTree, TrainState
from ddgan_jax.profiling.hardware import machine
from ddgan_jax.training.loop import train

SKIPPED = 12  # first steps, with compilation and the two early lines


class _Waiting(NamedTuple):
    """A train step as the loop uses one: what `lower` returns is compiled, then called."""

    jitted: Any
    seconds: float
    moments: list[tuple[float, float]]

    def lower(self, *inputs: Any) -> "_Waiting":
        return self._replace(jitted=self.jitted.lower(*inputs))

    def compile(self) -> Callable[..., Any]:
        dispatch = self.jitted.compile()

        def step(*inputs: Any) -> Any:
            outputs = dispatch(*inputs)
            start = time.perf_counter()
            time.sleep(self.seconds)
            self.moments.append((start, time.perf_counter()))
            return outputs

        return step


def waiting_steps(seconds: float, moments: list[tuple[float, float]]) -> Callable[..., Any]:
    """A function in the place of `training.setup.compiled_steps`, whose steps wait.

    A step is a program that takes and returns the whole state, as the real one does, and a pause.

    Args:
      seconds: how long a step takes.
      moments: start and end of each pause are appended here.
    """

    def steps(
        method: Method,
        optimizers: Mapping[str, optax.GradientTransformation],
        config: ConfigDict,
        mesh: jax.sharding.Mesh,
        abstract: TrainState,
    ) -> Callable[[Regularize], Any]:
        del config, mesh, abstract

        @functools.cache
        def variant(regularize: Regularize) -> Any:
            real = functools.partial(
                train_step,
                method=method,
                optimizers=optimizers,
                ema_decay=0.0,
                regularize=regularize,
            )

            def stand_in(
                state: TrainState, batch: Mapping[str, Array], frozen: PyTree
            ) -> tuple[TrainState, Metrics]:
                _, shapes = jax.eval_shape(real, state, batch, frozen)
                metrics = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
                return state._replace(step=state.step + 1), metrics

            return _Waiting(jax.jit(stand_in, donate_argnums=0), seconds, moments)

        return variant

    return steps


def host(
    config: ConfigDict, seconds: float, steps: int, say: Callable[[str], None] = print
) -> dict[str, float]:
    """Train with steps that wait, and print what the host does between them.

    Args:
      config: config of a run.
      seconds: how long a step takes.
      steps: number of steps, more than `SKIPPED`.
      say: prints a line.

    Returns:
      What is printed as JSON, of the steps after the first `SKIPPED`: "step_seconds", "steps",
      "host_seconds" (the median between two steps), "longest_seconds", and "late", the share of
      steps before which the host works for longer than a step takes.

    Raises:
      UserError: an invalid config.
    """
    changes = {"train.duration": f"{steps} steps", "train.sample_every": f"{steps} steps"}
    changes |= {"train.grid": "1", "eval.every": "never", "eval.best": "never"}
    changes |= {"eval.patience": "0"}
    moments: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        stand_ins = waiting_steps(seconds, moments)
        train(override(config, changes), Path(folder) / "run", say, make_steps=stand_ins)
    kept = moments[SKIPPED:]
    work = [start - end for (_, end), (start, _) in itertools.pairwise(kept)]
    row = {
        "step_seconds": seconds,
        "steps": len(kept),
        "host_seconds": statistics.median(work),
        "longest_seconds": max(work),
        "late": statistics.fmean(w > seconds for w in work),
    }
    say(
        f"{machine()}: between two steps of {1e3 * seconds:.1f} ms the host works for "
        f"{1e3 * row['host_seconds']:.2f} ms (median), at most {1e3 * row['longest_seconds']:.0f} "
        f"ms; longer than a step before {100 * row['late']:.1f} % of the steps"
    )
    say(json.dumps(row))
    return row
