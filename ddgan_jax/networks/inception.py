"""Inception-v3 as used by the Fréchet inception distance (FID): the graph of 2015-12-05, frozen.

Layers and their names are those of torchvision's Inception-v3, with the two differences of the
FID's graph: average pools exclude the padding, and the last block has a max pool. Batch norms are
folded into the convolutions. Convolutions have the highest precision, so that features computed on
different devices are comparable.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from ddgan_jax.core.types import Array

FEATURES = 2048


def _conv(
    x: Array, name: str, width: int, kernel: tuple[int, int], stride: int = 1, padding: str = "SAME"
) -> Array:
    # XLA's convolutions on CPUs are up to three times as fast with padding as without, so a margin
    # of one pixel is computed and dropped.
    crop = padding == "VALID" and stride == 1
    layer = nn.Conv(
        width,
        kernel,
        strides=stride,
        padding="SAME" if crop else padding,
        precision=jax.lax.Precision.HIGHEST,
        name=name,
    )
    x = layer(x)
    return nn.relu(x[:, 1:-1, 1:-1] if crop else x)


def _chain(x: Array, *layers: tuple[str, int, tuple[int, int]]) -> Array:
    for name, width, kernel in layers:
        x = _conv(x, name, width, kernel)
    return x


def _average(x: Array) -> Array:
    pooled: Array = nn.avg_pool(x, (3, 3), padding="SAME", count_include_pad=False)
    return pooled


def _shrink(x: Array) -> Array:
    pooled: Array = nn.max_pool(x, (3, 3), strides=(2, 2))
    return pooled


class _Block35(nn.Module):
    """Block at 35x35 (Mixed_5b, 5c, 5d)."""

    pool_width: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        one = _chain(x, ("branch1x1", 64, (1, 1)))
        five = _chain(x, ("branch5x5_1", 48, (1, 1)), ("branch5x5_2", 64, (5, 5)))
        three = _chain(
            x,
            ("branch3x3dbl_1", 64, (1, 1)),
            ("branch3x3dbl_2", 96, (3, 3)),
            ("branch3x3dbl_3", 96, (3, 3)),
        )
        pool = _chain(_average(x), ("branch_pool", self.pool_width, (1, 1)))
        return jnp.concatenate([one, five, three, pool], axis=-1)


class _Shrink17(nn.Module):
    """Reduction from 35x35 to 17x17 (Mixed_6a)."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        three = _conv(x, "branch3x3", 384, (3, 3), 2, "VALID")
        double = _chain(x, ("branch3x3dbl_1", 64, (1, 1)), ("branch3x3dbl_2", 96, (3, 3)))
        double = _conv(double, "branch3x3dbl_3", 96, (3, 3), 2, "VALID")
        return jnp.concatenate([three, double, _shrink(x)], axis=-1)


class _Block17(nn.Module):
    """Block at 17x17 (Mixed_6b..6e)."""

    width: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        width = self.width
        one = _chain(x, ("branch1x1", 192, (1, 1)))
        seven = _chain(
            x,
            ("branch7x7_1", width, (1, 1)),
            ("branch7x7_2", width, (1, 7)),
            ("branch7x7_3", 192, (7, 1)),
        )
        double = _chain(
            x,
            ("branch7x7dbl_1", width, (1, 1)),
            ("branch7x7dbl_2", width, (7, 1)),
            ("branch7x7dbl_3", width, (1, 7)),
            ("branch7x7dbl_4", width, (7, 1)),
            ("branch7x7dbl_5", 192, (1, 7)),
        )
        pool = _chain(_average(x), ("branch_pool", 192, (1, 1)))
        return jnp.concatenate([one, seven, double, pool], axis=-1)


class _Shrink8(nn.Module):
    """Reduction from 17x17 to 8x8 (Mixed_7a)."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        three = _chain(x, ("branch3x3_1", 192, (1, 1)))
        three = _conv(three, "branch3x3_2", 320, (3, 3), 2, "VALID")
        seven = _chain(
            x,
            ("branch7x7x3_1", 192, (1, 1)),
            ("branch7x7x3_2", 192, (1, 7)),
            ("branch7x7x3_3", 192, (7, 1)),
        )
        seven = _conv(seven, "branch7x7x3_4", 192, (3, 3), 2, "VALID")
        return jnp.concatenate([three, seven, _shrink(x)], axis=-1)


class _Block8(nn.Module):
    """Block at 8x8 (Mixed_7b, and Mixed_7c with `max_pool`)."""

    max_pool: bool

    @nn.compact
    def __call__(self, x: Array) -> Array:
        def fork(h: Array, name: str) -> list[Array]:
            return [_conv(h, f"{name}a", 384, (1, 3)), _conv(h, f"{name}b", 384, (3, 1))]

        one = _chain(x, ("branch1x1", 320, (1, 1)))
        three = fork(_chain(x, ("branch3x3_1", 384, (1, 1))), "branch3x3_2")
        double = fork(
            _chain(x, ("branch3x3dbl_1", 448, (1, 1)), ("branch3x3dbl_2", 384, (3, 3))),
            "branch3x3dbl_3",
        )
        pooled = nn.max_pool(x, (3, 3), padding="SAME") if self.max_pool else _average(x)
        pool = _chain(pooled, ("branch_pool", 192, (1, 1)))
        return jnp.concatenate([one, *three, *double, pool], axis=-1)


class Inception(nn.Module):
    """Inception-v3 up to its global average pool."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Pool features [B, 2048] of images float32 [B, 299, 299, 3] in [-1, 1].

        Other sizes from 75x75 work; published distances are computed at 299x299.
        """
        x = _conv(x, "Conv2d_1a_3x3", 32, (3, 3), 2, "VALID")
        x = _conv(x, "Conv2d_2a_3x3", 32, (3, 3), padding="VALID")
        x = _conv(x, "Conv2d_2b_3x3", 64, (3, 3))
        x = _conv(_shrink(x), "Conv2d_3b_1x1", 80, (1, 1))
        x = _conv(x, "Conv2d_4a_3x3", 192, (3, 3), padding="VALID")
        x = _shrink(x)
        for letter, pool_width in (("b", 32), ("c", 64), ("d", 64)):
            x = _Block35(pool_width, name=f"Mixed_5{letter}")(x)
        x = _Shrink17(name="Mixed_6a")(x)
        for letter, width in (("b", 128), ("c", 160), ("d", 160), ("e", 192)):
            x = _Block17(width, name=f"Mixed_6{letter}")(x)
        x = _Shrink8(name="Mixed_7a")(x)
        x = _Block8(max_pool=False, name="Mixed_7b")(x)
        x = _Block8(max_pool=True, name="Mixed_7c")(x)
        return x.mean(axis=(1, 2))
