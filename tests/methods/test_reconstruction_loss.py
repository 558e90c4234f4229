"""lambda L1(x_0, x_0') in DDGAN's generator loss: its schedule, the loss, a run in Haar bands."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs as runs

import ddgan_jax
from ddgan_jax.core import losses
from ddgan_jax.core.types import Carry, Context
from ddgan_jax.methods import Length, build_method
from ddgan_jax.presets import wddgan

NETWORK = dict(network="mlp", width=8, blocks=1, t_width=4, octaves=0)
TINY = [
    f"--config={runs.ROOT}/configs/wddgan_digits.py",
    *(arg for arg in runs.TINY if arg != runs.DIGITS),
    "--config.reconstruction.kind=weighted",
    "--config.train.checkpoint_every=4 steps",
]


def test_l1_is_the_mean_distance():
    real, fake = np.array([[1.0, -2.0]], np.float32), np.array([[0.5, 1.0]], np.float32)
    np.testing.assert_allclose(losses.reconstruction_loss(real, fake), (0.5 + 3) / 2)


def test_weights_fade_from_one_over_a_half_to_zero():
    weight = losses.fading_weight(1.0, 6.0, total_steps=1000, steps_per_epoch=10)
    start, middle, end = (float(weight(jnp.int32(step))) for step in (0, 500, 1000))
    np.testing.assert_allclose(start, 1 - 1 / (1 + np.exp(6)), rtol=1e-6)
    assert middle == 0.5
    np.testing.assert_allclose(end, 1 / (1 + np.exp(6)), rtol=1e-5)
    assert start > 0.997 and end < 0.003


def test_weights_follow_the_formula_epoch_by_epoch():
    """phi = -delta + 2 delta epoch / epochs, constant within an epoch; 25 steps are 3 epochs."""
    weight = jax.vmap(losses.fading_weight(0.5, 4.0, total_steps=25, steps_per_epoch=10))
    got = np.asarray(weight(jnp.arange(40)))
    for step in range(40):
        phi = -4.0 + 2 * 4.0 * min(step // 10, 3) / 3
        np.testing.assert_allclose(got[step], 0.5 * (1 - 1 / (1 + np.exp(-phi))), rtol=1e-5)
    assert got.dtype == np.float32 and (np.diff(got) <= 0).all()
    constant = losses.constant_weight(0.5)(jnp.int32(7))
    assert constant.dtype == jnp.float32 and float(constant) == 0.5


@functools.cache
def generator_phase(kind, weight):
    """(loss, gradient, metrics) of the generator phase at step 10 of 20, 10 steps per epoch."""
    config = wddgan(
        num_steps=2,
        latent_size=3,
        gen=NETWORK | dict(tanh=True),
        disc=NETWORK | dict(group=4),
        lr_gen=1e-3,
        lr_disc=1e-3,
        r1_gamma=0.1,
        r1_every=3,
    )
    config.reconstruction.kind, config.reconstruction.weight = kind, weight
    method = build_method(config, (4, 4, 1), Length(total=20, epoch=10))
    params = jax.jit(method.init)(jax.random.key(0))
    images = np.random.default_rng(0).integers(0, 256, (8, 4, 4, 1), np.uint8)
    context = Context(
        {"image": images, "label": np.zeros(8, np.int32)},
        jax.random.key(1),
        jnp.int32(10),
        Carry(),
        (),
    )
    assert method.phases[1].role == "gen"

    def loss(gen):
        return method.phases[1].loss({**params, "gen": gen}, context)

    (value, aux), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(params["gen"])
    return value, np.concatenate([np.ravel(g) for g in jax.tree.leaves(grads)]), aux.metrics


@pytest.mark.slow
def test_without_weight_it_is_the_plain_loss():
    loss, grads, metrics = generator_phase("none", 1.0)
    assert metrics == {}
    same_loss, same_grads, metrics = generator_phase("constant", 0.0)
    assert float(metrics["l1_weight"]) == 0 and float(metrics["l1"]) > 0
    np.testing.assert_allclose(same_loss, loss, rtol=1e-6)
    np.testing.assert_allclose(same_grads, grads, rtol=1e-5, atol=1e-8)


@pytest.mark.slow
def test_it_adds_the_weighted_l1():
    plain, plain_grads, _ = generator_phase("none", 1.0)
    weighted, grads, metrics = generator_phase("weighted", 2.0)
    assert float(metrics["l1_weight"]) == 1.0  # half way, half of it
    np.testing.assert_allclose(weighted, plain + metrics["l1"], rtol=1e-6)
    constant, full_grads, _ = generator_phase("constant", 2.0)
    np.testing.assert_allclose(constant, plain + 2 * metrics["l1"], rtol=1e-6)
    assert np.linalg.norm(grads - plain_grads) > 0.01  # the generator feels it, linearly
    np.testing.assert_allclose(grads - plain_grads, full_grads - grads, rtol=1e-3, atol=1e-6)


@pytest.mark.slow
def test_bands_from_end_to_end(tmp_path, capfd):
    """Training, resuming, sampling and evaluation in Haar bands by the command line."""
    run = tmp_path / "run"
    runs.ok(*TINY, f"--workdir={run}")
    info = json.loads((run / "info.json").read_text())
    assert info["data"]["shape"] == [8, 8, 1]
    for line in runs.metrics(run):
        assert line["gen/l1"] > 0 and line["gen/l1_weight"] == pytest.approx(0.9975, abs=1e-4)
    runs.ok("--mode=sample", f"--workdir={run}", "--num_images=5")
    with np.load(run / "samples" / "samples.npz") as file:
        assert file["images"].shape == (5, 8, 8, 1)
    images = ddgan_jax.load(run).sample(jax.random.key(0), 3)
    assert images.shape == (3, 8, 8, 1) and images.dtype == np.float32
    runs.ok("--mode=evaluate", f"--workdir={run}", "--config.eval.num_samples=32")
    assert "frechet" in (run / "evaluation.json").read_text()

    # The same bits from the checkpoint at step 4, and one line for another space.
    before = runs.saved(run, 8)
    runs.rewind(run, 4)
    runs.ok(*TINY, f"--workdir={run}")
    after = runs.saved(run, 8)
    assert all(np.array_equal(before[name], after[name]) for name in before)
    other = [*TINY, "--config.space.levels=2", f"--workdir={run}"]
    runs.fails(capfd, other, "config.space.levels = 1", "another --workdir")
