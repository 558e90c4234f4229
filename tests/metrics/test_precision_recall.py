"""Precision and recall of constructed sets, and against brute force."""

import jax
import numpy as np
import pytest

from ddgan_jax.core.errors import UserError
from ddgan_jax.metrics import precision_recall as module
from ddgan_jax.metrics.precision_recall import precision_recall
from ddgan_jax.parallel.mesh import make_mesh


def blob(seed, count, center=0.0, size=5):
    rng = np.random.default_rng(seed)
    return (center + rng.normal(size=(count, size))).astype(np.float32)


def distances(x, y):
    """Squared, float64 [N, M]."""
    return ((x[:, None].astype(np.float64) - y[None]) ** 2).sum(axis=-1)


def radii_by_sorting(x, k):
    squared = distances(x, x)
    np.fill_diagonal(squared, np.inf)
    return np.sort(squared, axis=1)[:, k - 1]


def by_brute_force(real, fake, k):
    between = distances(real, fake)
    precision = (between <= radii_by_sorting(real, k)[:, None]).any(axis=0).mean()
    recall = (between <= radii_by_sorting(fake, k)[None]).any(axis=1).mean()
    return precision, recall


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize(("n", "m", "block"), [(97, 61, 4096), (97, 61, 20), (30, 203, 8)])
def test_against_brute_force(n, m, k, block):
    """Sizes and blocks that do not divide one another, nor the eight devices."""
    real, fake = blob(0, n), 0.7 * blob(1, m, 0.4)
    expected = by_brute_force(real, fake, k)
    assert 0.05 < expected[1] < expected[0] < 1
    assert precision_recall(real, fake, k, block=block) == expected


@pytest.mark.parametrize("block", [4096, 16])
def test_radii(block):
    x = blob(2, 75, center=3.0)
    x[40:44] = x[3]  # copies
    mesh = make_mesh()
    size = module._tile_size(75, block, mesh.size)
    found = module.squared_radii(x, jax.numpy.asarray(x.mean(axis=0)), 3, mesh, size)
    np.testing.assert_allclose(found, radii_by_sorting(x, 3), rtol=1e-4)
    assert (found[[3, 40, 41, 42, 43]] == 0).all() and (np.delete(found, [3, *range(40, 44)])).all()


def test_copies_have_no_distance():
    """However float32 products round: many points of many dimensions, five of each."""
    x = np.repeat(np.abs(blob(17, 40, size=2048)), 5, axis=0)
    mesh = make_mesh()
    center = jax.numpy.asarray(x.mean(axis=0))
    assert (module.squared_radii(x, center, 3, mesh, 104) == 0).all()
    assert (module.squared_radii(x, center, 5, mesh, 104) > 1000).all()


@pytest.mark.slow
def test_one_device_and_eight_agree():
    real, fake = blob(3, 90), blob(4, 77, 0.5)
    one = precision_recall(real, fake, mesh=make_mesh(jax.devices()[:1]), block=32)
    for mesh in (make_mesh(), make_mesh(jax.devices()[:3])):
        assert precision_recall(real, fake, mesh=mesh, block=32) == one
    assert one == by_brute_force(real, fake, 3)


def test_identical_and_distant_sets():
    x = blob(5, 50)
    assert precision_recall(x, x) == (1, 1)
    assert precision_recall(x, x[::-1].copy(), block=16) == (1, 1)
    assert precision_recall(x, x + 100) == (0, 0)


def test_half_overlap():
    """Two clusters each, one in common."""
    common = blob(6, 40)
    real = np.concatenate([common, blob(7, 40, 200.0)])
    fake = np.concatenate([common, blob(8, 40, -200.0)])
    assert precision_recall(real, fake) == (0.5, 0.5)


def test_dropped_and_invented_modes():
    """Half the modes dropped: all fakes look real, half the data is covered. And the converse."""
    both = np.concatenate([blob(9, 40), blob(10, 40, 200.0)])
    assert precision_recall(both, both[:40]) == (1, 0.5)
    assert precision_recall(both[:40], both) == (0.5, 1)


def test_one_image_over_and_over():
    """Balls around more than k copies have radius 0 and hold only the copies."""
    real = blob(11, 64, center=5.0, size=300)
    copies = np.repeat(real[:1], 20, axis=0)
    for block in (4096, 16):
        assert precision_recall(real, copies, block=block) == (1, 1 / 64)
        assert precision_recall(copies, real, block=block) == (1 / 64, 1)
        assert precision_recall(copies, copies, block=block) == (1, 1)
    assert precision_recall(copies, copies + np.float32(1)) == (0, 0)


def test_a_sample_is_not_its_own_neighbor_but_a_copy_is():
    """On a line, k = 1: by hand."""
    real = np.array([[0], [1], [10]], np.float32)  # radii 1, 1, 9
    fake = np.array([[-0.9], [1.9], [2.1], [18.9], [19.1]], np.float32)
    assert precision_recall(real, fake, k=1).precision == 4 / 5  # 2.1 is within 9 of 10
    real = np.array([[0], [1], [10], [10]], np.float32)  # radii 1, 1, 0, 0
    assert precision_recall(real, fake, k=1).precision == 2 / 5
    # Were a point its own neighbor, all radii would be 0.
    assert precision_recall(real, real + np.float32(0.5), k=1).precision == 2 / 4


def test_sets_far_from_zero_lose_no_digits():
    """Norms of 5e9 would drown distances of about 10 in float32."""
    # Multiples of 1/256, which float32 holds exactly here and there.
    real, fake = (np.round(x * 256) / 256 for x in (blob(12, 60), blob(13, 60, 0.3)))
    moved = [x + np.float32(2**15) for x in (real, fake)]
    assert np.array_equal(moved[0] - np.float32(2**15), real)
    assert precision_recall(*moved) == by_brute_force(real, fake, 3)


def test_tiles_share_one_compilation():
    module._nearest.clear_cache()
    module._within.clear_cache()
    precision_recall(blob(14, 101), blob(15, 43), block=24)
    assert module._nearest._cache_size() == module._within._cache_size() == 1


@pytest.mark.parametrize(
    ("count", "block", "devices"), [(1, 4096, 8), (100, 7, 8), (4096, 4096, 1), (50_000, 4096, 3)]
)
def test_tile_sizes(count, block, devices):
    size = module._tile_size(count, block, devices)
    assert size % devices == 0 and size < block + devices
    assert -(-count // size) <= -(-count // block)  # no more tiles than needed


def test_mistakes_are_one_line():
    x = blob(16, 10)
    with pytest.raises(UserError, match="the fake set has 3 samples; at least 4 are needed"):
        precision_recall(x, x[:3])
    with pytest.raises(UserError, match="the real set 5, the fake set 4"):
        precision_recall(x, x[:, :4])
    with pytest.raises(UserError, match="k is 0"):
        precision_recall(x, x, k=0)
    with pytest.raises(UserError, match="the real set has 10 rows with NaN"):
        precision_recall(x * np.float32(np.nan), x)


@pytest.mark.parametrize(("k", "expected"), [(3, (1263, 414)), (5, (1331, 537))])
def test_another_program(k, expected):
    """Counts of points by `compute_prdc` of prdc 0.2 on the same features."""
    rng = np.random.default_rng(0)
    real = rng.normal(size=(1500, 64)).astype(np.float32)
    fake = (rng.normal(size=(1400, 64)) * 0.9 + 0.05).astype(np.float32)
    found = precision_recall(real, fake, k)
    assert (found.precision * 1400, found.recall * 1500) == pytest.approx(expected, abs=1e-9)
