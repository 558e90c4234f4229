"""`--mode=evaluate`: how good are the samples of a run; also during training.

Samples are rounded to 8 bits first, as a PNG would: that is what everybody compares.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import Params, TrainState
from ddgan_jax.data import load_source
from ddgan_jax.evaluation import protocol
from ddgan_jax.evaluation.reference import (
    Evaluator,
    check_size,
    eight_bits,
    evaluate_samples,
    label_accuracy,
    make_evaluator,
)
from ddgan_jax.inference.model import Model, load
from ddgan_jax.inference.rebuild import closeness, of_source, rebuilder
from ddgan_jax.inference.sampling import compiled_sampler, sample_batches
from ddgan_jax.io import run_folder
from ddgan_jax.parallel import mesh as meshes
from ddgan_jax.profiling.benchmark import sampling_speed
from ddgan_jax.training.setup import Run

Say = Callable[[str], None]


def evaluate(
    config: ConfigDict,
    workdir: Path,
    out: Path | None = None,
    step: int | None = None,
    say: Say = print,
) -> int:
    """Sample from a run, measure, print a table and write `evaluation.json`.

    Of a method that draws no samples, the images of `config.eval.split` as it rebuilds them.

    Args:
      config: the run's, with `config.eval` as wanted.
      workdir: the run folder.
      out: folder of `evaluation.json`; the run folder if None.
      step: of the checkpoint; the last one if None.
      say: where lines for a person go.

    Raises:
      UserError: see `load` and `make_evaluator`; or `out` cannot be written to.
    """
    out = out or workdir
    model = load(workdir, step, config, raw=config.eval.weights == "raw")
    evaluator = make_evaluator(config, model.mesh)
    if jax.process_index() == 0:
        run_folder.check_writable("--out", out)
    settings, count = config.eval, config.eval.num_samples
    key = jax.random.key(settings.seed)
    start = time.perf_counter()
    if model.method.sample is None:
        source, rebuild = evaluator.source, rebuilder(model.method, model.mesh, settings.batch_size)
        count = min(count, source.size)
        metrics, said = evaluate_samples(
            evaluator,
            lambda: eight_bits(b for _, b in of_source(rebuild, model.params, source, count)),
            count,
        )
        pairs = of_source(rebuild, model.params, source, count)
        metrics |= closeness(pairs, source.shape)
        speed = {}
    else:
        metrics, said = evaluate_samples(
            evaluator, lambda: eight_bits(model.batches(key, count)), count
        )
        metrics |= label_accuracy(evaluator, model, key, count)
        name, row = sampling_speed(
            model.method, model.params, model.frozen, model.mesh, settings.trials
        )
        done = {"what": name, "nfe": model.method.nfe, "trials": settings.trials, **row}
        speed = {"speed": done}
    seconds = time.perf_counter() - start
    report = {
        "metrics": metrics,
        **speed,
        "protocol": {
            "run": workdir.resolve().name,
            "method": config.method,
            "step": model.step,
            "images_seen": model.step * config.train.batch_size,
            "weights": f"moving average, decay {config.ema_decay}"
            if settings.weights == "ema"
            else "raw",
            "seed": settings.seed,
            "rounding": "8 bits",
            **said,
            "evaluation_seconds": round(seconds, 1),
            **_machine(model),
        },
    }
    return _finish(report, out, say)


def evaluate_source(
    config: ConfigDict,
    samples: str,
    samples_split: str,
    out: Path,
    say: Say = print,
) -> int:
    """The same for images that no run of ours made: a file of samples, or another set of data.

    Args:
      config: whose `data` and `eval` say what the samples are compared with, and how.
      samples: as `config.data.name`: `npz:FILE`, `tfds:cifar10`, ...
      samples_split: of them.
      out: folder of `evaluation.json`.
      say: where lines for a person go.

    Raises:
      UserError: as `make_evaluator`; samples that are not there, too few, or of another shape.
    """
    mesh = meshes.make_mesh()
    evaluator = make_evaluator(config, mesh)
    described = {**config.data.to_dict(), "name": samples, "split": samples_split}
    source = load_source(ConfigDict(described))
    check_size("samples", source.size, f"--samples={samples}")
    if jax.process_index() == 0:
        run_folder.check_writable("--out", out)
    metrics, said = evaluate_samples(evaluator, lambda: protocol.images_of(source), source.size)
    report = {
        "metrics": metrics,
        "protocol": {"run": f"{samples}, {samples_split}", **said, **_machine(None)},
    }
    return _finish(report, out, say)


def state_evaluator(run: Run, evaluator: Evaluator) -> Callable[[TrainState], dict[str, float]]:
    """state -> metrics of `config.eval.training_samples` samples, the same noise each time.

    Of a method that draws none, of so many images of `config.eval.split` as it rebuilds them.
    """
    settings, mesh = evaluator.settings, run.mesh
    count = settings.training_samples
    size = meshes.round_up(min(run.config.sample.batch_size, count), mesh)
    if run.method.sample is None:
        source, rebuild = evaluator.source, rebuilder(run.method, mesh, size)
        count = min(count, source.size)

        def draw(params: Params) -> Iterator[np.ndarray]:
            return (rebuilt for _, rebuilt in of_source(rebuild, params, source, count))
    else:
        sample = compiled_sampler(run.method, mesh)
        key = jax.random.key(settings.seed)

        def draw(params: Params) -> Iterator[np.ndarray]:
            return sample_batches(sample, params, run.frozen, key, count, size)

    def measure(state: TrainState) -> dict[str, float]:
        average = state.ema if settings.weights == "ema" else {}
        params = {**state.ema, **state.params, **average}
        return evaluate_samples(
            evaluator,
            lambda: eight_bits(draw(params)),
            count,
        )[0]

    return measure


def evaluation_line(step: int, metrics: Mapping[str, float]) -> str:
    """What a person watches during training."""
    return f"step {step}  " + "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())


def _machine(model: Model | None) -> dict[str, Any]:
    devices = model.mesh.devices.flat if model else jax.devices()
    return {
        "devices": [str(device.device_kind) for device in devices],
        "jax": jax.__version__,
        "python": sys.version.split()[0],
    }


def _finish(report: Mapping[str, Any], out: Path, say: Say) -> int:
    if jax.process_index() != 0:
        return 0
    for line in table(report):
        say(line)
    path = out / "evaluation.json"
    try:
        run_folder.write_atomically(path, json.dumps(report, indent=2) + "\n")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error
    say(f"written to {path}")
    return 0


def table(report: Mapping[str, Any]) -> list[str]:
    """The report for a terminal: metrics, speed, and the protocol in the end."""
    rows = [(name, f"{value:.5g}") for name, value in report["metrics"].items()]
    if speed := report.get("speed"):
        rows.append(("network evaluations", str(speed["nfe"])))
        rows.append((f"seconds for {speed['what']}", f"{speed['seconds']:.4g}"))
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {value:>12}" for name, value in rows]
    said = report["protocol"]
    parts = [said["run"], f"{said['samples']:,} samples"]
    if "step" in said:
        parts += [f"step {said['step']}", f"weights: {said['weights']}", f"seed {said['seed']}"]
    data = said["reference"]
    parts.append(
        f"against {data['images']:,} images of {data['name']} {data['split']} ({data['hash']})"
        if "hash" in data
        else f"against the modes of {data['name']}"
    )
    parts += [
        f"{network['name']} ({network['weights_hash']}), resize: {network['resize']}, grey: "
        f"{network['grey']}"
        for network in said.get("extractors", [])
    ]
    parts.append(f"{len(said['devices'])} x {said['devices'][0]}")
    return [*lines, "protocol: " + "; ".join(parts)]
