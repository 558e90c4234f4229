"""Batches: order, resuming, processes, flips."""

import gc
import itertools
import threading
import time

import numpy as np
import pytest

from ddgan_jax.core.errors import UserError
from ddgan_jax.data import array_source, batch_function, batches

SIZE = 103


@pytest.fixture(scope="module")
def source():
    """The label of an example is its index; its image is that, with a mark on the left."""
    images = np.zeros((SIZE, 4, 4, 3), np.uint8)
    images[..., 1] = np.arange(SIZE)[:, None, None]
    images[:, :, 0, 0] = 255
    return array_source("numbers", images, np.arange(SIZE))


def some(source, count, size=10, **options):
    return list(itertools.islice(batches(source, size, **options), count))


def same(left, right):
    for a, b in zip(left, right, strict=True):
        np.testing.assert_array_equal(a["image"], b["image"])
        np.testing.assert_array_equal(a["label"], b["label"])


def test_every_epoch_is_another_permutation(source):
    labels = np.concatenate([b["label"] for b in some(source, 31, seed=3)])
    epochs = labels[: 3 * SIZE].reshape(3, SIZE)
    for epoch in epochs:
        assert sorted(epoch) == list(range(SIZE))
    fixed = [(a == b).sum() for a, b in itertools.combinations([*epochs, np.arange(SIZE)], 2)]
    assert max(fixed) < 10  # two random permutations agree in about one place


def test_seeds_do_not_share_epochs(source):
    epochs = {
        tuple(batch_function(source, SIZE, seed=seed)(epoch)["label"])
        for seed in range(4)
        for epoch in range(4)
    }
    assert len(epochs) == 16


def test_image_and_label_stay_together(source):
    for batch in some(source, 5, seed=0, flip=True):
        np.testing.assert_array_equal(batch["image"][:, 0, 0, 1], batch["label"])
        assert batch["image"].shape == (10, 4, 4, 3) and batch["image"].dtype == np.uint8
        assert batch["label"].dtype == np.int32


def test_resume_is_start(source):
    whole = some(source, 30, seed=1, flip=True)
    same(some(source, 13, seed=1, flip=True, start=17), whole[17:])
    same([batch_function(source, 10, seed=1, flip=True)(17)], whole[17:18])
    same(some(source, 5, seed=1, flip=True, prefetch=0), whole[:5])
    same(some(source, 5, seed=1, flip=True, prefetch=8, threads=5), whole[:5])


def test_a_late_start_is_cheap(source):
    begun = time.perf_counter()
    late = next(batches(source, 10, seed=1, start=10**9))
    assert time.perf_counter() - begun < 2
    same([late], [batch_function(source, 10, seed=1)(10**9)])


@pytest.mark.parametrize("count", [2, 5])
def test_processes_share_the_global_batch(source, count):
    options = {"seed": 2, "flip": True, "start": 8}  # batch 10 runs across an epoch's border
    whole = some(source, 4, **options)
    parts = [some(source, 4, process_index=i, process_count=count, **options) for i in range(count)]
    for batch, *slices in zip(whole, *parts, strict=True):
        joined = {key: np.concatenate([part[key] for part in slices]) for key in batch}
        same([joined], [batch])


def test_flips(source):
    plain = np.concatenate([b["image"] for b in some(source, 40, seed=5)])
    flipped = np.concatenate([b["image"] for b in some(source, 40, seed=5, flip=True)])
    mirrored = flipped[:, 0, 0, 0] == 0
    assert 140 < mirrored.sum() < 260
    expected = np.where(mirrored[:, None, None, None], plain[:, :, ::-1], plain)
    np.testing.assert_array_equal(flipped, expected)


def test_one_batch_larger_than_the_data(source):
    labels = batch_function(source, 2 * SIZE, seed=0)(0)["label"]
    assert (np.bincount(labels) == 2).all()


def test_threads_end_with_the_iterator(source):
    before = threading.active_count()
    running = batches(source, 10, seed=0)
    next(running)
    assert threading.active_count() > before
    del running
    gc.collect()
    deadline = time.perf_counter() + 5
    while threading.active_count() > before and time.perf_counter() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": 10, "process_count": 4}, "processes (4)"),
        ({"process_index": 2, "process_count": 2}, "process_index is 2"),
        ({"seed": -1}, "seed is -1"),
        ({"start": -1}, "start is -1"),
    ],
)
def test_mistakes(source, options, word):
    with pytest.raises(UserError) as caught:
        batches(source, **{"batch_size": 10, "seed": 0, **options})
    assert word in str(caught.value) and "\n" not in str(caught.value)


def test_points_do_not_flip():
    points = array_source("points", np.zeros((3, 2), np.float32))
    with pytest.raises(UserError, match="flip"):
        batches(points, 1, seed=0, flip=True)
