"""DDDG: sampling, and images through the encoder and back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_dddg import (
    BATCH,
    CLASSES,
    LEVELS,
    SHAPE,
    SIZE,
    Run,
    batch,
    images,
    params_of,
    run_of,
    tiny,
)

from ddgan_jax.core.random import sample_keys
from ddgan_jax.diffusion.degradations import degradation
from ddgan_jax.methods.dddg import latent_scale, make_dddg
from ddgan_jax.methods.refinement import make_refine
from ddgan_jax.networks.encoder import MLPEncoder
from ddgan_jax.parallel import mesh as meshes


@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=() if k == "blur" else pytest.mark.slow) for k in LEVELS]
)
def test_path_ends_in_the_sample_and_every_image_degrades_to_those_before(kind):
    run = run_of(kind)
    params = params_of(run.after(3))
    latents, labels = run.inversion.prior(sample_keys(jax.random.key(2), 0, 5))
    assert latents.shape == (5, 3, SIZE) and labels.shape == (5,) and labels.dtype == jnp.int32
    x, norm = jax.jit(run.inversion.path)(params, latents, labels)
    assert x.shape == (4, 5, *SHAPE) and norm.shape == (3, 5, *SHAPE)
    np.testing.assert_array_equal(x[0], np.zeros_like(x[0]))
    np.testing.assert_array_equal(x[-1], norm[-1])
    np.testing.assert_allclose(run.decode(params, latents, labels), x[-1], atol=1e-5)
    sample = run.method.sample(params, sample_keys(jax.random.key(2), 0, 5), ())
    np.testing.assert_allclose(sample, x[-1], atol=1e-5)
    for t in range(3):
        np.testing.assert_allclose(run.inversion.degrade(norm[t], t + 1), x[t + 1], atol=1e-5)
    if kind != "blur":
        for later in range(4):
            for t in range(later + 1):
                np.testing.assert_allclose(run.inversion.degrade(x[later], t), x[t], atol=1e-5)


def test_sampling_scales_the_latents():
    """Twice a latent is what a four times larger variance makes of it, the others being equal."""
    run = run_of()
    params = params_of(run.start)
    latents, labels = run.inversion.prior(sample_keys(jax.random.key(2), 0, 4))
    v = jnp.array([4.0, 1.0, 1.0]) * jnp.ones((3, 1))
    scaled = {**params, "latent": {"variance": v}}
    expected = run.decode(params, latents * latent_scale(v), labels)
    np.testing.assert_allclose(run.decode(scaled, latents, labels), expected, atol=1e-5)
    assert np.abs(run.decode(params, latents, labels) - expected).max() > 1e-3


@pytest.mark.slow
def test_encode_looks_at_each_image_alone():
    run = Run(tiny(group=4))
    params, x = params_of(run.start), images(7)
    labels = jnp.zeros(7, jnp.int32)
    latents = run.encode(params, x, labels)
    assert latents.shape == (7, 3, SIZE) and latents.dtype == jnp.float32
    np.testing.assert_allclose(run.encode(params, x[2:5], labels[2:5]), latents[2:5], 1e-5)
    stored = batch()["image"]
    floats = stored.astype(np.float32) / 127.5 - 1
    a, b = (run.encode(params, y, jnp.zeros(BATCH, jnp.int32)) for y in (stored, floats))
    np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.slow
def test_an_encoder_may_be_told_the_class():
    config = tiny()
    config.encoder.per_class = True
    run = Run(config)
    state, metrics = run.step(run.start, batch(), ())
    assert all(np.isfinite(value) for value in metrics.values())
    told = [run.encode(params_of(state), images(3), jnp.full(3, c)) for c in (0, 1)]
    assert told[0].shape == (3, 3, SIZE) and (told[0] != told[1]).all()
    module = MLPEncoder(CLASSES, CLASSES * 3 * SIZE, 8, 1, 4, 1, True)
    x = run.inversion.degrade(images(3), 2)
    _, latents = module.apply({"params": state.ema["disc"]}, x, jnp.full(3, 2), logits=False)
    expected = latents.reshape(3, CLASSES, 3, SIZE)[:, 1, 1]  # class 1, t = 1
    np.testing.assert_allclose(told[1][:, 1], expected, atol=1e-5)
    blind = run_of()
    same = [blind.encode(params_of(blind.start), images(3), jnp.full(3, c)) for c in (0, 1)]
    np.testing.assert_array_equal(same[0], same[1])


def test_classes_are_drawn_evenly_and_change_the_image():
    run = run_of()
    _, labels = run.inversion.prior(sample_keys(jax.random.key(0), 0, 4000))
    share = np.bincount(labels, minlength=CLASSES) / 4000
    assert share.shape == (CLASSES,) and np.abs(share - 1 / CLASSES).max() < 0.03
    latents, _ = run.inversion.prior(sample_keys(jax.random.key(0), 0, 2))
    made = [run.decode(params_of(run.start), latents, jnp.full(2, c)) for c in (0, 1)]
    assert np.abs(made[0] - made[1]).max() > 1e-3


@pytest.mark.slow
def test_unconditional_ignores_labels():
    run = run_of(classes=0)
    states = []
    for label in (0, 9):
        data = {**batch(), "label": np.full(BATCH, label, np.int32)}
        states.append(run.step(run.start, data, ())[0])
    pairs = zip(*(jax.tree.leaves(s.params) for s in states), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)
    latents, labels = run.inversion.prior(sample_keys(jax.random.key(0), 0, 3))
    assert (labels == 0).all()
    params = params_of(run.start)
    made = [run.decode(params, latents, jnp.full(3, c)) for c in (0, 7)]
    np.testing.assert_array_equal(made[0], made[1])


class OracleGenerator:
    """Writes what the latents say, pixel by pixel, over whatever it is given."""

    def apply(self, variables, x, t, code):
        del variables, t
        return code[:, : x[0].size].reshape(x.shape)


class OracleEncoder:
    """Reads the pixels off, as the latents of every step."""

    def apply(self, variables, x, t, logits=True):
        del variables, t
        flat = x.reshape(x.shape[0], -1)
        return (flat[:, :1] if logits else None), jnp.tile(flat, 3)


def oracle(kind):
    return make_dddg(
        generator=OracleGenerator(),
        discriminator=OracleEncoder(),
        degradation=degradation(kind, LEVELS[kind], SHAPE),
        shape=SHAPE,
        batch_size=2,
        latent_size=64,
        classes=0,
        encoder_weight=1.0,
        encoder_per_class=False,
        variance_decay=0.9,
        r1_weight=0.0,
        r1_every=1,
    )


ORACLE_PARAMS = {"gen": {}, "disc": {}, "latent": {"variance": jnp.ones((3, 64))}}


@pytest.mark.parametrize("kind", ["pool", "dct"])
def test_a_perfect_encoder_and_generator_invert_each_other(kind):
    """And the intermediate images are the degraded versions of the data."""
    method, x, labels = oracle(kind).inversion, images(), jnp.zeros(5, jnp.int32)
    latents = method.encode(ORACLE_PARAMS, x, labels)
    np.testing.assert_allclose(method.decode(ORACLE_PARAMS, latents, labels), x, atol=1e-5)
    path, _ = method.path(ORACLE_PARAMS, latents, labels)
    for t in range(4):
        np.testing.assert_allclose(path[t], method.degrade(x, t), atol=1e-5)


def test_refining_finds_latents_of_images_that_the_generator_can_make():
    method, x, labels = oracle("pool").inversion, images(), jnp.zeros(5, jnp.int32)
    start = jnp.zeros((5, 3, 64))

    def errors(latents):
        made = method.decode(ORACLE_PARAMS, latents, labels)
        return np.asarray(jnp.mean((made - x) ** 2, axis=(1, 2, 3)))

    refined = method.refine(ORACLE_PARAMS, x, labels, start, 150, 0.05)
    assert (errors(refined) < 1e-3 * errors(start)).all()
    np.testing.assert_array_equal(method.refine(ORACLE_PARAMS, x, labels, start, 0, 0.05), start)
    # Far too large a step makes things worse; the best is returned.
    wild = method.refine(ORACLE_PARAMS, x, labels, refined, 5, 100.0)
    assert (errors(wild) <= errors(refined) + 1e-7).all()


@pytest.mark.slow
def test_refining_one_image_is_refining_it_among_others():
    run = run_of()
    params, x, labels = params_of(run.start), images(4), jnp.arange(4)
    start = run.encode(params, x, labels)
    many = run.inversion.refine(params, x, labels, start, 5, 0.1)
    one = run.inversion.refine(params, x[1:2], labels[1:2], start[1:2], 5, 0.1)
    np.testing.assert_allclose(one, many[1:2], atol=1e-5)
    inside = jax.jit(lambda z: run.inversion.refine(params, x, labels, z, 5, 0.1))(start)
    np.testing.assert_allclose(inside, many, atol=1e-4)


@pytest.mark.slow
def test_sampling_and_inversion_however_they_are_run():
    """Eager, jit, vmap, pmap and sharded over eight devices."""
    run = run_of()
    params = params_of(run.after(3))
    keys = sample_keys(jax.random.key(5), 0, 16)
    latents, labels = run.inversion.prior(keys)
    x = images(16)
    mesh = meshes.make_mesh()
    same, split = meshes.replicated(mesh), meshes.batch_sharded(mesh)
    for function, arrays in (
        (lambda p, k, _: run.method.sample(p, k, ()), (keys, labels)),
        (run.inversion.decode, (latents, labels)),
        (run.inversion.encode, (x, labels)),
    ):
        wanted = np.asarray(function(params, *arrays))

        def check(got, wanted=wanted):
            np.testing.assert_allclose(np.asarray(got).reshape(wanted.shape), wanted, atol=1e-5)

        check(jax.jit(function)(params, *arrays))
        single = lambda p, *a, f=function: f(p, *(y[None] for y in a))  # noqa: E731
        check(jax.vmap(single, in_axes=(None, 0, 0))(params, *arrays))
        parts = (y.reshape((8, 2, *y.shape[1:])) for y in arrays)
        check(jax.pmap(function, in_axes=(None, 0, 0))(params, *parts))
        sharded = jax.jit(function, in_shardings=(same, split, split), out_shardings=split)
        check(sharded(params, *arrays))


def test_every_step_of_a_refinement_counts():
    """With an identity for a decoder, n steps of Adam end where the n-th moves to."""
    refine = make_refine(lambda params, z, labels: z)
    images, labels = jnp.full((3, 4), 0.5), jnp.zeros(3, jnp.int32)
    found = [refine({}, images, labels, jnp.zeros((3, 4)), n, 0.1) for n in range(4)]
    np.testing.assert_allclose([float(x[0, 0]) for x in found], [0, 0.1, 0.2, 0.3], atol=6e-3)
