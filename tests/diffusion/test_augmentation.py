"""Differentiable augmentation: what it draws, what it changes, and what its gradient is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddgan_jax.diffusion import augmentation
from ddgan_jax.diffusion.augmentation import Augmentation

augment = jax.jit(augmentation.augment, static_argnums=0)
KEY = jax.random.key(3)
ALL = Augmentation(color=1.0, translation=0.125, cutout=0.5)


def images(count=4, height=8, width=8, channels=3):
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.uniform(-1, 1, (count, height, width, channels)), jnp.float32)


def test_nothing_is_the_same_object():
    x = images()
    assert augmentation.augment(Augmentation(), KEY, x)[0] is x


def test_translation_draws_every_shift_equally_often():
    """An image of one bright pixel tells the shift; 0 comes in at the borders."""
    count, height, width = 6000, 8, 16
    x = jnp.zeros((count, height, width, 1)).at[:, 3, 7].set(1.0)
    (moved,) = augment(Augmentation(translation=0.25), KEY, x)
    place = np.argmax(np.asarray(moved).reshape(count, -1), axis=1)
    dy, dx = place // width - 3, place % width - 7
    for shift, most in ((dy, 2), (dx, 4)):
        values, counts = np.unique(shift, return_counts=True)
        assert values.tolist() == list(range(-most, most + 1))
        expected = count / len(values)
        assert np.sum((counts - expected) ** 2 / expected) < 3 * len(values)  # chi squared
    assert abs(np.corrcoef(dy, dx)[0, 1]) < 0.05
    assert np.asarray(moved).sum() == count  # none was lost or doubled


@pytest.mark.parametrize("share", [0.125, 0.3, 0.5])
def test_translation_is_a_shift_with_zeros(share):
    x = images(64, 10, 7)
    (moved,) = augment(Augmentation(translation=share), KEY, x)
    most = (int(10 * share + 0.5), int(7 * share + 0.5))
    for before, after in zip(np.asarray(x), np.asarray(moved), strict=True):
        padded = np.pad(before, [(m, m) for m in most] + [(0, 0)])
        found = [
            (i, j)
            for i in range(2 * most[0] + 1)
            for j in range(2 * most[1] + 1)
            if np.array_equal(padded[i : i + 10, j : j + 7], after)
        ]
        assert len(found) == 1


def test_cutout_is_a_square_anywhere():
    count = 4000
    (cut,) = augment(Augmentation(cutout=0.5), KEY, jnp.ones((count, 8, 8, 3)))
    hole = np.asarray(cut) == 0
    assert set(np.unique(cut)) == {0, 1} and (hole == hole[..., :1]).all()
    hole = hole[..., 0]
    rows, columns = hole.any(axis=2), hole.any(axis=1)
    np.testing.assert_array_equal(hole, rows[:, :, None] & columns[:, None, :])
    for side in (rows, columns):
        # Side 4, with a center in 0..8: between 2 and 4 pixels of it are in the image.
        assert set(side.sum(axis=1)) == {2, 3, 4}
        share = side.mean(axis=0)  # of the nine centers, those whose square has the pixel
        np.testing.assert_allclose(share, np.array([3, 4, 4, 4, 4, 4, 4, 3]) / 9, atol=0.04)


def test_color_draws():
    """Brightness, saturation and contrast can be read off an image of two colors."""
    count = 8000
    x = np.zeros((count, 2, 1, 3), np.float32)
    x[:, 0], x[:, 1] = [0.3, 0.0, -0.3], [-0.2, -0.2, -0.2]
    (after,) = augment(Augmentation(color=1.0), KEY, jnp.asarray(x))
    after = np.asarray(after, np.float64)
    mean = after.mean(axis=(1, 2, 3))
    gray = after.mean(axis=3)[..., 0]
    b = mean + 0.1  # the mean of x is -0.1
    k = (gray[:, 0] - gray[:, 1]) / 0.2
    s = (after[:, 0, 0, 0] - after[:, 0, 0, 2]) / 0.6 / k
    for drawn, low, high in ((b, -0.5, 0.5), (s, 0, 2), (k, 0.5, 1.5)):
        assert drawn.min() >= low - 1e-5 and drawn.max() <= high + 1e-5
        np.testing.assert_allclose(drawn.mean(), (low + high) / 2, atol=0.03)
        np.testing.assert_allclose(drawn.std(), (high - low) / 12**0.5, rtol=0.03)
    assert np.abs(np.corrcoef([b, s, k]) - np.eye(3)).max() < 0.05
    (half,) = augment(Augmentation(color=0.5), KEY, jnp.asarray(x))
    np.testing.assert_allclose(np.asarray(half).mean(axis=(1, 2, 3)) + 0.1, b / 2, atol=1e-5)


def test_gray_images_keep_their_channel():
    (after,) = augment(ALL, KEY, images(channels=1))
    assert after.shape == (4, 8, 8, 1)


def test_both_members_of_a_pair_are_changed_alike():
    x = images(64)
    first, second = augment(ALL, KEY, x, x)
    np.testing.assert_array_equal(first, second)
    alone, _ = augment(ALL, KEY, x, 2 * x)
    np.testing.assert_array_equal(first, alone)


def test_draws_depend_on_key_and_row():
    x = jnp.broadcast_to(images(1), (64, 8, 8, 3))
    (one,), (other,) = augment(ALL, KEY, x), augment(ALL, jax.random.fold_in(KEY, 1), x)
    assert len(np.unique(np.asarray(one), axis=0)) > 60
    assert not np.isclose(one, other).all(axis=(1, 2, 3)).any()


@pytest.mark.parametrize("how", [ALL, *(Augmentation(**{k: v}) for k, v in ALL._asdict().items())])
def test_gradient_flows(how):
    """All changes are affine in the image, so the gradient is exact at any distance."""
    x, direction = images(8), images(8)[::-1]
    weights = jnp.sin(jnp.arange(x.size, dtype=jnp.float32)).reshape(x.shape)

    def total(x):
        return jnp.sum(weights * augment(how, KEY, x)[0])

    slope = jnp.sum(jax.grad(total)(x) * direction)
    np.testing.assert_allclose(slope, total(x + direction) - total(x), rtol=1e-3)
    assert abs(float(slope)) > 0.1


def test_jitted_and_on_several_devices():
    x = images(16)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    (eager,) = augmentation.augment(ALL, KEY, x)
    (spread,) = jax.jit(lambda x: augment(ALL, KEY, x), in_shardings=split)(x)
    np.testing.assert_allclose(eager, spread, atol=1e-6)
