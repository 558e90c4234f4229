"""Tiny configs of every method, and what the shared suite needs to run them."""

import atexit
import functools
import math
import shutil
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from ddgan_jax.config.stored import save_config
from ddgan_jax.core.optimizers import make_optimizers
from ddgan_jax.core.train_step import create_state, train_step, which_regularize
from ddgan_jax.io import run_folder
from ddgan_jax.methods import Length, build_method
from ddgan_jax.presets import (
    autoencoder,
    dddg,
    ddgan,
    ddpm,
    diffusion_gan,
    difgan,
    gan,
    lddgan,
    projected_gan,
    wddgan,
)

BATCH = 8
STEPS = 7  # with the regularizer at 0, 3 and 6


def mlp_config(preset=ddgan):
    return preset(
        num_steps=2,
        latent_size=3,
        gen=dict(network="mlp", width=8, blocks=1, t_width=4, octaves=0, tanh=True),
        disc=dict(network="mlp", width=8, blocks=1, t_width=4, octaves=0, group=4),
        lr_gen=1e-3,
        lr_disc=1e-3,
        r1_gamma=0.1,
        r1_every=3,
    )


def conv_config():
    # As few convolutions as there can be: every one is compiled several times.
    config = mlp_config()
    config.gen = dict(
        network="ncsnpp",
        width=4,
        multipliers=(1,),
        blocks=1,
        attention=(),
        z_width=4,
        z_layers=0,
        dropout=0.1,
    )
    config.disc = dict(
        network="resblock",
        width=2,
        multipliers=(2,),
        downsample=(True,),
        t_width=4,
        final_scale=1.0,
    )
    return config


def wddgan_config():
    config = mlp_config(wddgan)
    config.reconstruction.kind = "weighted"
    return config


def pca_config():
    config = mlp_config()
    config.gen.tanh = False
    config.space = ConfigDict(dict(kind="pca", components=5))
    return config


def with_classes(make_config):
    def config():
        made = make_config()
        made.classes = 2
        return made

    return config


def dddg_mlp_config():
    config = dddg(
        degradation="pool",
        levels=(2,),
        latent_size=3,
        classes=2,
        gen=dict(
            network="mlp", width=8, blocks=1, t_width=4, octaves=0, tanh=False, equalized=True
        ),
        disc=dict(network="mlp", width=8, blocks=1, t_width=4, group=4, equalized=True),
    )
    config.train.batch_size = BATCH  # so many images are carried
    config.r1.every = 3
    return config


def dddg_conv_config():
    config = dddg_mlp_config()
    config.gen = dict(
        network="ncsnpp",
        width=4,
        multipliers=(1,),
        blocks=1,
        attention=(),
        z_width=4,
        z_layers=0,
        tanh=False,
        normalize_z=False,
        coordinates=True,
        equalized=True,
    )
    config.disc = dict(
        network="resblock",
        width=2,
        multipliers=(2,),
        downsample=(True,),
        t_width=4,
        group=4,
        equalized=True,
    )
    return config


def family(config, networks=mlp_config):
    """A config of the GAN family with the tiny networks of DDGAN."""
    config.gen, config.disc = networks().gen, networks().disc
    return config


ADVERSARIAL = dict(gen={}, disc={}, lr_gen=1e-3, lr_disc=1e-3, r1_gamma=0.1, r1_every=3)


def gan_config(networks=mlp_config):
    return family(gan(noise="latent", latent_size=3, **ADVERSARIAL), networks)


def gan_highdim_config():
    return family(gan(noise="image", **ADVERSARIAL))


def diffusion_gan_config(networks=mlp_config):
    config = family(diffusion_gan(noise="latent", latent_size=3, **ADVERSARIAL), networks)
    config.instance_noise.every = 2
    return config


def stylegan2_config():
    """StyleGAN2 with all that its training has, in a few channels."""
    config = diffusion_gan(noise="latent", latent_size=3, **ADVERSARIAL)
    tiny = dict(network="stylegan2", channel_base=32, channel_max=4, layers=1)
    config.gen = dict(width=4, **tiny)
    config.disc = dict(architecture="resnet", group=4, **tiny)
    config.instance_noise.every = 2
    config.adversarial.order = "gen_first"
    config.lazy.scaled = config.lazy.own_step = True
    config.path_length.weight, config.path_length.every = 2.0, 3
    config.styles.mixing = 0.9
    config.optim.gen.lazy_interval = config.optim.disc.lazy_interval = 3
    return config


def projected_gan_config():
    config = projected_gan(
        latent_size=3,
        gen=dict(network="fastgan", width=1, lite=True),
        disc=dict(network="multi_scale", width=2),
        learning_rate=1e-3,
    )
    config.features.network, config.features.size = "random", 128
    config.instance_noise.every = 2
    return config


def difgan_config(networks=mlp_config):
    return family(difgan(num_steps=2, **ADVERSARIAL), networks)


def ddpm_config(networks=mlp_config):
    gen = networks().gen.to_dict() | dict(tanh=False)  # it predicts noise
    config = ddpm(gen=gen, learning_rate=1e-3, clip=True)
    config.diffusion.num_steps, config.sampler.steps = 10, 5
    return config


def ddim_config():
    config = ddpm_config()
    config.sampler.kind = "ddim"
    return config


def autoencoder_config():
    config = autoencoder(
        network=dict(network="mlp", width=8, blocks=1, latent_shape=(2, 2, 2), gaussian=True),
        disc=dict(network="patch", width=4, layers=0),
        lpips=0.0,
        adversarial=0.5,
        adversarial_start=0,
        learning_rate=1e-3,
    )
    config.loss.kl = 1e-3  # so that there is noise
    return config


