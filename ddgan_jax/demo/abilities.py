"""`Abilities`: the controls that the page of a run has, found from its config and its method."""

from typing import NamedTuple

from ml_collections import ConfigDict

from ddgan_jax.config.stored import read_config
from ddgan_jax.core.errors import UserError
from ddgan_jax.data import stored_source
from ddgan_jax.inference.latents import latent_shape
from ddgan_jax.inference.model import Model, load
from ddgan_jax.io.best import Step
from ddgan_jax.io.storage import AnyPath
from ddgan_jax.methods import complete_config


class Abilities(NamedTuple):
    """What a page can offer of a model.

    Attributes:
      samples: whether the method draws samples.
      classes: names of the classes in the order of the labels; empty for an unconditional model.
      truncates: whether the generator has styles that can be truncated.
      steps: number of network evaluations of the run's sampler, if it can be chosen; else 0.
      most_steps: largest number that can be chosen.
      inverts: whether images can be mapped to latents and back.
      refines: whether latents can be refined by gradient descent.
      mixes: whether the latents of an image have a part for each time, so that two can be mixed.
    """

    samples: bool
    classes: tuple[str, ...]
    truncates: bool
    steps: int
    most_steps: int
    inverts: bool
    refines: bool
    mixes: bool


def abilities_of(model: Model) -> Abilities:
    """What a page can offer of a model; the data of the run may be missing."""
    method, config = model.method, model.config
    images, inversion = len(model.shape) == 3, model.method.inversion
    chosen = config.get("sampler", ConfigDict()).get("steps", 0)
    return Abilities(
        samples=method.sample is not None,
        classes=_names(model),
        truncates=method.styles is not None,
        steps=chosen,
        most_steps=config.diffusion.num_steps if chosen else 0,
        inverts=images and inversion is not None,
        refines=images and inversion is not None and inversion.refine is not None,
        # latents are [t_max, d_z], not a map of features
        mixes=images
        and inversion is not None
        and len(latent_shape(method, model.params, model.shape)) == 2,
    )


def _names(model: Model) -> tuple[str, ...]:
    """The names of the classes, or their numbers where the data do not say them."""
    if not model.classes:
        return ()
    try:
        known = stored_source(model.config.data).classes
    except UserError:  # the data are not on this machine
        known = ()
    matches = len(known) == model.classes
    return known if matches else tuple(map(str, range(model.classes)))


def with_steps(workdir: AnyPath, step: Step, steps: int) -> Model:
    """Load a run whose sampler makes another number of steps.

    Args:
      workdir: the run folder.
      step: see `model.load`.
      steps: `config.sampler.steps`; 0: as in the run.

    Raises:
      UserError: see `model.load`; or the method does not allow so many steps.
    """
    if not steps:
        return load(workdir, step)
    config = complete_config(read_config(workdir))
    config.sampler.steps = steps
    return load(workdir, step, config)
