"""`Trainer`: the same bits as the command, images in memory, folders that all commands accept."""

import json
import os
import shutil
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs as runs

import ddgan_jax
from ddgan_jax import Trainer, UserError
from ddgan_jax.core.images import to_float
from ddgan_jax.data import digits
from ddgan_jax.data.arrays import from_arrays

CONFIG = runs.config_of(*runs.TINY)
DIGITS = digits().take(np.arange(1500))
IMAGES, LABELS = DIGITS["image"], DIGITS["label"]


def config_of(*fields):
    return runs.config_of(*runs.TINY, *runs.flags(fields))


@pytest.fixture(scope="module")
def halfway(tmp_path_factory):
    """A Trainer on the packaged digits after 4 steps, its run folder, and the metrics."""
    trainer = Trainer(CONFIG, IMAGES, LABELS)
    metrics = trainer.step(3), trainer.step()
    return trainer, trainer.save(tmp_path_factory.mktemp("trainer") / "run"), metrics


@pytest.mark.slow
def test_steps_are_those_of_the_command(halfway, tmp_path):
    trainer, folder, metrics = halfway
    straight = runs.trained(tmp_path / "straight")
    runs.assert_same_state(folder, straight, 4)
    line = {k: v for k, v in runs.metrics(straight)[0].items() if "/" in k}
    assert {k: float(f"{v:.6g}") for k, v in metrics[0].items()} == line
    assert {*metrics[1], "disc/r1"} == set(metrics[0])
    assert metrics[1]["gen/loss"] != metrics[0]["gen/loss"]
    saved = ddgan_jax.load(folder).params
    jax.tree.map(np.testing.assert_array_equal, trainer.model.params, saved)
    assert repr(trainer) == "<Trainer ddgan on 1,500 examples (8, 8, 1), step 4 of 8>"


@pytest.mark.slow
def test_the_command_goes_on(halfway, tmp_path, capfd):
    """The run that the command continues ends as one that it trained alone."""
    folder = tmp_path / "run"
    halfway[0].save(folder)
    runs.ok("train", f"--workdir={folder}")
    straight = runs.trained(tmp_path / "straight")
    runs.assert_same_state(folder, straight, 8)
    assert runs.metrics(folder) == runs.metrics(straight)[1:]
    resumed = Trainer(CONFIG, IMAGES, LABELS, workdir=folder)
    assert int(resumed.state.step) == 8
    with pytest.raises(UserError, match=r"n is 1; 1\.\.0 is needed: 8 of 8 steps"):
        resumed.step()


@pytest.mark.slow
def test_a_trainer_goes_on(halfway, tmp_path):
    trainer, folder, _ = halfway
    again = Trainer(CONFIG, IMAGES, LABELS, workdir=folder)
    jax.tree.map(np.testing.assert_array_equal, again.state, trainer.state)
    before = again.state
    again.step(4)
    assert (
        int(before.step) == 4
        and np.isfinite(jax.device_get(before.params["gen"])["out"]["bias"]).all()
    )
    runs.assert_same_state(again.save(tmp_path / "ended"), runs.trained(tmp_path / "straight"), 8)
    with pytest.raises(UserError, match="latent_size"):
        Trainer(config_of("latent_size=5"), IMAGES, LABELS, workdir=folder)
    with pytest.raises(UserError, match="holds a run with other images"):
        Trainer(CONFIG, IMAGES[:100], workdir=folder)


@pytest.mark.slow
def test_the_folder_of_images_in_memory_is_complete(halfway, tmp_path):
    trainer, folder, _ = halfway
    saved = json.loads((folder / "config.json").read_text())["data"]["name"]
    assert saved == f"npz:{folder / 'data.npz'}"
    few = ["eval.num_samples=24", "eval.trials=1", "eval.metrics=frechet"]
    few += ["eval.extractors=digits"]
    out = tmp_path / "out"
    runs.ok("evaluate", f"--workdir={folder}", f"--out={out}", *runs.flags(few))
    assert "frechet_digits_classifier" in (out / "evaluation.json").read_text()
    runs.ok("sample", f"--workdir={folder}", "--num_images=4", "--seed=3", f"--out={out}")
    with np.load(out / "samples.npz") as file:
        drawn = file["images"]
    for seed in (2**32, -1, True, 1.5, "a", None):
        with pytest.raises(UserError, match="seed is"):
            trainer.sample(4, seed=seed)
    ours = trainer.sample(4, seed=np.int64(3))
    assert ours.dtype == np.float32 and ours.shape == (4, 8, 8, 1)
    np.testing.assert_array_equal(np.round((np.clip(ours, -1, 1) + 1) * 127.5), drawn)