def lddgan_config():
    folder = Path(tempfile.mkdtemp(prefix="ddgan_jax_autoencoder_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    save_config(folder, autoencoder_config())
    run_folder.save_info(folder, {"data": {"shape": (4, 4, 1)}})
    return mlp_config(functools.partial(lddgan, autoencoder=str(folder)))


def uvit_config():
    config = lddgan_config()
    tiny = dict(width=4, blocks=1, heads=2, patch=1, z_width=4, z_layers=0)
    config.gen = dict(network="uvit", **tiny)
    return config


def frozen_of(config, shape):
    """What the train step gets besides: an autoencoder that nobody trained."""
    if "space" not in config or config.space.kind not in ("latent", "pca"):
        return ()
    if config.space.kind == "pca":
        numbers, count = math.prod(shape), config.space.components
        axes = np.linalg.qr(np.random.default_rng(5).normal(size=(numbers, count)))[0].T
        found = {"mean": np.zeros(numbers), "axes": axes, "deviations": np.ones(count)}
        return {name: jnp.asarray(x, jnp.float32) for name, x in found.items()}
    params = jax.jit(build_method(autoencoder_config(), shape).init)(jax.random.key(5))
    return {"autoencoder": params["autoencoder"], "scale": jnp.float32(2)}


CASES = {
    "autoencoder-mlp": (autoencoder_config, (4, 4, 1)),
    "ddgan-points": (mlp_config, (2,)),
    "ddgan-mlp": (mlp_config, (4, 4, 1)),
    "ddgan_classes-points": (with_classes(mlp_config), (2,)),
    "ddgan-conv": (conv_config, (4, 4, 1)),
    "wddgan-mlp": (wddgan_config, (4, 4, 1)),
    "ddgan_pca-mlp": (pca_config, (4, 4, 1)),
    "lddgan-mlp": (lddgan_config, (4, 4, 1)),
    "lddgan-uvit": (uvit_config, (4, 4, 1)),
    "dddg-mlp": (dddg_mlp_config, (4, 4, 1)),
    "dddg-conv": (dddg_conv_config, (4, 4, 1)),
    "gan_classes-points": (with_classes(gan_config), (2,)),
    "gan_highdim-mlp": (gan_highdim_config, (4, 4, 1)),
    "diffusion_gan-mlp": (diffusion_gan_config, (4, 4, 1)),
    "diffusion_gan_classes-points": (with_classes(diffusion_gan_config), (2,)),
    "diffusion_stylegan2_classes-conv": (with_classes(stylegan2_config), (8, 8, 1)),
    "projected_gan-images": (projected_gan_config, (8, 8, 1)),
    "difgan-mlp": (difgan_config, (4, 4, 1)),
    "difgan_classes-points": (with_classes(difgan_config), (2,)),
    "ddpm-mlp": (ddpm_config, (4, 4, 1)),
    "ddim_classes-points": (with_classes(ddim_config), (2,)),
}


class Case:
    """A method with its tiny config, the state it starts from, and what takes it further.

    What is compiled and run is shared by all tests of a case.
    """

    def __init__(self, make_config, shape):
        self.config, self.shape = make_config(), shape
        self.method = build_method(self.config, self.shape, Length(100, 10))
        roles = tuple(phase.role for phase in self.method.phases)
        self.optimizers = make_optimizers(self.config.optim, roles, 100, 10)
        self.frozen = frozen_of(self.config, self.shape)
        create = functools.partial(create_state, method=self.method, optimizers=self.optimizers)
        self.start = jax.jit(create)(jax.random.key(0))
        self.traces = []  # variants of the step, when they are traced
        self._compiled = {}
        self._copy = jax.jit(lambda state: jax.tree.map(jnp.copy, state))

    def jitted(self, step=0, method=None, accumulate=1, function=train_step, **options):
        """The train step as step number `step` needs it; `options` are those of `jax.jit`."""
        method = method or self.method
        static = dict(method=method, optimizers=self.optimizers, accumulate=accumulate)
        static |= dict(ema_decay=0.9, regularize=which_regularize(method, step))
        return jax.jit(functools.partial(function, **static), **options)

    def step(self, state, batch=None, like=None):
        """The next state and metrics; a copy of `state` is donated, as in training.

        `like` is the number of a step whose variant is to run, whatever the number of the state.
        """

        def counted(*args, regularize, **static):
            self.traces.append(regularize)
            return train_step(*args, regularize=regularize, **static)

        number = int(state.step)
        like = number if like is None else like
        variant = which_regularize(self.method, like)
        if variant not in self._compiled:
            self._compiled[variant] = self.jitted(like, function=counted, donate_argnums=0)
        batch = self.batch(number) if batch is None else batch
        return self._compiled[variant](self._copy(state), batch, self.frozen)

    def batch(self, step):
        rng = np.random.default_rng(step)
        if len(self.shape) == 3:
            image = rng.integers(0, 256, (BATCH, *self.shape), np.uint8)
        else:
            image = rng.standard_normal((BATCH, *self.shape)).astype(np.float32)
        return {"image": image, "label": np.arange(BATCH, dtype=np.int32) % 2}

    def run(self, state, steps):
        """The states from this one on, steps + 1 of them, and the metrics of each step."""
        states, history = [state], []
        for _ in range(steps):
            state, metrics = self.step(state)
            states.append(state)
            history.append(jax.device_get(metrics))
        return states, history

    @functools.cached_property
    def straight(self):
        """The run of STEPS steps from the start."""
        return self.run(self.start, STEPS)
