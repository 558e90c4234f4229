"""Check that stored parameters are finite."""

import jax
import jax.numpy as jnp

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import PyTree


def check_finite(tree: PyTree, where: str) -> None:
    """Check that all floats of a tree are finite.

    Args:
      tree: arrays.
      where: where they are from, for the message.

    Raises:
      UserError: names the first array that has others.
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if jnp.issubdtype(leaf.dtype, jnp.floating) and not bool(jnp.isfinite(leaf).all()):
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            raise UserError(
                f"{where}: array {name!r} is not finite; the run diverged before this step, or the "
                "checkpoint is damaged"
            )