@pytest.mark.slow
def test_an_interrupt_loses_no_batch(halfway, monkeypatch, tmp_path):
    trainer = Trainer(CONFIG, IMAGES, LABELS)
    trainer.step(2)
    real, count = trainer._step_fn, []

    def interrupted(variant):
        count.append(variant)
        if len(count) == 2:
            raise KeyboardInterrupt
        return real(variant)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(trainer, "_step_fn", interrupted)
        trainer.step(2)
    trainer.step(1)
    jax.tree.map(np.testing.assert_array_equal, trainer.state, halfway[0].state)


@pytest.mark.slow
def test_an_interrupt_within_a_step_keeps_its_state(halfway, monkeypatch):
    """The step donates the state, so ^C waits until the new one is assigned."""
    trainer = Trainer(CONFIG, IMAGES, LABELS)
    trainer.step(2)
    real = trainer._step_fn

    def interrupted(variant):
        def step(*inputs):
            result = real(variant)(*inputs)
            os.kill(os.getpid(), signal.SIGINT)
            return result

        return step

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(trainer, "_step_fn", interrupted)
        trainer.step(2)
    assert int(trainer.state.step) == 3
    trainer.step(1)
    jax.tree.map(np.testing.assert_array_equal, trainer.state, halfway[0].state)


@pytest.mark.slow
def test_a_damaged_checkpoint_is_set_aside(halfway, tmp_path):
    _, folder, _ = halfway
    shutil.copytree(folder, tmp_path / "run")
    trainer = Trainer(CONFIG, IMAGES, LABELS, workdir=tmp_path / "run")
    trainer.step(2)
    trainer.save()
    for file in (tmp_path / "run/checkpoints/6/state").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    with pytest.warns(UserWarning, match="it is now .*damaged"):
        again = Trainer(CONFIG, IMAGES, LABELS, workdir=tmp_path / "run")
    assert int(again.state.step) == 4
    again.step(2)
    jax.tree.map(np.testing.assert_array_equal, again.state, trainer.state)
    again.save()


@pytest.mark.slow
def test_seed_and_data_of_the_config(halfway):
    by_config = Trainer(CONFIG)
    by_config.step(4)
    jax.tree.map(np.testing.assert_array_equal, by_config.state, halfway[0].state)
    assert by_config.config.data.name == "digits"
    assert Trainer(CONFIG, IMAGES, seed=3).config.seed == 3


@pytest.mark.slow
def test_points(tmp_path):
    points = jnp.asarray(np.random.default_rng(0).standard_normal((64, 2)), jnp.float32)
    trainer = Trainer(CONFIG, points)
    assert trainer.step(1)["gen/loss"] > 0 and trainer.sample(3).shape == (3, 2)
    saved = np.load(trainer.save(tmp_path / "run") / "data.npz")
    np.testing.assert_array_equal(saved["images"], points)
    assert list(saved) == ["images"]


