"""Training of the classifiers of small gray images that serve as feature networks.

The two classifiers in the package (`features/classifier.py`) were trained by these commands:
  python -m ddgan_jax classifier --data=tfds:mnist --size=32 --out=mnist.npz
  python -m ddgan_jax classifier --data=digits --out=digits.npz

Training images are brought to the size of the network in every way that configs allow
(`config.data.fit`), then zoomed and shifted at random.
"""

import functools
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import traverse_util

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import Array, PyTree
from ddgan_jax.data import Source, array_source, batches, load_source
from ddgan_jax.features.classifier import classify, extractor_of
from ddgan_jax.features.extractor import Extractor
from ddgan_jax.io.run_folder import atomically, check_writable
from ddgan_jax.metrics import classes as class_metrics
from ddgan_jax.networks.classifier import SIZES, Classifier
from ddgan_jax.training.metrics_log import Clock, duration, progress_line

BATCH = 128
STEPS = 4000
LEARNING_RATE = 2e-3
ZOOM = (0.9, 1.15)  # range of factors, along each axis
SHIFT = 1 / 16  # largest shift in either direction, as a fraction of the image size


def jitter(key: Array, images: Array) -> Array:
    """Zoom and shift every image at random, independently along each axis.

    Zoom factors are uniform in `ZOOM`, about the center; shifts are uniform up to `SHIFT` times S.
    Pixels are interpolated linearly, and black outside of the image.

    Args:
      key: typed PRNG key.
      images: float32 [B, S, S, 1].

    Returns:
      float32 [B, S, S, 1].
    """
    batch, size = images.shape[:2]
    pixel = jnp.arange(size, dtype=jnp.float32)
    center = (size - 1) / 2

    def weights(key: Array) -> Array:  # [B, S of the result, S of the input]
        key_zoom, key_shift = jax.random.split(key)
        zoom = jax.random.uniform(key_zoom, (batch, 1, 1), minval=ZOOM[0], maxval=ZOOM[1])
        limit = SHIFT * size
        shift = jax.random.uniform(key_shift, (batch, 1, 1), minval=-limit, maxval=limit)
        read = (pixel[:, None] - center - shift) / zoom + center
        return jnp.maximum(1 - jnp.abs(read - pixel), 0)

    rows, columns = (weights(k) for k in jax.random.split(key))
    return jnp.einsum("bij,bjkc,blk->bilc", rows, images, columns)


