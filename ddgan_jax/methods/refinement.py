"""Refinement of latents: gradient descent on the error of the reconstruction."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from ddgan_jax.core.images import to_float
from ddgan_jax.core.types import Array, Params, PyTree

Refine = Callable[[Params, Array, Array, Array, int, float], Array]


def make_refine(decode: Callable[[Params, Array, Array], Array]) -> Refine:
    """`Inversion.refine` of a method, by Adam on the squared error of `decode`.

    Args:
      decode: (params, latents [B, ...], labels int32 [B]) -> images float32 [B, *data].

    Returns:
      (params, images uint8 or float32 [B, *data], labels, initial latents, steps, learning_rate) ->
      the best latents seen for each image, at least as good as the initial ones. An image's result
      does not depend on the rest of the batch; 0 steps return the initial latents.
    """
    adam = optax.scale_by_adam()

    def errors(params: Params, images: Array, labels: Array, latents: Array) -> Array:
        """Mean squared error of each reconstruction, [B]."""
        difference = decode(params, latents, labels) - images
        return jnp.mean(jnp.square(difference), axis=tuple(range(1, images.ndim)))

    def better(latents: Array, error: Array, best: Array, best_error: Array) -> Array:
        improved = (error < best_error).reshape((-1,) + (1,) * (latents.ndim - 1))
        return jnp.where(improved, latents, best)

    @jax.jit
    def last(params: Params, images: Array, labels: Array, state: PyTree) -> Array:
        latents, _, best, best_error = state
        return better(latents, errors(params, images, labels, latents), best, best_error)

    @jax.jit
    def step(params: Params, images: Array, labels: Array, rate: Array, state: PyTree) -> PyTree:
        latents, moments, best, best_error = state

        def total(z: Array) -> tuple[Array, Array]:
            error = errors(params, images, labels, z)
            return jnp.sum(error), error  # gradients of different images are independent

        gradient, error = jax.grad(total, has_aux=True)(latents)
        best = better(latents, error, best, best_error)
        with jax.numpy_dtype_promotion("standard"):  # optax raises floats to int32 powers
            update, moments = adam.update(gradient, moments)
        return latents - rate * update, moments, best, jnp.minimum(error, best_error)

    def refine(
        params: Params,
        images: Array,
        labels: Array,
        latents: Array,
        steps: int,
        learning_rate: float,
    ) -> Array:
        x = to_float(images) if images.dtype == jnp.uint8 else images.astype(jnp.float32)
        state = (latents, adam.init(latents), latents, jnp.full(labels.shape, jnp.inf))
        # A Python loop over one compiled step, since gradients through a scan are slow on CPU.
        for _ in range(steps):
            state = step(params, x, labels, jnp.float32(learning_rate), state)
        return last(params, x, labels, state) if steps else latents

    return refine