@pytest.mark.slow
def test_a_loss_that_is_not_finite(tmp_path):
    trainer = Trainer(CONFIG, IMAGES, LABELS)
    state = trainer.state
    trainer._state = state._replace(params=jax.tree.map(lambda x: x * np.nan, state.params))
    with pytest.raises(UserError, match=r"step 1, phase disc: \w+ is nan"):
        trainer.step(2)
    with pytest.raises(UserError, match="phase disc"):
        trainer.save(tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_folders_that_are_not_its_own(halfway, tmp_path):
    trainer = halfway[0]
    (tmp_path / "mine").mkdir()
    np.savez(tmp_path / "mine" / "data.npz", images=IMAGES[:9])
    with pytest.raises(UserError, match="other data"):
        trainer.save(tmp_path / "mine")
    other = runs.trained(tmp_path / "other")
    with pytest.raises(UserError, match=r"has steps \[8\]; a folder without steps after 4"):
        trainer.save(other)
    with pytest.raises(UserError, match="path is missing"):
        trainer.save()
    with pytest.raises(UserError, match=r"path is 'pretrained://.*'; a run of the package is only"):
        trainer.save("pretrained://ddgan_digits")
    trainer.save(tmp_path / "run")
    trainer.save(os.path.relpath(tmp_path / "run"))  # the same folder by another name
    another = Trainer(config_of("optim.gen.learning_rate=0.5"), IMAGES, LABELS)
    another.step(4)
    before = runs.listing(tmp_path / "run"), (tmp_path / "run/config.json").read_bytes()
    with pytest.raises(UserError, match="has checkpoints of another training"):
        another.save(tmp_path / "run")
    assert before == (runs.listing(tmp_path / "run"), (tmp_path / "run/config.json").read_bytes())
    for empty in (trainer.save, ddgan_jax.load, lambda path: Trainer(CONFIG, workdir=path)):
        with pytest.raises(UserError, match="empty"):
            empty("")
    with pytest.raises(UserError, match="without images"):
        Trainer(CONFIG, labels=LABELS)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"config": {"method": "gan"}}, "config is .*; a ConfigDict"),
        ({"config": None}, "config is None"),
        ({"seed": 1.5}, "seed is 1.5; an integer"),
        ({"seed": True}, "seed is True"),
        ({"value_range": 1}, "value_range is 1"),
        ({"init_from": 5}, "init_from is 5"),
        ({"workdir": 5}, "5 is no path"),
    ],
)
def test_arguments_of_other_types(options, words):
    arguments = {"config": CONFIG, "images": IMAGES, **options}
    with pytest.raises(UserError, match=words):
        Trainer(**arguments)


def test_the_caller_keeps_the_arrays(halfway):
    images, labels = IMAGES.copy(), LABELS.copy()
    trainer = Trainer(CONFIG, images, labels, seed=np.int64(0))
    images[:], labels[:] = 0, 0
    for n in (1.5, "2", True):
        with pytest.raises(UserError, match="an integer is needed"):
            trainer.step(n)
    trainer.step(4)
    jax.tree.map(np.testing.assert_array_equal, trainer.state, halfway[0].state)


# --- how arrays are read --------------------------------------------------------------------------


def read(images, **options):
    return from_arrays(images, **options).take(np.arange(len(images)))["image"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_are_the_8_bits_that_they_were_made_of(dtype):
    as_is = to_float(IMAGES).astype(dtype)
    for images in (as_is, IMAGES / dtype(255), jnp.asarray(as_is, jnp.float32), IMAGES):
        np.testing.assert_array_equal(read(images), IMAGES)
    bright = (to_float(IMAGES).clip(0.2), (0.0 + IMAGES).clip(51) / 255)
    for images in bright:
        with pytest.raises(UserError, match=r"value_range=\(0, 1\) or value_range=\(-1, 1\)"):
            read(images)
    low, high = read(bright[0], value_range=(-1, 1)), read(bright[1], value_range=(0, 1))
    np.testing.assert_array_equal(low, IMAGES.clip(153))
    np.testing.assert_array_equal(high, IMAGES.clip(51))


@pytest.mark.parametrize(
    ("images", "options", "words"),
    [
        (IMAGES.astype(np.float32), {}, r"in \[0, 255\]; uint8, or floats in \[-1, 1\]"),
        (3 * to_float(IMAGES), {}, r"in \[-3, 3\]"),
        (to_float(IMAGES).clip(-0.3), {}, "may be a part"),
        (to_float(IMAGES), {"value_range": (0, 1)}, "values >= 0"),
        (to_float(IMAGES), {"value_range": (0, 255)}, r"value_range is \(0, 255\)"),
        (IMAGES, {"value_range": (0, 1)}, "images of floats"),
        (np.full((2, 4, 4, 1), np.nan), {}, "NaN"),
        (IMAGES.astype(np.int32), {}, "int32"),
        (np.zeros((2, 4, 4, 2), np.uint8), {}, "1 or 3"),
        (np.zeros((0, 4, 4, 1), np.uint8), {}, "at least one"),
        (np.array([["a"]]), {}, "needed"),
        (IMAGES, {"labels": LABELS[:5]}, "labels are"),
    ],
)
def test_arrays_that_are_refused(images, options, words):
    with pytest.raises(UserError, match=words):
        from_arrays(images, **options)
