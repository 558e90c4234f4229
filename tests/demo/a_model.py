"""A model for the tests of the page: tiny, not trained, and able to do all that a page offers."""

import functools

import jax
import tiny_dddg

from ddgan_jax.demo.answers import answers_of
from ddgan_jax.inference.model import Model
from ddgan_jax.inference.sampling import sampling_params
from ddgan_jax.methods import complete_config
from ddgan_jax.parallel.mesh import make_mesh


@functools.cache
def inverting(classes=tiny_dddg.CLASSES):
    run = tiny_dddg.run_of(classes=classes)
    config = complete_config(run.config)
    config.sample.batch_size = 8
    params = jax.tree.map(jax.numpy.asarray, sampling_params(run.start))
    return Model(config, run.method, params, 3, tiny_dddg.SHAPE, make_mesh(jax.devices()[:1]), {})


def answers(classes=tiny_dddg.CLASSES):
    return answers_of(lambda steps: inverting(classes), lambda error: f"a bug: {error}")