def train_classifier(
    source: Source, classes: int, steps: int, seed: int, say: Callable[[str], None] = print
) -> PyTree:
    """Train a classifier with cross-entropy on batches of 128 jittered images.

    Adam with a learning rate of 2e-3, annealed to 0 by a cosine. The same seed gives the same
    result.

    Args:
      source: uint8 images [S, S, 1] with labels, S in `SIZES`.
      classes: number of classes.
      steps: number of steps of the optimizer.
      seed: seed of initialization, data order, jitter and dropout.
      say: prints a progress line.

    Returns:
      Parameters of a `Classifier`.

    Raises:
      UserError: the images have another shape, or the loss is not finite.
    """
    if source.shape not in [(size, size, 1) for size in SIZES]:
        raise UserError(
            f"{source.name} has images of shape {source.shape}; gray squares of {SIZES[0]} to "
            f"{SIZES[-1]} pixels are needed, see --size"
        )
    module = Classifier(classes)
    key = jax.random.key(seed)
    key_init, key_steps = jax.random.split(key)
    params = jax.jit(module.init)(key_init, jnp.zeros((1, *source.shape)))["params"]
    optimizer = optax.adam(optax.cosine_decay_schedule(LEARNING_RATE, steps))

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(
        params: PyTree, state: PyTree, images: Array, labels: Array, index: Array
    ) -> tuple[PyTree, PyTree, Array]:
        key_jitter, key_dropout = jax.random.split(jax.random.fold_in(key_steps, index))
        x = jitter(key_jitter, images.astype(jnp.float32) / 255)

        def loss(p: PyTree) -> Array:
            _, logits = module.apply({"params": p}, x, train=True, rngs={"dropout": key_dropout})
            losses: Array = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return losses.mean()

        value, gradient = jax.value_and_grad(loss)(params)
        with jax.numpy_dtype_promotion("standard"):  # optax mixes floats and int32 in powers
            updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state, value

    state = jax.jit(optimizer.init)(params)
    clock, losses = Clock(0, steps, BATCH), []
    every = max(steps // 20, 1)
    for i, batch in zip(range(steps), batches(source, BATCH, seed=seed), strict=False):
        params, state, value = step(params, state, batch["image"], batch["label"], np.int32(i))
        losses.append(value)
        if i == 0 or (i + 1) % every == 0 or i + 1 == steps:
            loss = float(np.mean(jax.device_get(losses)))
            losses.clear()
            if not np.isfinite(loss):
                raise UserError(f"step {i + 1}: the loss is {loss}; try another --seed")
            speed, left = clock.read(i + 1)
            scalars = {"classifier/loss": loss, "images_per_second": speed, "seconds_left": left}
            if i:  # the first step includes compilation
                say(progress_line(i + 1, steps, scalars))
    return params


def accuracy(extractor: Extractor, source: Source) -> float:
    """Share of a source's images whose most likely class is their label."""
    examples = source.take(np.arange(source.size))
    return class_metrics.accuracy(classify(extractor, examples["image"]), examples["label"])


def _sets(data: str, split: str, data_dir: str, size: int) -> dict[str, Source]:
    """The data by how they reach `size`: as stored, padded, resized."""
    stored = _source(data, split, data_dir, 0, "pad")
    if not size or stored.shape[:2] == (size, size):
        return {"as stored": stored}
    ways = ("pad", "resize") if max(stored.shape[:2]) < size else ("resize",)
    return {"as stored": stored} | {
        f"{fit} to {size}": _source(data, split, data_dir, size, fit) for fit in ways
    }


def _together(sources: Iterable[Source]) -> Source:
    """The examples of several sources as one source."""
    sets = [source.take(np.arange(source.size)) for source in sources]
    image, label = (np.concatenate([s[key] for s in sets]) for key in ("image", "label"))
    return array_source("the training set", image, label)


def _source(data: str, split: str, data_dir: str, size: int, fit: str) -> Source:
    how = SimpleNamespace(
        name=data, split=split, dir=data_dir, image_size=size, fit=fit, channels=1
    )
    return load_source(how)


def make_classifier(
    data: str,
    out: Path,
    *,
    data_dir: str = "",
    size: int = 0,
    steps: int = STEPS,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> None:
    """Train a classifier, measure its test accuracy and write its weights.

    Args:
      data: `config.data.name` of a data set with labels and a test split.
      out: the .npz file to write.
      data_dir: `config.data.dir`, the folder of prepared TFDS data.
      size: height and width of the network's input; 0: those of the data.
      steps: number of training steps with `BATCH` images each.
      seed: random seed in [0, 2^32).
      say: prints a line.

    Raises:
      UserError: the size is not allowed, the data are missing or of another kind, or `out` cannot
        be written to.
    """
    if size and size not in SIZES:
        raise UserError(f"--size is {size}; an integer in [{SIZES[0]}, {SIZES[-1]}] is needed")
    if out.suffix != ".npz":
        raise UserError(f"--out is {out}; a file *.npz is needed")
    check_writable("--out", out.parent)
    started = time.perf_counter()
    sets, tests = (_sets(data, split, data_dir, size) for split in ("train", "test"))
    stored = sets.pop("as stored")
    train = _together(sets.values() or [stored])
    size = train.shape[0]
    classes = int(train.take(np.arange(train.size))["label"].max()) + 1
    say(f"{stored.size} images of {data} at {size}x{size}, {classes} classes")
    params = train_classifier(train, classes, steps, seed, say)

    # Stored in float16, half the size; accuracy is measured with the rounded weights.
    flat = traverse_util.flatten_dict(jax.device_get(params), sep="/")
    arrays = {name: np.asarray(value, np.float16) for name, value in flat.items()}
    meta: dict[str, Any] = {
        "name": re.split("[:/]", data)[-1],
        "command": f"python -m ddgan_jax classifier --data={data} --size={size} --steps={steps} "
        f"--seed={seed}",
        "data": data,
        "size": size,
        "steps": steps,
        "seed": seed,
        "batch": BATCH,
    }
    extractor = extractor_of(meta, arrays)
    exact = extractor._replace(params=params)
    found = {name: accuracy(extractor, source) for name, source in tests.items()}
    for name, right in found.items():
        say(
            f"test accuracy, {tests[name].size} images {name}: {100 * right:.2f} % "
            f"(before rounding {100 * accuracy(exact, tests[name]):.2f} %)"
        )
    _write(out, arrays, meta | {"accuracy": found, "test_images": tests["as stored"].size})
    say(
        f"wrote {out}: {out.stat().st_size} bytes, weights {extractor.weights_hash}, "
        f"in {duration(time.perf_counter() - started)}"
    )


def _write(path: Path, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
    contents: dict[str, Any] = {"meta": np.array(json.dumps(meta)), **dict(sorted(arrays.items()))}
    with atomically(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **contents)
