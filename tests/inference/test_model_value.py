"""What the package and a loaded model show of themselves, and that loading is silent."""

import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
import tiny_runs as runs

import ddgan_jax
from ddgan_jax import UserError
from ddgan_jax.inference import sampling
from ddgan_jax.inference.latents import latent_shape
from ddgan_jax.io import checkpoint
from tests.demo.a_model import inverting

PRETRAINED = runs.ROOT / "ddgan_jax" / "pretrained"
SHIPPED = PRETRAINED / "ddgan_digits"


def test_dir_has_the_public_names_only():
    ddgan_jax.load(SHIPPED)  # imports much of the package
    assert dir(ddgan_jax) == ["Model", "Trainer", "UserError", "__version__", "load"]
    assert all(getattr(ddgan_jax, name) for name in dir(ddgan_jax))


def test_the_repr_of_a_model_is_one_line():
    model = ddgan_jax.load(SHIPPED)
    said = repr(model)
    assert "\n" not in said and len(said) < 120
    for part in ("ddgan", "digits", "step 8000", "(8, 8, 1)", "parameters"):
        assert part in said
    model.config.data.name = "npz:/a/long/path/data.npz"
    assert " on npz:data.npz, " in repr(model)


def test_loading_the_shipped_model_warns_of_nothing():
    code = f"import ddgan_jax; print(ddgan_jax.load({str(SHIPPED)!r}).step)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=runs.environment(),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "8000\n", "")


def test_drawing_again_does_not_compile_again():
    model = ddgan_jax.load(SHIPPED)
    sampling._compiled.cache_clear()
    first, second = (model.sample(jax.random.key(0), 4) for _ in range(2))
    assert (first == second).all()
    assert (sampling._compiled.cache_info().misses, sampling._compiled.cache_info().hits) == (1, 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x.astype(int), "images are int64; uint8, or floats"),
        (lambda x: x.astype(np.uint16), "images are uint16"),
        (lambda x: x > 5, "images are bool"),
        (lambda x: x.astype(np.float32), "images are float32 up to 255"),
        (lambda x: x * np.float32("nan"), "images are float32 up to nan"),
    ],
)
def test_images_of_another_range_are_not_encoded(change, words):
    model = ddgan_jax.load(PRETRAINED / "dddg_mnist28")
    images = np.full((2, 28, 28, 1), 255, np.uint8)
    with pytest.raises(UserError, match=words):
        model.encode(change(images), np.zeros(2, int))


def test_images_of_several_shapes_are_not_encoded():
    model = ddgan_jax.load(PRETRAINED / "dddg_mnist28")
    with pytest.raises(UserError, match="images have different shapes"):
        model.encode([np.zeros((28, 28, 1)), np.zeros((27, 28, 1))], np.zeros(2, int))


def test_latents_of_another_shape_are_not_decoded():
    model = inverting()
    shape = latent_shape(model.method, model.params, model.shape)
    images, labels = np.zeros((2, *model.shape), np.uint8), np.zeros(2, int)
    right = np.asarray(model.encode(images, labels))
    assert right.shape == (2, *shape)
    wrong = (right[..., :-1], right[:, :1], right[0], right.astype(int), right * np.nan, 3.0)
    calls = (
        lambda z: model.decode(z, labels),
        lambda z: model.path(z, labels),
        lambda z: model.interpolate(right, z, labels),
        lambda z: model.interpolate(z, right, labels),
        lambda z: model.refine(images, z, labels, steps=1),
        lambda z: model.edit(z, 0, 0, np.zeros(1), labels),
    )
    for call in calls:
        call(right)
        for latents in wrong:
            with pytest.raises(UserError, match=r"^latents (have|are) .* needed$"):
                call(latents)
    for call in calls[2], calls[4]:
        with pytest.raises(UserError, match=r"^latents have shape \(1, .*; \[2, "):
            call(right[:1])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0, 3), "key is not a typed PRNG key"),
        ((None, 2), "key is not a typed PRNG key"),
        ((jax.random.PRNGKey(0), 2), "key is not a typed PRNG key"),
        ((jax.random.key(0), 2.5), "count is 2.5"),
        ((jax.random.key(0), "2"), "count is '2'"),
        ((jax.random.key(0), 2, 0), "batch_size is 0"),
        ((jax.random.key(0), 2, "8"), "batch_size is '8'"),
        ((jax.random.key(0), 2, 2, None, "a"), "truncation_psi is 'a'"),
        ((jax.random.key(0), 2, 2, None, np.nan), "truncation_psi is nan"),
        ((jax.random.key(0), 2, 2, None, 0.5, 1.5), "truncation_cutoff is 1.5"),
    ],
)
def test_samples_that_cannot_be_drawn(arguments, words):
    with pytest.raises(UserError, match=words):
        ddgan_jax.load(PRETRAINED / "ddgan_digits").sample(*arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"config": {}}, "config is {}"),
        ({"devices": "cpu"}, "devices is 'cpu'"),
        ({"devices": []}, r"devices is \[\]"),
        ({"devices": 5}, "devices is 5"),
        ({"raw": True}, "has averaged weights only"),
        ({"workdir": None}, "None is no path"),
        ({"workdir": ""}, "is empty"),
        ({"workdir": "\ud800"}, "a name in UTF-8 is needed"),
    ],
)
def test_models_that_cannot_be_loaded(arguments, words):
    with pytest.raises(UserError, match=words):
        ddgan_jax.load(**{"workdir": PRETRAINED / "ddgan_digits", **arguments})


def test_weights_that_are_not_finite_draw_nothing(tmp_path):
    """Else their images would be black, and have a distance."""
    params = jax.tree.map(np.array, ddgan_jax.load(SHIPPED).params)
    jax.tree.leaves(params["gen"])[0].flat[0] = np.nan
    for name in ("config.json", "info.json"):
        shutil.copy(SHIPPED / name, tmp_path / name)
    with checkpoint.opened(tmp_path) as manager:
        checkpoint.save_ema(manager, 8, params)
    with pytest.raises(UserError, match=r"checkpoint 8 .* array 'gen/.*' is not finite"):
        ddgan_jax.load(tmp_path)


def test_settings_of_jax_that_change_what_seeds_draw(tmp_path, capfd):
    args = ["sample", "--workdir=pretrained://ddgan_digits", f"--out={tmp_path}"]
    with jax.enable_x64(True):
        runs.fails(capfd, args, "JAX_ENABLE_X64 is True", "False is needed")
    with jax.threefry_partitionable(False):
        runs.fails(capfd, args, "JAX_THREEFRY_PARTITIONABLE is False")
