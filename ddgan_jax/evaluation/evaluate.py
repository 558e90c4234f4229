"""Evaluation of a run's samples, of images from elsewhere, and during training.

Samples are rounded to 8 bits first, as image files are.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from ddgan_jax.core.errors import UserError, in_words_of
from ddgan_jax.core.types import TrainState
from ddgan_jax.data import load_source
from ddgan_jax.data.traversal import images_of
from ddgan_jax.evaluation.evaluator import (
    check_size,
    conditional_numbers,
    eight_bits,
    evaluate_samples,
    make_evaluator,
)
from ddgan_jax.evaluation.statistics import (
    against_statistics,
    one_extractor,
    open_statistics,
    read_statistics,
)
from ddgan_jax.inference.model import Model, load
from ddgan_jax.inference.outputs import outputs_of
from ddgan_jax.inference.published import converted
from ddgan_jax.inference.same_run import check_unchanged
from ddgan_jax.inference.sampling import sampling_params
from ddgan_jax.io import run_folder
from ddgan_jax.io.best import BEST, Step, selection
from ddgan_jax.parallel import mesh as meshes
from ddgan_jax.parallel.distributed import on_all_processes
from ddgan_jax.profiling.benchmark import sampling_speed
from ddgan_jax.training.setup import Run

Say = Callable[[str], None]
Measure = Callable[[], tuple[dict[str, float], dict[str, Any]]]  # -> metrics and protocol
ENOUGH = 10_000  # samples; the FID of fewer is known to be too large


def evaluate(
    config: ConfigDict,
    workdir: Path,
    out: Path | None = None,
    step: Step = None,
    reference: Path | None = None,
    say: Say = print,
) -> None:
    """Evaluate a run: print a table and write `evaluation.json`.

    A method that does not sample is evaluated by its reconstructions of `config.eval.split`.

    Args:
      config: config of the run, with `config.eval` as wanted.
      workdir: the run folder.
      out: folder of `evaluation.json`; the run folder if None.
      step: see `load`.
      reference: file of statistics to compare with instead of the data, see `statistics`.
      say: prints a line.

    Raises:
      UserError: see `load`, `make_evaluator` and `read_statistics`; the training data have changed
        since the run began; or `out` cannot be written to.
    """
    out = out or workdir
    model = load(workdir, step, config, raw=config.eval.weights == "raw")
    if reference:
        measure = _with_statistics(config, reference, model)
    else:
        measure = _with_data(config, model, workdir)
    if jax.process_index() == 0:
        run_folder.check_writable("--out", out)
        say("compiling and measuring ...")
    start = time.perf_counter()
    metrics, details = measure()
    speed: dict[str, Any] = {}
    if model.method.sample:
        speed = {"speed": _speed(model, config.eval.trials)}
    seconds = time.perf_counter() - start
    report = {
        "metrics": metrics,
        **speed,
        "protocol": {
            "run": workdir.resolve().name,
            "method": config.method,
            "step": model.step,
            **({"checkpoint": selection(workdir, config.eval.best)} if step == BEST else {}),
            **_weights(model, config, workdir),
            "seed": config.eval.seed,
            "rounding": "8 bits",
            **details,
            "evaluation_seconds": round(seconds, 1),
            **_machine(model),
        },
    }
    _finish(report, out, say)


def _with_data(config: ConfigDict, model: Model, workdir: Path) -> Measure:
    """The metrics of a run against its data."""
    evaluator, key = make_evaluator(config, model.mesh), jax.random.key(config.eval.seed)
    if config.eval.split == config.data.split:
        on_all_processes(lambda: check_unchanged(workdir, config, evaluator.source))
    outputs = outputs_of(
        model.method,
        config,
        evaluator.source,
        model.mesh,
        model.frozen,
        key,
        config.eval.num_samples,
    )

    def measure() -> tuple[dict[str, float], dict[str, Any]]:
        metrics, details = evaluate_samples(
            evaluator, lambda: eight_bits(outputs.batches(model.params)), outputs.count
        )
        if outputs.quality:
            return metrics | outputs.quality(model.params), details
        return metrics | conditional_numbers(evaluator, model, key, outputs.count), details

    return measure


def _with_statistics(config: ConfigDict, reference: Path, model: Model) -> Measure:
    """The distance of a run's samples to the statistics in a file."""
    if model.method.sample is None or len(model.shape) != 3:
        raise UserError(f"--reference={reference} is for runs that sample images")
    found = open_statistics(reference)  # before weights are looked for
    extractor, count = one_extractor(config, found), config.eval.num_samples
    real = read_statistics(reference, extractor)  # before the samples are drawn

    def measure() -> tuple[dict[str, float], dict[str, Any]]:
        samples = eight_bits(model.batches(jax.random.key(config.eval.seed), count))
        return against_statistics(
            config, reference.name, real, extractor, samples, count, model.mesh
        )

    return measure


def _weights(model: Model, config: ConfigDict, workdir: Path) -> dict[str, Any]:
    """The entries of a protocol about the evaluated weights, and how many images they were shown.

    The run folder of imported weights says where they come from; for how long they were trained is
    not known.
    """
    if facts := converted(workdir):
        source = f"imported from {facts.get('file')} ({facts.get('source')})"
        return {"weights": f"{source}: {facts.get('holds', 'as in the file')}"}
    decay = f"decay {config.ema_decay}{', with warm-up' if config.ema_warmup else ''}"
    if config.ema_half_life:
        decay = f"half-life {config.ema_half_life:g} images"
    averaged = f"moving average, {decay}"
    return {
        "images_seen": model.step * config.train.batch_size,
        "weights": averaged if config.eval.weights == "ema" else "raw",
    }


