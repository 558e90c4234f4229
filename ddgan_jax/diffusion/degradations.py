"""Deterministic degradations: `reduce_info(x, t)` of DDDG (Cho 2023), t in {0..t_max}.

Information grows with t: x_{t_max} is the image, x_0 is mid-gray (0 everywhere) for every image.
In between, each degradation is linear and separable, x_t = R_t x C_t^T, computed with a table of
small matrices. One pure function serves every t, static or traced, for the whole batch or per
sample.

Pooling and the DCT low-pass are nested projections,

  reduce_info(reduce_info(x, t + 1), t) = reduce_info(x, t),

so `normalize_output` reproduces the generator's input exactly. Blur is not a projection: blurring
twice blurs more, and equation 2 holds approximately.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ddgan_jax.core.errors import UserError, nearest
from ddgan_jax.core.types import Array, Shape

ReduceInfo = Callable[[Array, Array | int], Array]


class Degradation(NamedTuple):
    """A family of degradations, ordered by information.

    Attributes:
      t_max: number of steps from x_0 to the image.
      reduce_info: (x float [..., H, W, C], t integer, scalar or [...]) -> x_t, of x's shape. The
        result is x bit for bit at t_max, and 0 at t = 0.
    """

    t_max: int
    reduce_info: ReduceInfo


def blur_matrix(size: int, sigma: float) -> np.ndarray:
    """Gaussian blur along one axis, float64 [size, size].

    The image is extended by reflection about its border (b a | a b), so that rows and columns sum
    to 1: constant images and the mean of any image are unchanged.
    """
    reach = math.ceil(8 * sigma)
    offsets = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    kernel /= kernel.sum()
    matrix = np.zeros((size, size))
    for i in range(size):
        folded = (i + offsets) % (2 * size)
        np.add.at(matrix[i], np.minimum(folded, 2 * size - 1 - folded), kernel)
    return matrix


def pool_matrix(size: int, window: int) -> np.ndarray:
    """Mean over windows along one axis, upsampled again, float64 [size, size].

    `window` divides `size`.
    """
    return np.kron(np.eye(size // window), np.full((window, window), 1 / window))


def dct_matrix(size: int, cutoff: int) -> np.ndarray:
    """Projection onto the `cutoff` lowest DCT-II frequencies of one axis, float64 [size, size]."""
    k, i = np.arange(cutoff)[:, None], np.arange(size)[None, :]
    basis = np.sqrt(2 / size) * np.cos(np.pi * k * (2 * i + 1) / (2 * size))
    basis[0] /= np.sqrt(2)
    projection: np.ndarray = basis.T @ basis
    return projection


def _check_blur(levels: Sequence[float], size: int) -> str | None:
    del size
    positive = all(0 < level < math.inf for level in levels)
    decreasing = all(a > b for a, b in pairwise(levels))
    return None if positive and decreasing else "decreasing positive standard deviations"


def _check_pool(levels: Sequence[float], size: int) -> str | None:
    ok = all(level >= 2 and size % level == 0 for level in levels)
    ok = ok and all(a > b and a % b == 0 for a, b in pairwise(levels))
    return None if ok else f"window sizes above 1, each a divisor of the one before and of {size},"


def _check_dct(levels: Sequence[float], size: int) -> str | None:
    ok = all(level == int(level) and 1 <= level < size for level in levels)
    ok = ok and all(a < b for a, b in pairwise(levels))
    return None if ok else f"increasing integers from 1 to {size - 1} (numbers of frequencies)"


class _Kind(NamedTuple):
    """A kind of degradation.

    Attributes:
      matrix: (size, level) -> [size, size], the degradation of one axis.
      check: (levels, size) -> the levels that are needed, in words, or None if these are.
    """

    matrix: Callable[[int, float], np.ndarray]
    check: Callable[[Sequence[float], int], str | None]


KINDS = {
    "blur": _Kind(blur_matrix, _check_blur),
    "pool": _Kind(lambda size, level: pool_matrix(size, int(level)), _check_pool),
    "dct": _Kind(lambda size, level: dct_matrix(size, int(level)), _check_dct),
}


def degradation(kind: str, levels: Sequence[float], shape: Shape) -> Degradation:
    """Build the degradation of a config, with t_max = len(levels) + 1.

    Args:
      kind: "blur" (levels: standard deviations in pixels), "pool" (levels: sides of the windows) or
        "dct" (levels: frequencies kept along each axis).
      levels: one level for each t = 1..t_max - 1, in the order of growing information.
      shape: (H, W, C) of one image.

    Raises:
      UserError: an unknown kind, data that are no images, or levels that the kind does not allow.
    """
    if kind not in KINDS:
        raise UserError(
            f"config.degradation.kind is {kind!r}; one of {', '.join(KINDS)} is needed"
            + nearest(kind, KINDS)
        )
    if len(shape) != 3:
        raise UserError(
            f"config.degradation.kind is {kind!r}; images are needed, the data have shape {shape}"
        )
    matrix, check = KINDS[kind]
    for size in shape[:2]:
        needed = check(levels, size)
        if needed:
            raise UserError(
                f"config.degradation.levels is {tuple(levels)}; with kind {kind!r}, {needed} "
                "are needed"
            )

    t_max = len(levels) + 1

    def table(size: int) -> np.ndarray:
        middle = [matrix(size, level) for level in levels]
        return np.stack([np.zeros((size, size)), *middle, np.eye(size)])

    rows, columns = table(shape[0]), table(shape[1])

    def reduce_info(x: Array, t: Array | int) -> Array:
        t = jnp.asarray(t)
        r, c = (jnp.asarray(m, x.dtype)[t] for m in (rows, columns))
        # Full precision on every device, so that projections are exact up to rounding.
        exact = jax.lax.Precision.HIGHEST
        y = jnp.einsum("...hi,...iwc->...hwc", r, x, precision=exact)
        y = jnp.einsum("...wj,...hjc->...hwc", c, y, precision=exact)
        t = t[..., None, None, None]
        # Selected rather than computed: x bit for bit at t_max, and 0 at 0 even for infinite x.
        return jnp.where(t == t_max, x, jnp.where(t == 0, jnp.zeros_like(y), y))

    return Degradation(t_max, reduce_info)


def normalize_output(
    reduce_info: ReduceInfo, raw: Array, x_t: Array, t: Array | int
) -> tuple[Array, Array]:
    """Make the generator's output agree with its input (Cho 2023, equations 2 and 3).

      norm = raw - reduce_info(raw, t) + x_t,   x_{t+1} = reduce_info(norm, t + 1)

    Args:
      reduce_info: `Degradation.reduce_info`.
      raw: the network's output, float [..., H, W, C].
      x_t: the network's input, of the same shape.
      t: times in {0..t_max - 1}, int32 scalar or [...].

    Returns:
      (x_{t+1}, norm). For nested projections, reduce_info(x_{t+1}, t) = x_t.
    """
    norm = raw - reduce_info(raw, t) + x_t
    return reduce_info(norm, t + 1), norm
