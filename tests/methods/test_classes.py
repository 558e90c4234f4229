"""Class-conditional variants of the methods."""

import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_methods as tiny
import tiny_runs as runs

import ddgan_jax
from ddgan_jax.core.errors import UserError
from ddgan_jax.core.random import sample_keys
from ddgan_jax.core.types import Context
from ddgan_jax.data import digits
from ddgan_jax.evaluation.evaluator import conditional_numbers, make_evaluator
from ddgan_jax.methods import build_method
from ddgan_jax.methods import conditioning as parts
from ddgan_jax.networks import GENERATORS, build_network
from ddgan_jax.parallel.mesh import make_mesh
from ddgan_jax.presets import DIGITS, gan, on_digits

CLASSES, SHAPE = 3, (2,)


def ddpm_config():
    config = tiny.ddpm_config()
    config.sampler.clip = False  # at the border samples would look the same
    return config


CONFIGS = {
    "gan": tiny.gan_config,
    "gan_highdim": tiny.gan_highdim_config,
    "diffusion_gan": tiny.diffusion_gan_config,
    "ddgan": tiny.mlp_config,
    "difgan": tiny.difgan_config,
    "ddpm": ddpm_config,
}


QUICK = ("gan", "ddgan")


@pytest.fixture(
    scope="module",
    params=[pytest.param(c, marks=() if c in QUICK else pytest.mark.slow) for c in CONFIGS],
)
def method(request):
    config = CONFIGS[request.param]()
    config.classes = CLASSES
    return build_method(config, SHAPE)


def conditional_params(method):
    """Of a model whose embedding of the class is not small."""
    return jax.jit(method.init)(jax.random.key(0))


def context(method, label):
    batch = {
        "image": jax.random.normal(jax.random.key(1), (4, *SHAPE)),
        "label": jnp.full(4, label, jnp.int32),
    }
    carry = method.carry_init(jax.random.key(2))
    return Context(batch, jax.random.key(3), jnp.int32(0), carry, ())


def of_classes(generator):
    """The weights by which the generator's first block sees the class [CLASSES, width]."""
    return generator["trunk"]["block_0_emb"]["kernel"][-CLASSES:]


@pytest.mark.slow
def test_only_the_class_of_the_sample_learns(method):
    """Only the class's embedding and its discriminator output get a gradient, in every phase."""
    params = conditional_params(method)

    @jax.jit
    def gradients(params, context):
        def total(p, phase):
            value = phase.loss(p, context)[0]
            return value + (phase.regularizer(p, context)[0] if phase.regularizer else 0.0)

        return {phase.role: jax.grad(total)(params, phase) for phase in method.phases}

    found = gradients(params, context(method, 1))
    for role, grads in found.items():
        if "disc" in params:
            moved = jnp.abs(grads["disc"]["out"]["bias"]) > 0
            assert moved.tolist() == [False, True, False], role
            assert not np.any(grads["disc"]["out"]["kernel"][:, [0, 2]]), role
    moved = jnp.abs(of_classes(found["gen"]["gen"])).max(axis=1) > 0
    assert moved.tolist() == [False, True, False]


def test_samples_have_classes(method):
    """Classes are drawn evenly: changing the weights of one class changes a third of samples."""
    params = conditional_params(method)
    keys = sample_keys(jax.random.key(5), 0, 60)
    sample = jax.jit(method.sample)
    before = np.asarray(sample(params, keys, ()))
    kernel = params["gen"]["trunk"]["block_0_emb"]["kernel"]
    changes = []
    for label in range(CLASSES):
        params["gen"]["trunk"]["block_0_emb"]["kernel"] = kernel.at[label - CLASSES].add(1.0)
        after = np.asarray(sample(params, keys, ()))
        changes.append(np.abs(after - before).max(axis=1) > 1e-4)
    assert (np.sum(changes, axis=0) == 1).all()  # each sample is of one class
    assert all(10 <= np.sum(change) <= 30 for change in changes)


@pytest.mark.slow
def test_the_class_that_is_asked_for(method):
    """A sample of a drawn class equals the sample of that class given as a label."""
    params, keys = conditional_params(method), sample_keys(jax.random.key(5), 0, 12)
    sample = jax.jit(method.sample)
    drawn = np.asarray(sample(params, keys, ()))
    asked = [sample(params, keys, (), jnp.full(12, label, jnp.int32)) for label in range(CLASSES)]
    same = np.abs(np.stack(asked) - drawn).max(axis=2) < 1e-5
    assert (same.sum(axis=0) == 1).all() and (same.sum(axis=1) > 0).all()


