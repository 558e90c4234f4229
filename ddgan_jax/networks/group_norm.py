"""Group norm with scale, shift and SiLU in two passes over the data, and a gradient in two more.

All four passes read and write the features in their own dtype; sums and the arithmetic of each
element are float32 and never stored. With mu and r = 1 / sqrt(var + eps) of a group,

  y = f(u),  u = scale r (x + offset - mu) + shift,  f = identity or SiLU

so u = a x + b with a and b of each sample and channel. Forward, the first pass sums x and x^2 of
each sample and channel, the second computes f(a x + b). Backward, with du = dy f'(a x + b),
recomputed from x, the third pass sums du and du (x - mean of the channel), the fourth computes

  dx = a du - r (m1 + r m2 (x + offset - mu)),
  m1 = mean of scale du, m2 = mean of scale du r (x + offset - mu) over the group.
"""

from functools import partial

import jax
import jax.numpy as jnp

from ddgan_jax.core.types import Array

EPSILON = 1e-6


def group_norm(
    x: Array,
    groups: int,
    *,
    scale: Array | None = None,
    shift: Array | None = None,
    offset: Array | None = None,
    silu: bool = False,
) -> Array:
    """silu(scale * normalize(x + offset) + shift), see the module docstring.

    Args:
      x: [B, ..., C].
      groups: number of groups, a divisor of C; each has C / groups neighboring channels.
      scale, shift: [C] or [B, C]; None: 1 and 0.
      offset: [B, C], added to x before normalization; None: 0.
      silu: whether SiLU is applied.

    Returns:
      [B, ..., C] in x's dtype. Statistics and arithmetic are float32.
    """
    rows = (x.shape[0], groups, x.shape[-1] // groups)

    def per_channel(value: Array | None, default: float) -> Array:
        filled = jnp.full((), default) if value is None else value.astype(jnp.float32)
        return jnp.broadcast_to(filled, (rows[0], x.shape[-1])).reshape(rows)

    result: Array = _group_norm(
        x,
        per_channel(offset, 0.0),
        per_channel(scale, 1.0),
        per_channel(shift, 0.0),
        silu,
    )
    return result


# Values of each sample and channel are float32 [B, groups, C / groups] from here on.


def _over(rows: Array, x: Array) -> Array:
    """Values of each sample and channel as [B, 1, ..., 1, C], to be broadcast over x."""
    return rows.reshape((x.shape[0],) + (1,) * (x.ndim - 2) + (x.shape[-1],))


def _mean(values: Array, like: Array) -> Array:
    """Mean of [B, ..., C] over all positions, in the shape of `like`."""
    return values.mean(tuple(range(1, values.ndim - 1))).reshape(like.shape)


def _group_mean(rows: Array) -> Array:
    """Mean over the channels of each group, [B, groups, 1]."""
    return rows.mean(axis=-1, keepdims=True)


def _moments(x: Array, offset: Array) -> tuple[Array, Array, Array]:
    """Of x + offset: mean of each channel, mean of each group, r of each group.

    The variance is the mean of squares minus the square of the mean. In float32 this is wrong if
    the mean is far larger than the deviation, so float32 values are first shifted by the first
    value of the group. bfloat16 cannot resolve the deviation of values with so large a mean. The
    offset is not shifted, and must not be 1,000 times the deviation.
    """
    values, first = x.astype(jnp.float32), jnp.zeros_like(offset)
    if x.dtype == jnp.float32:
        corner = x[(slice(None), *(0 for _ in x.shape[1:-1]), slice(None))]
        first = jnp.broadcast_to(corner.reshape(offset.shape)[:, :, :1], offset.shape)
        values = values - _over(first, x)
    mean, square = _mean(values, offset), _mean(jnp.square(values), offset)
    square = square + offset * (2 * mean + offset)
    mean = mean + offset
    center = _group_mean(mean)
    variance = jnp.maximum(_group_mean(square) - jnp.square(center), 0.0)
    return mean + first, center + first[:, :, :1], jax.lax.rsqrt(variance + EPSILON)


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def _group_norm(x: Array, offset: Array, scale: Array, shift: Array, silu: bool) -> Array:
    return _forward(x, offset, scale, shift, silu)[0]


def _forward(
    x: Array, offset: Array, scale: Array, shift: Array, silu: bool
) -> tuple[Array, tuple[Array, ...]]:
    mean, center, r = _moments(x, offset)
    a = scale * r
    b = shift + a * (offset - center)
    u = _over(a, x) * x.astype(jnp.float32) + _over(b, x)
    y = jax.nn.silu(u) if silu else u
    return y.astype(x.dtype), (x, offset, scale, shift, mean, center, r)


def _backward(silu: bool, kept: tuple[Array, ...], dy: Array) -> tuple[Array, Array, Array, Array]:
    x, offset, scale, shift, mean, center, r = kept
    count = x.size // mean.size
    a = scale * r
    b = shift + a * (offset - center)

    def before_silu(x: Array, dy: Array) -> tuple[Array, Array]:
        """x and the gradient of u, float32."""
        values, du = x.astype(jnp.float32), dy.astype(jnp.float32)
        if silu:
            u = _over(a, x) * values + _over(b, x)
            s = jax.nn.sigmoid(u)
            du = du * (s * (1 + u * (1 - s)))
        return values, du

    values, du = before_silu(x, dy)
    mean_du = _mean(du, mean)
    # of du times the normalized x, without scale
    mean_product = r * (_mean(du * (values - _over(mean - offset, x)), mean))
    mean_product = mean_product + r * (mean - center) * mean_du
    m1, m2 = _group_mean(scale * mean_du), _group_mean(scale * mean_product)
    # du is computed again rather than kept in float32 between the two passes.
    x, dy = jax.lax.optimization_barrier((x, dy))
    values, du = before_silu(x, dy)
    slope, constant = r * r * m2, r * (m1 + r * m2 * (offset - center))
    slope = jnp.broadcast_to(slope, a.shape)
    dx = _over(a, x) * du - _over(slope, x) * values - _over(constant, x)
    d_offset = a * mean_du - r * m1 - slope * (mean - center)
    return dx.astype(x.dtype), count * d_offset, count * mean_product, count * mean_du


_group_norm.defvjp(_forward, _backward)
