"""How good are generated 8x8 digits: `python -m ddgan_jax.metrics.digits SAMPLES.npz`.

Three questions, each with the same number for 297 real digits that training never saw:
  are they digits?    confidence of a classifier trained on the 1,500 training digits
  are all there?      share of each class, and its entropy in units of ten equal classes
  are they copies?    distance to the nearest training digit (RMS over pixels, 0..255)
"""

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from ddgan_jax.data import digits, npz
from ddgan_jax.errors import UserError
from ddgan_jax.types import Array, PyTree


class DigitQuality(NamedTuple):
    """Attributes:
    confidence: mean probability of the likeliest class.
    sure: share of images whose likeliest class has probability above 0.9.
    classes: share of each class, float [10].
    balance: exp(entropy of `classes`) / 10; 1 for ten equal classes.
    nearest: median distance to the nearest training digit.
    coverage: median distance of a held-out digit to the nearest of these images.
    """

    confidence: float
    sure: float
    classes: np.ndarray
    balance: float
    nearest: float
    coverage: float


class _Classifier(nn.Module):
    @nn.compact
    def __call__(self, x: Array) -> Array:
        h = nn.relu(nn.Conv(32, (3, 3))(x))
        h = nn.relu(nn.Conv(64, (3, 3), strides=2)(h))
        h = nn.relu(nn.Dense(128)(h.reshape(h.shape[0], -1)))
        return nn.Dense(10)(h)


def train_classifier(images: np.ndarray, labels: np.ndarray, steps: int = 600) -> PyTree:
    """A small convolutional classifier of uint8 [N, 8, 8, 1] digits; seconds on CPU."""
    model = _Classifier()
    x, y = jnp.asarray(images, jnp.float32) / 255, jnp.asarray(labels)
    params = model.init(jax.random.key(0), x[:1])
    optimiser = optax.adam(optax.cosine_decay_schedule(3e-3, steps))

    @jax.jit
    def step(params: PyTree, state: PyTree, key: Array) -> tuple[PyTree, PyTree]:
        key_index, key_shift = jax.random.split(key)
        index = jax.random.randint(key_index, (128,), 0, len(x))
        noise = 0.1 * jax.random.normal(key_shift, (128, *x.shape[1:]))

        def loss(p: PyTree) -> Array:
            logits = model.apply(p, x[index] + noise)
            return optax.softmax_cross_entropy_with_integer_labels(logits, y[index]).mean()

        with jax.numpy_dtype_promotion("standard"):  # optax raises floats to int32 powers
            updates, state = optimiser.update(jax.grad(loss)(params), state)
        return optax.apply_updates(params, updates), state

    state = optimiser.init(params)
    for i in range(steps):
        params, state = step(params, state, jax.random.fold_in(jax.random.key(1), i))
    return params


def probabilities(params: PyTree, images: np.ndarray) -> np.ndarray:
    """Class probabilities [N, 10] of uint8 digits."""
    logits = _Classifier().apply(params, jnp.asarray(images, jnp.float32) / 255)
    return np.asarray(jax.nn.softmax(jnp.asarray(logits)))


def nearest_distance(images: np.ndarray, among: np.ndarray) -> np.ndarray:
    """RMS pixel distance [N] of each image to the nearest of `among`."""
    a, b = (np.asarray(x, np.float64).reshape(len(x), -1) for x in (images, among))
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    return np.sqrt(np.maximum(squared, 0).min(axis=1) / a.shape[1])


def digit_quality(classifier: PyTree, images: np.ndarray) -> DigitQuality:
    """Answers for uint8 images [N, 8, 8, 1]."""
    everything = [digits(split) for split in ("train", "test")]
    train, test = (s.take(np.arange(s.size))["image"] for s in everything)
    p = probabilities(classifier, images)
    classes = np.bincount(p.argmax(axis=1), minlength=10) / len(p)
    entropy = -sum(c * np.log(c) for c in classes if c)
    return DigitQuality(
        confidence=float(p.max(axis=1).mean()),
        sure=float((p.max(axis=1) > 0.9).mean()),
        classes=classes,
        balance=float(np.exp(entropy) / 10),
        nearest=float(np.median(nearest_distance(images, train))),
        coverage=float(np.median(nearest_distance(test, images))),
    )


def _digits_of(path: Path) -> np.ndarray:
    source = npz(str(path))
    if source.shape != (8, 8, 1):
        raise UserError(
            f"{path} holds {source.shape}; images (8, 8, 1) are needed: samples of a config with "
            "data.name=digits"
        )
    return source.take(np.arange(source.size))["image"]


def main(argv: list[str] | None = None) -> int:
    """The command: a table, samples beside held-out digits."""
    parser = argparse.ArgumentParser(
        "python -m ddgan_jax.metrics.digits",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("samples", type=Path, help="samples.npz of --mode=sample")
    try:
        images = _digits_of(parser.parse_args(argv).samples)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    train, test = (s.take(np.arange(s.size)) for s in (digits("train"), digits("test")))
    classifier = train_classifier(train["image"], train["label"])
    right = probabilities(classifier, test["image"]).argmax(axis=1) == test["label"]
    rows = {
        f"{len(images)} samples": digit_quality(classifier, images),
        f"{len(right)} held-out digits": digit_quality(classifier, test["image"]),
    }
    print(f"classifier: {100 * right.mean():.1f} % right on {len(right)} held-out digits")
    print(f"{'':<22}confidence  surer than 0.9  balance  nearest training digit")
    for name, q in rows.items():
        numbers = f"{q.confidence:10.3f}  {100 * q.sure:12.1f} %  {q.balance:7.3f}"
        print(f"{name:<22}{numbers}  {q.nearest:7.1f}")
        print(f"{'':<22}classes 0..9: {' '.join(f'{100 * c:.0f}' for c in q.classes)} %")
    sample_row = next(iter(rows.values()))
    print(f"median distance of a held-out digit to the nearest sample: {sample_row.coverage:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
