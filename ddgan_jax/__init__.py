"""Denoising diffusion GANs and related methods in JAX and Flax.

model = ddgan_jax.load("runs/digits")
images = model.sample(jax.random.key(0), 64)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ddgan_jax.core.errors import UserError
    from ddgan_jax.inference.model import Model, load

__version__ = "0.2.0"
__all__ = ["Model", "UserError", "load"]


def __getattr__(name: str) -> Any:
    """Import on first use: `--help` and mistakes answer at once."""
    if name in ("Model", "load"):
        from ddgan_jax.inference import model

        return getattr(model, name)
    if name == "UserError":
        from ddgan_jax.core.errors import UserError

        return UserError
    raise AttributeError(f"module 'ddgan_jax' has no attribute {name!r}")
