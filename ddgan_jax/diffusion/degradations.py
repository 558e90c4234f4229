"""Deterministic degradations: `reduce_info(x, t)` of DDDG (Cho 2023), t in {0..t_max}.

The information grows with t: x_0 is one fixed image, x_{t_max} is the image itself. In between
every degradation here is linear and separable, x_t = R_t x C_t', so a table of small matrices and
two products say all: one pure function for any t, traced or not, of the batch or of each sample.

Pooling and the DCT low-pass are nested projections: reduce_info(reduce_info(x, t + 1), t) =
reduce_info(x, t), and a generator normalised by equations 1-3 keeps what it was given exactly.
Blur is not: blurring twice blurs more, and equation 2 holds approximately.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ddgan_jax.core.errors import UserError, nearest
from ddgan_jax.core.types import Array

Shape = tuple[int, ...]
Reduce = Callable[[Array, Array | int], Array]


class Degradation(NamedTuple):
    """How images lose information.

    Attributes:
      t_max: number of steps from x_0 to the image.
      reduce_info: (x float [..., H, W, C], t integer, scalar or [...]) -> x_t like x. At t_max it
        is x bit for bit; at 0 it is x_0, whatever x is.
      projection: reduce_info(reduce_info(x, t + 1), t) = reduce_info(x, t).
    """

    t_max: int
    reduce_info: Reduce
    projection: bool


def blur_matrix(size: int, sigma: float) -> np.ndarray:
    """Gaussian blur of one axis, float64 [size, size]; rows and columns sum to 1.

    The image goes on beyond its border as its own mirror image (the border pixel comes twice:
    b a | a b), so a constant image, and the mean of any image, stay what they are.
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
    """Mean over windows of one axis, repeated back, float64 [size, size]; `window` divides."""
    return np.kron(np.eye(size // window), np.full((window, window), 1 / window))


def dct_matrix(size: int, cutoff: int) -> np.ndarray:
    """The lowest `cutoff` frequencies of the DCT-II of one axis, back in pixels, [size, size]."""
    k, i = np.arange(cutoff)[:, None], np.arange(size)[None, :]
    basis = np.sqrt(2 / size) * np.cos(np.pi * k * (2 * i + 1) / (2 * size))
    basis[0] /= np.sqrt(2)
    return basis.T @ basis


def _check_blur(levels: Sequence[float], size: int) -> str | None:
    del size
    positive = all(0 < level < math.inf for level in levels)
    falling = all(a > b for a, b in pairwise(levels))
    return None if positive and falling else "positive standard deviations that fall"


def _check_pool(levels: Sequence[float], size: int) -> str | None:
    ok = all(level >= 2 and size % level == 0 for level in levels)
    ok = ok and all(a > b and a % b == 0 for a, b in pairwise(levels))
    return None if ok else f"windows above 1, each a divisor of the one before and of {size}"


def _check_dct(levels: Sequence[float], size: int) -> str | None:
    ok = all(level == int(level) and 1 <= level < size for level in levels)
    ok = ok and all(a < b for a, b in pairwise(levels))
    return None if ok else f"whole numbers of frequencies that rise, from 1 to {size - 1},"


class _Kind(NamedTuple):
    matrix: Callable[[int, float], np.ndarray]
    check: Callable[[Sequence[float], int], str | None]
    projection: bool


KINDS = {
    "blur": _Kind(blur_matrix, _check_blur, projection=False),
    "pool": _Kind(lambda n, level: pool_matrix(n, int(level)), _check_pool, projection=True),
    "dct": _Kind(lambda n, level: dct_matrix(n, int(level)), _check_dct, projection=True),
}


def degradation(kind: str, levels: Sequence[float], shape: Shape) -> Degradation:
    """The degradation of images `shape` = (H, W, C) with t_max = len(levels) + 1.

    Args:
      kind: "blur" (levels: standard deviations in pixels), "pool" (side of the windows) or "dct"
        (frequencies kept along each axis).
      levels: of t = 1..t_max - 1, information growing. x_0 is mid-grey, 0 everywhere; x_{t_max} is
        the image.
      shape: of one image.

    Raises:
      UserError: no such kind, no images, levels that do not fit.
    """
    if kind not in KINDS:
        raise UserError(
            f"config.degradation.kind is {kind!r}; one of {', '.join(KINDS)} is needed"
            + nearest(kind, KINDS)
        )
    if len(shape) != 3:
        raise UserError(f"config.degradation.kind is {kind!r}, which needs images; data is {shape}")
    matrix, check, projection = KINDS[kind]
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
        # Full precision wherever it runs: what a projection keeps is kept to rounding.
        exact = jax.lax.Precision.HIGHEST
        y = jnp.einsum("...hi,...iwc->...hwc", r, x, precision=exact)
        y = jnp.einsum("...wj,...hjc->...hwc", c, y, precision=exact)
        t = t[..., None, None, None]
        # Selected, not computed: bit for bit x at t_max, and 0 at 0 even where x is infinite.
        return jnp.where(t == t_max, x, jnp.where(t == 0, jnp.zeros_like(y), y))

    return Degradation(t_max, reduce_info, projection)


def normalize_output(
    reduce_info: Reduce, raw: Array, x_t: Array, t: Array | int
) -> tuple[Array, Array]:
    """Make the generator's output agree with its input (Cho 2023, equations 2 and 3).

    norm = raw - reduce_info(raw, t) + x_t;  x_{t+1} = reduce_info(norm, t + 1).

    Args:
      reduce_info: of a `Degradation`.
      raw: the network's output, float [..., H, W, C].
      x_t: its input, of the same shape.
      t: in {0..t_max - 1}, scalar or [...].

    Returns:
      (x_{t+1}, norm). For projections reduce_info(x_{t+1}, t) = x_t.
    """
    norm = raw - reduce_info(raw, t) + x_t
    return reduce_info(norm, t + 1), norm