def test_label_accuracy():
    """A model that returns data of the right class scores 1, of the next class 0."""
    config = on_digits(gan(noise="image", **DIGITS))
    evaluator = make_evaluator(config, make_mesh())
    images = digits("train").take(np.arange(300))

    def model(shift, classes=10):
        def batches(key, count, labels):
            for label in labels:
                of_label = np.flatnonzero(images["label"] == (label + shift) % 10)
                yield images["image"][of_label[:1]] / np.float32(127.5) - 1

        return SimpleNamespace(classes=classes, batches=batches)

    def accuracy(model):
        return conditional_numbers(evaluator, model, jax.random.key(0), 40)

    assert accuracy(model(0)) == {"label_accuracy_digits_classifier": 1.0}
    assert accuracy(model(1)) == {"label_accuracy_digits_classifier": 0.0}
    assert accuracy(model(0, classes=0)) == accuracy(model(0, classes=3)) == {}


def test_labels_are_even_and_a_function_of_the_key():
    keys = sample_keys(jax.random.key(0), 0, 3000)
    labels = parts.draw_labels(keys, 7, 4)
    assert labels.dtype == jnp.int32 and np.abs(np.bincount(labels) / 3000 - 0.25).max() < 0.03
    np.testing.assert_array_equal(parts.draw_labels(keys[5:9], 7, 4), labels[5:9])
    assert np.any(parts.draw_labels(keys, 8, 4) != labels)
    assert not parts.draw_labels(keys, 7, 0).any()


def test_the_class_stands_behind_the_latent():
    z, labels = jnp.ones((2, 3)), jnp.array([1, 0])
    code = parts.append_class(z, labels, 4)
    np.testing.assert_allclose(code, [[1, 1, 1, 0, 2, 0, 0], [1, 1, 1, 2, 0, 0, 0]])
    assert parts.append_class(z, labels, 0) is z
    values = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(parts.select_class(values, labels), [2, 3])
    assert parts.select_class(z[:, 0], labels).shape == (2,)


@pytest.mark.slow
def test_a_run_with_classes(tmp_path, capfd):
    """Training, sampling and evaluation with classes by the command line."""
    command = [*runs.TINY, f"--workdir={tmp_path / 'run'}"]
    runs.fails(capfd, [*command, "--config.classes=9"], "config.classes", "9", "largest label")
    runs.ok(*command, "--config.classes=10")
    model = ddgan_jax.load(tmp_path / "run")
    assert model.params["gen"]["trunk"]["block_0_emb"]["kernel"].shape[0] == 8 + 4 + 10
    assert np.isfinite(model.sample(jax.random.key(0), 5)).all()
    assert model.sample(jax.random.key(0), 5, labels=[0, 1, 2, 3, 9]).shape == (5, 8, 8, 1)
    few = ("--config.eval.num_samples=60", "--config.eval.trials=1")
    runs.ok("--mode=evaluate", f"--workdir={tmp_path / 'run'}", *few)
    metrics = json.loads((tmp_path / "run/evaluation.json").read_text())["metrics"]
    assert 0 <= metrics["label_accuracy_digits_classifier"] < 0.5  # it has hardly been trained
    plain = runs.trained(tmp_path / "plain")
    with pytest.raises(UserError, match="unconditional"):
        ddgan_jax.load(plain).sample(jax.random.key(0), 5, labels=0)


SIZES = {
    "ncsnpp": dict(width=8, multipliers=(1,), blocks=1, attention=(), z_width=8, z_layers=1),
    "wavelet_ncsnpp": dict(
        width=8, multipliers=(1,), blocks=1, attention=(), z_width=8, z_layers=1
    ),
    "resblock": dict(width=8, multipliers=(1,), blocks=1, t_width=8),
    "uvit": dict(width=8, blocks=2, heads=2, patch=2, z_width=8, z_layers=1),
    "mlp": dict(width=8, blocks=1, t_width=8, octaves=0, tanh=False),
    "ddpm_unet": dict(width=8, multipliers=(1,), blocks=1, attention=(), groups=4),
}


@pytest.mark.parametrize("name", GENERATORS)
def test_generators_see_the_class_or_are_refused(name):
    config = tiny.ddpm_config()
    config.gen, config.classes = {"network": name, **SIZES[name]}, CLASSES
    if name == "ddpm_unet":
        words = "config.gen.network is 'ddpm_unet', which takes no classes"
        with pytest.raises(UserError, match=words):
            build_method(config, (8, 8, 1))
        with pytest.raises(UserError, match="which takes no latent"):
            latent = tiny.mlp_config()
            latent.gen = config.gen
            build_method(latent, (8, 8, 1))
        return
    generator = build_network(config, "gen", GENERATORS, (8, 8, 1))
    x, t = jnp.ones((CLASSES, 8, 8, 1)), jnp.zeros(CLASSES, jnp.int32)
    z = parts.append_class(parts.constant_latent(CLASSES), jnp.arange(CLASSES), CLASSES)
    shapes = jax.eval_shape(generator.init, jax.random.key(0), x, t, z)
    random = np.random.default_rng(0)
    weights = jax.tree.map(lambda w: random.normal(size=w.shape).astype(np.float32), shapes)
    out = np.asarray(jax.jit(generator.apply)(weights, x, t, z))
    assert np.isfinite(out).all() and np.abs(out[0] - out[1]).max() > 1e-3
