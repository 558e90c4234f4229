"""Denoising diffusion GANs (DDGAN, WDDGAN, LDDGAN), DDDG and related methods in JAX and Flax.

Load a trained run and draw 64 samples:

  model = ddgan_jax.load("runs/digits")
  images = model.sample(jax.random.key(0), 64)

Training and all other commands: `python -m ddgan_jax --help`.
"""

from typing import TYPE_CHECKING, Any

from ddgan_jax.core import signals

if TYPE_CHECKING:
    from ddgan_jax.core.errors import UserError
    from ddgan_jax.inference.model import Model, load

signals.install_in_command()  # before anything that takes long is imported

__version__ = "0.2.0"
__all__ = ["Model", "UserError", "load"]


def __getattr__(name: str) -> Any:
    """Import `Model`, `load` and `UserError` on first use, so that `--help` does not import jax."""
    if name in ("Model", "load"):
        from ddgan_jax.inference import model

        return getattr(model, name)
    if name == "UserError":
        from ddgan_jax.core.errors import UserError

        return UserError
    raise AttributeError(f"module 'ddgan_jax' has no attribute {name!r}")