def _speed(model: Model, trials: int) -> dict[str, Any]:
    """The speed entry of a report: number of network evaluations and time of sampling."""
    name, row = sampling_speed(model.method, model.params, model.frozen, model.mesh, trials)
    return {"what": name, "nfe": model.method.nfe, "trials": trials, **row}


def evaluate_source(
    config: ConfigDict,
    samples: str,
    samples_split: str,
    out: Path,
    reference: Path | None = None,
    say: Say = print,
) -> None:
    """Evaluate images that are not a run's: a file of samples, or another data set.

    Args:
      config: its `data` and `eval` define the reference data and the metrics.
      samples: a `config.data.name`: `npz:FILE`, `tfds:cifar10`, ...
      samples_split: split of `samples`.
      out: folder of `evaluation.json`.
      reference: see `evaluate`.
      say: prints a line.

    Raises:
      UserError: see `make_evaluator` and `read_statistics`; or samples that do not exist, are too
        few, or have another shape.
    """
    mesh = meshes.make_mesh()
    found = open_statistics(reference) if reference else {}
    evaluator = None if reference else make_evaluator(config, mesh)
    described = {**config.data.to_dict(), "name": samples, "split": samples_split}
    with in_words_of(
        {"config.data.name": "--samples", "config.data.split": "--samples_split"},
    ):
        source = load_source(ConfigDict(described))
    check_size("samples", source.size, f"--samples={samples}")
    if jax.process_index() == 0:
        run_folder.check_writable("--out", out)
    if evaluator:
        metrics, details = evaluate_samples(evaluator, lambda: images_of(source), source.size)
    else:
        assert reference
        extractor, batches = one_extractor(config, found), images_of(source)
        real = read_statistics(reference, extractor)
        metrics, details = against_statistics(
            config, reference.name, real, extractor, batches, source.size, mesh
        )
    report = {
        "metrics": metrics,
        "protocol": {"run": f"{samples}, {samples_split}", **details, **_machine(None)},
    }
    _finish(report, out, say)


def during_training(run: Run) -> Callable[[TrainState], dict[str, float]]:
    """The evaluation of a training run, see `training.loop.train`.

    Args:
      run: the training run.

    Returns:
      state -> metrics of `config.eval.training_samples` images, made from the same noise each time;
      of reconstructions if the method does not sample.

    Raises:
      UserError: see `make_evaluator`.
    """
    evaluator = make_evaluator(run.config, run.mesh)
    settings = evaluator.settings
    outputs = outputs_of(
        run.method,
        run.config,
        evaluator.source,
        run.mesh,
        run.frozen,
        jax.random.key(settings.seed),
        settings.training_samples,
    )

    def measure(state: TrainState) -> dict[str, float]:
        params = sampling_params(state, raw=settings.weights == "raw")
        metrics, _ = evaluate_samples(
            evaluator, lambda: eight_bits(outputs.batches(params)), outputs.count
        )
        return metrics

    return measure


def _machine(model: Model | None) -> dict[str, Any]:
    devices = model.mesh.devices.flat if model else jax.devices()
    return {
        "devices": [str(device.device_kind) for device in devices],
        "jax": jax.__version__,
        "python": sys.version.split()[0],
    }


def _finish(report: Mapping[str, Any], out: Path, say: Say) -> None:
    """Print the report and write it, on process 0."""
    if jax.process_index() != 0:
        return
    for line in table(report):
        say(line)
    path = out / "evaluation.json"
    try:
        run_folder.write_atomically(path, json.dumps(report, indent=2) + "\n")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error
    say(f"written to {path}")
    if "fid" in report["metrics"] and report["protocol"]["samples"] < ENOUGH:
        say(
            f"the FID of {report['protocol']['samples']:,} samples is larger than that of more; "
            f"published ones are of 50,000, at least {ENOUGH:,} are advised"
        )


def table(report: Mapping[str, Any]) -> list[str]:
    """Format a report for the terminal: metrics, speed, and one line with the protocol."""
    rows = [(name, f"{value:.5g}") for name, value in report["metrics"].items()]
    if speed := report.get("speed"):
        rows.append(("network evaluations", str(speed["nfe"])))
        rows.append((f"seconds for {speed['what']}", f"{speed['seconds']:.4g}"))
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {value:>12}" for name, value in rows]
    said = report["protocol"]
    parts = [said["run"], f"{said['samples']:,} samples"]
    if "step" in said:
        chosen = f", {said['checkpoint']}" if "checkpoint" in said else ""
        parts += [
            f"step {said['step']}{chosen}",
            f"weights: {said['weights']}",
            f"seed {said['seed']}",
        ]
    data = said["reference"]
    parts.append(
        f"against the statistics in {data['name']} ({data['statistics']})"
        if "statistics" in data
        else f"against {data['images']:,} images of {data['name']} {data['split']} ({data['hash']})"
        if "hash" in data
        else f"against the modes of {data['name']}"
    )
    parts += [
        f"{network['name']} ({network['weights_hash']}), resize: {network['resize']}, gray: "
        f"{network['grey']}"
        for network in said.get("extractors", [])
    ]
    parts.append(f"{len(said['devices'])} x {said['devices'][0]}")
    return [*lines, "protocol: " + "; ".join(parts)]
