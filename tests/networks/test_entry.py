"""Sections of configs become Flax modules, and mistakes in them are one line."""

import math

import jax.numpy as jnp
import pytest
from ml_collections import ConfigDict

from ddgan_jax.core.errors import UserError
from ddgan_jax.networks import (
    DISCRIMINATORS,
    ENCODERS,
    GENERATORS,
    PATCH_DISCRIMINATORS,
    build_network,
)

MLP = dict(network="mlp", width=8, blocks=1, t_width=4, octaves=0, tanh=True)
UNET = dict(network="resblock", width=8, multipliers=[1, 2, 2], blocks=1, t_width=4)
DDPM = dict(network="ddpm_unet", width=32, multipliers=(1,), blocks=1, attention=())
DISC = dict(network="resblock", width=4, t_width=4, final_scale=1.0)


def config(batch_size=16, **sections):
    train = dict(batch_size=batch_size, accumulate=1)
    return ConfigDict(dict(dtype="bfloat16", train=train, **sections), type_safe=False)


def test_attributes_come_from_the_section_the_data_and_the_method():
    module = build_network(config(gen=UNET), "gen", GENERATORS, (8, 8, 3))
    assert module.multipliers == (1, 2, 2) and module.channels == 3
    assert module.dtype == jnp.bfloat16
    disc = DISC | dict(multipliers=(2, 4), downsample=(False, True))
    module = build_network(config(disc=disc), "disc", DISCRIMINATORS, (8, 8, 3), classes=5)
    assert module.classes == 5


def without(described, name):
    return {k: v for k, v in described.items() if k != name}


@pytest.mark.parametrize(
    ("described", "shape", "words"),
    [
        (without(MLP, "width"), (2,), "config.gen.width is missing; an integer in [0, 1048576] is"),
        (
            without(UNET, "multipliers"),
            (8, 8, 3),
            "multipliers is missing; a tuple of int is needed",
        ),
        (
            MLP | dict(width="8"),
            (2,),
            "config.gen.width is '8'; an integer in [0, 1048576] is needed",
        ),
        (MLP | dict(blocks=10**6), (2,), "config.gen.blocks is 1000000; an integer up to 1024 is"),
        (DDPM | dict(dropout=1.5), (8, 8, 3), "dropout is 1.5; a number in [0, 1) is needed"),
        (DDPM | dict(dropout=-0.5), (8, 8, 3), "dropout is -0.5; a number in [0, 1) is needed"),
        (DDPM | dict(dropout=math.nan), (8, 8, 3), "dropout is nan; a finite number is needed"),
        (DDPM | dict(groups=0), (8, 8, 3), "groups is 0; a positive integer is needed"),
        (MLP | dict(width=0), (2,), "config.gen.width is 0; a positive integer is needed"),
        (
            MLP | dict(param_dtype="bfloat16"),
            (2,),
            "config.gen.param_dtype is unknown; network mlp",
        ),
        (UNET | dict(channels=3), (8, 8, 3), "config.gen.channels is unknown"),
        (UNET, (2,), "'resblock', which takes images; for data of shape (2,) 'mlp' is needed"),
        (UNET, (6, 8, 3), "multiples of 4 are needed, config.data.image_size gives 6x8"),
    ],
)
def test_mistakes_are_one_line(described, shape, words):
    with pytest.raises(UserError) as error:
        build_network(config(gen=described), "gen", GENERATORS, shape)
    message = str(error.value)
    assert words in message and message.startswith("config.gen.") and "\n" not in message


def test_batches_have_to_fit_the_minibatch_standard_deviation():
    disc = dict(network="mlp", width=8, blocks=1, t_width=4, group=8, equalized=True)
    given = dict(num_logits=1, num_latents=2)
    build_network(config(16, disc=disc), "disc", ENCODERS, (4,), **given)
    build_network(config(5, disc=disc), "disc", ENCODERS, (4,), **given)
    with pytest.raises(UserError, match=r"is 12; .* a multiple of 8, or fewer than 8, is needed"):
        build_network(config(12, disc=disc), "disc", ENCODERS, (4,), **given)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((2,), "takes images; for data of shape"),
        ((4, 4, 1), "images of at least 6 pixels"),
    ],
)
def test_data_that_a_patch_discriminator_cannot_take(shape, words):
    disc = dict(network="patch", width=4, layers=1)
    with pytest.raises(UserError, match=words):
        build_network(config(disc=disc), "disc", PATCH_DISCRIMINATORS, shape)
