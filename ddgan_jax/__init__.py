"""Denoising diffusion GANs (DDGAN, WDDGAN, LDDGAN), DDDG and related methods in JAX and Flax.

Load a trained run and draw 64 samples:

  model = ddgan_jax.load("runs/digits")
  images = model.sample(jax.random.key(0), 64)

Train on images of your own, step by step:

  trainer = ddgan_jax.Trainer(config, images)
  metrics = trainer.step(100)

Training and all other commands: `python -m ddgan_jax --help`.
"""

import importlib
from typing import TYPE_CHECKING, Any

from ddgan_jax.core import signals

if TYPE_CHECKING:
    from ddgan_jax.core.errors import UserError
    from ddgan_jax.inference.model import Model, load
    from ddgan_jax.training.trainer import Trainer

signals.install_in_command()  # before anything that takes long is imported

__version__ = "0.2.0"
__all__ = ["Model", "Trainer", "UserError", "load"]
_HOMES = {
    **{"Model": "inference.model", "load": "inference.model"},
    **{"Trainer": "training.trainer", "UserError": "core.errors"},
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `--help` does not import jax."""
    if name not in _HOMES:
        raise AttributeError(f"module 'ddgan_jax' has no attribute {name!r}")
    return getattr(importlib.import_module(f"ddgan_jax.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """The public names."""
    return [*__all__, "__version__"]
