"""`--mode=evaluate`: how good are the samples of a run; also during training.

An `Evaluator` is all that an evaluation needs besides samples, checked and loaded before any work
begins. Samples are rounded to 8 bits first, as a PNG would: that is what everybody compares.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from ddgan_jax import mesh as meshes
from ddgan_jax import plots, run_folder
from ddgan_jax.benchmark import sampling_speed
from ddgan_jax.data import load_source
from ddgan_jax.data.source import Source
from ddgan_jax.errors import UserError
from ddgan_jax.metrics import protocol
from ddgan_jax.metrics.classes import load_classifier
from ddgan_jax.metrics.extractor import Extractor
from ddgan_jax.metrics.inception import load_inception
from ddgan_jax.metrics.modes import KNOWN, Count
from ddgan_jax.model import Model, load
from ddgan_jax.prepare import Run
from ddgan_jax.rebuild import closeness, of_source, rebuilder
from ddgan_jax.sampling import compiled_sampler, sample_batches
from ddgan_jax.types import Params, TrainState

Say = Callable[[str], None]


class Evaluator(NamedTuple):
    """All that an evaluation needs besides samples.

    Attributes:
      settings: `config.eval`.
      source: the data that samples are compared with.
      extractors: feature networks, each with the metrics that are made of its features.
      modes: all samples -> how many modes of the data they cover, where these are known.
      mesh: the devices.
    """

    settings: ConfigDict
    source: Source
    extractors: tuple[tuple[Extractor, tuple[str, ...]], ...]
    modes: Count | None
    mesh: jax.sharding.Mesh


def make_evaluator(config: ConfigDict, mesh: jax.sharding.Mesh) -> Evaluator:
    """Load the data that samples are compared with, and the feature networks.

    Raises:
      UserError: the data or the weights of a network are not there, or do not suit each other.
    """
    wanted = config.eval
    data = ConfigDict({**config.data.to_dict(), "split": wanted.split})
    source = load_source(data)
    modes = KNOWN.get(source.name)
    if len(source.shape) != 3:
        if modes is None:
            raise UserError(
                f"config.data.name is {source.name!r}: evaluation knows images, and of points "
                "'gaussians25' alone"
            )
        return Evaluator(wanted, source, (), modes, mesh)
    _check_size("data", source.size, f"config.eval.split={wanted.split!r} of {source.name}")
    extractors = []
    for name in wanted.extractors:
        if name == "auto" and modes:
            continue  # modes are what such data is for
        if name == "auto":
            name = _suited(config, source)
            if name == "inception" and source.shape[-1] == 1:  # no classifier of ours knows it
                wanted = wanted.copy_and_resolve_references()
                wanted.repeat_grey = True
        extractor = (
            load_inception(wanted.inception) if name == "inception" else load_classifier(name)
        )
        # Now, not after minutes of sampling.
        protocol.to_channels(np.zeros((1, *source.shape), np.uint8), extractor, wanted.repeat_grey)
        extractors.append((extractor, _metrics_for(extractor, wanted.metrics)))
    return Evaluator(wanted, source, tuple(extractors), modes, mesh)


def _check_size(what: str, size: int, where: str) -> None:
    if size < 16:
        raise UserError(f"{where} has {size} images; at least 16 {what} are needed")


def _suited(config: ConfigDict, source: Source) -> str:
    """The feature network that 'auto' stands for."""
    ours = {"digits": "digits", "tfds:mnist": "mnist"}
    return ours.get(config.data.name, "inception") if source.shape[-1] == 1 else "inception"


def _metrics_for(extractor: Extractor, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Those of `wanted` that this network's features and logits can give."""
    is_inception, has_logits = extractor.distance == "fid", extractor.classes > 0
    suits = {
        "frechet": True,
        "kid": True,
        "precision_recall": True,
        "inception_score": is_inception and has_logits,
        "classes": not is_inception and has_logits,
    }
    if "auto" in wanted:
        return tuple(name for name, fits in suits.items() if fits)
    if "inception_score" in wanted and is_inception and not has_logits:
        raise UserError(
            "config.eval.metrics has 'inception_score', and the weights file of Inception has no "
            "classifier (fc.weight); that of pt_inception-2015-12-05-6726825d.pth has"
        )
    return tuple(name for name in suits if name in wanted and suits[name])


def evaluate_samples(
    evaluator: Evaluator, batches: Callable[[], Iterable[np.ndarray]], count: int
) -> tuple[dict[str, float], dict[str, Any]]:
    """The metrics of samples, and the protocol that makes them comparable.

    Args:
      evaluator: see `make_evaluator`.
      batches: makes an iterable of the samples, uint8 [b, H, W, C] or float32 [b, D]; called once
        for every feature network.
      count: number of samples.

    Raises:
      UserError: samples of another shape than the data.
    """
    settings, source = evaluator.settings, evaluator.source
    said: dict[str, Any] = {"samples": count}
    metrics: dict[str, float] = {}
    if evaluator.modes:
        whole = np.concatenate(list(_of_shape(batches(), source.shape)))
        found, how = evaluator.modes(whole)
        metrics |= found
        said |= {"reference": {"name": source.name, "shape": list(source.shape)}, **how}
    for extractor, names in evaluator.extractors:
        data = protocol.reference(
            source,
            extractor,
            evaluator.mesh,
            batch_size=settings.batch_size,
            repeat_grey=settings.repeat_grey,
        )
        samples = protocol.extract(
            extractor,
            _of_shape(batches(), source.shape),
            evaluator.mesh,
            batch_size=settings.batch_size,
            total=count,
            repeat_grey=settings.repeat_grey,
            label=f"{extractor.name} of samples",
        )
        metrics |= protocol.measure(
            samples, data, extractor, names, evaluator.mesh, seed=settings.seed
        )
        said["reference"] = {
            "name": source.name,
            "split": settings.split,
            "images": source.size,
            "shape": list(source.shape),
            "hash": data.images_hash,
        }
    said["extractors"] = [
        protocol.describe(extractor, settings.repeat_grey) for extractor, _ in evaluator.extractors
    ]
    return metrics, said


def _of_shape(batches: Iterable[np.ndarray], shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    for images in batches:
        if images.shape[1:] != shape:
            raise UserError(
                f"samples are {images.shape[1:]} and the data {shape}: they cannot be compared; "
                "config.data.image_size, fit and channels bring the data to the samples' size"
            )
        yield images


def eight_bits(batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Images in [-1, 1] rounded to uint8; points as they are."""
    for batch in batches:
        yield plots.to_uint8(batch) if batch.ndim == 4 else batch


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
    _check_size("samples", source.size, f"--samples={samples}")
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


def label_accuracy(
    evaluator: Evaluator, model: Model, key: jax.Array, count: int
) -> dict[str, float]:
    """Share of samples that show the class asked for, each class asked for equally often.

    As read by the classifiers of `evaluator` that know as many classes as the model; nothing of an
    unconditional model.
    """
    found = {}
    for extractor, names in evaluator.extractors:
        if "classes" not in names or extractor.classes != model.classes:
            continue
        asked = np.arange(count) % model.classes
        logits = protocol.extract(
            extractor,
            eight_bits(model.batches(key, count, labels=asked)),
            evaluator.mesh,
            batch_size=evaluator.settings.batch_size,
            total=count,
            repeat_grey=evaluator.settings.repeat_grey,
            label=f"{extractor.name} of each class",
        ).logits
        assert logits is not None  # it knows classes
        name = f"label_accuracy_{extractor.name.replace('-', '_')}"
        found[name] = float(np.mean(logits.argmax(axis=1) == asked))
    return found


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
