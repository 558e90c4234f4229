"""Tiny runs of DDDG in this process, shared by its tests."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from ddgan_jax.core.optimizers import make_optimizers
from ddgan_jax.core.train_step import create_state, train_step
from ddgan_jax.inference.sampling import sampling_params
from ddgan_jax.methods import build_method
from ddgan_jax.presets import dddg

BATCH, SIZE, CLASSES = 8, 3, 4
SHAPE = (8, 8, 1)
LEVELS = {"pool": (4, 2), "dct": (1, 3), "blur": (2, 1)}  # t_max = 3


def tiny(kind="pool", classes=CLASSES, group=1):
    config = dddg(
        degradation=kind,
        levels=LEVELS[kind],
        latent_size=SIZE,
        classes=classes,
        gen=dict(
            network="mlp", width=8, blocks=1, t_width=4, octaves=0, tanh=False, equalized=True
        ),
        disc=dict(network="mlp", width=8, blocks=1, t_width=4, group=group, equalized=True),
    )
    config.train.batch_size = BATCH
    config.encoder.variance_decay = 0.75
    return config


def batch(seed=0):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (BATCH, *SHAPE), np.uint8)
    return {"image": image, "label": rng.integers(0, CLASSES, BATCH, np.int32)}


class Run:
    """A method with its optimizers, initial state and compiled functions."""

    def __init__(self, config):
        self.config = config
        self.method = build_method(config, SHAPE)
        self.optimizers = make_optimizers(config.optim, ("disc", "gen"), 100, 10)
        create = functools.partial(create_state, method=self.method, optimizers=self.optimizers)
        self.start = jax.jit(create)(jax.random.key(0))
        self.step = self.jitted()
        self.inversion = self.method.inversion
        self.encode, self.decode = jax.jit(self.inversion.encode), jax.jit(self.inversion.decode)

    def jitted(self, accumulate=1, **kwargs):
        step = functools.partial(
            train_step,
            method=self.method,
            optimizers=self.optimizers,
            ema_decay=0.9,
            regularize=(True, False),
            accumulate=accumulate,
        )
        return jax.jit(step, **kwargs)

    def after(self, steps):
        state = self.start
        for i in range(steps):
            state, _ = self.step(state, batch(i), ())
        return state


@functools.cache
def run_of(kind="pool", classes=CLASSES):
    return Run(tiny(kind, classes))


def params_of(state):
    return sampling_params(state)


def images(count=5, seed=0):
    x = np.random.default_rng(seed).uniform(-1, 1, (count, *SHAPE))
    return jnp.asarray(x, jnp.float32)
