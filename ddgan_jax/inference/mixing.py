"""Style mixing: images with the coarse styles of one sample and the fine styles of another."""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.random import sample_keys
from ddgan_jax.core.types import Array, Params

if TYPE_CHECKING:
    from ddgan_jax.inference.model import Model


def style_mixing(
    model: "Model",
    rows: int,
    columns: int,
    seed: int = 0,
    psi: float = 1.0,
) -> np.ndarray:
    """A table of images mixed from samples (Karras et al. 2019, figure 3).

    Args:
      model: a model whose generator has styles.
      rows: number of samples that coarse styles are taken from.
      columns: number of samples that fine styles are taken from.
      seed: seed of the samples.
      psi: truncation of all samples.

    Returns:
      float32 [1 + rows, 1 + columns, *shape], where mixed images have the style of the row in the
      coarser half of the layers: the samples of the rows in the first column, those of
      the columns in the first row, the mixed images between them, -1 in the corner. All images have
      the same noise.

    Raises:
      UserError: the generator has no styles.
    """
    styles = model.method.styles
    if styles is None:
        raise UserError(f"method {model.config.method!r} has no styles to mix in this run")

    @jax.jit
    def table(params: Params, keys: Array) -> Array:
        ws = styles.map(params, keys, None, psi, None)
        coarse, fine = ws[:rows, None], ws[None, rows:]
        share = ws.shape[1] // 2
        mixed = jnp.where(jnp.arange(ws.shape[1])[:, None] < share, coarse, fine)
        every = jnp.concatenate([ws, mixed.reshape(-1, *ws.shape[1:])])
        return styles.synthesize(params, every, None, model.frozen)

    images = np.asarray(table(model.params, sample_keys(jax.random.key(seed), 0, rows + columns)))
    found = np.full((1 + rows, 1 + columns, *images.shape[1:]), -1, np.float32)
    found[1:, 0], found[0, 1:] = images[:rows], images[rows : rows + columns]
    found[1:, 1:] = images[rows + columns :].reshape(rows, columns, *images.shape[1:])
    return found
