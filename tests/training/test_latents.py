"""Latent space: encode, decode, scale, cache of latents, and whole runs from the command line."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_runs import (
    ROOT,
    TINY_AUTOENCODER,
    assert_same_state,
    fails,
    flags,
    metrics,
    ok,
    one_line,
    rewind,
    tiny_lddgan,
)
from torch_writer import write_torch

from ddgan_jax.cli import main
from ddgan_jax.config.overrides import load_config_file, override
from ddgan_jax.config.stored import read_config
from ddgan_jax.core.types import Carry, Context
from ddgan_jax.data import load_source
from ddgan_jax.inference.model import load
from ddgan_jax.interop.autoencoder import autoencoder_entries
from ddgan_jax.interop.ddgan import generator_entries
from ddgan_jax.interop.names import to_arrays
from ddgan_jax.interop.torch_file import read_torch
from ddgan_jax.methods import complete_config
from ddgan_jax.networks import AUTOENCODERS, GENERATORS, build_network
from ddgan_jax.parallel import mesh as meshes
from ddgan_jax.spaces import autoencoder_folder, build_space, latent_cache
from ddgan_jax.spaces.latent import _stored, latent


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory):
    """The run folder of a trained autoencoder; tests must not change it."""
    folder = tmp_path_factory.mktemp("autoencoder") / "run"
    ok(*TINY_AUTOENCODER, f"--workdir={folder}")
    return folder


@pytest.fixture(scope="module")
def finished(autoencoder, tmp_path_factory):
    """A run in its latents with checkpoints at 4 and 8; the autoencoder's folder was deleted."""
    base = tmp_path_factory.mktemp("lddgan")
    named = shutil.copytree(autoencoder, base / "named")
    args = tiny_lddgan(named, "train.checkpoint_every=4 steps")
    ok(*args, f"--workdir={base / 'run'}")
    shutil.rmtree(named)
    return args, base / "run"


class Halves:
    """Autoencoder E(x) = x + one, D(z) = z - one, with the frozen parameter `one`."""

    def apply(self, params, x, method):
        one = params["params"]["one"]
        return (x + one, None) if method == "encode" else x - one


def test_encode_and_decode_scale():
    space = latent(Halves(), (2, 2, 1), (2, 2, 1))
    frozen = {"autoencoder": {"one": jnp.float32(1)}, "scale": jnp.float32(4)}
    image = np.array([0, 255, 51, 102], np.uint8).reshape(1, 2, 2, 1)
    x = space.encode(jnp.asarray(image), frozen)
    np.testing.assert_allclose(x, image.astype(np.float32) / 127.5 / 4, rtol=1e-6)
    np.testing.assert_allclose(space.decode(x, frozen), image / 127.5 - 1, atol=1e-6)
    beyond = space.decode(jnp.full((1, 2, 2, 1), 1.0), frozen)  # 4 - 1
    np.testing.assert_array_equal(beyond, np.ones((1, 2, 2, 1)))
    cached = jnp.full((1, 2, 2, 1), 8.0)
    np.testing.assert_array_equal(space.encode(cached, frozen), cached / 4)


class Gaussian:
    """Autoencoder with the mean x + one and the variance one^2 of its latents."""

    def apply(self, params, x, method):
        one = params["params"]["one"]
        return (x + one, jnp.full(x.shape, 2 * jnp.log(one))) if method == "encode" else x - one


def test_draws_of_the_posterior():
    """(mean + std noise) / scale, from images and from what the cache holds of them alike."""
    space = latent(Gaussian(), (2, 2, 1), (2, 2, 1), sample=True)
    frozen = {"autoencoder": {"one": jnp.float32(3)}, "scale": jnp.float32(4)}
    images = jnp.full((4000, 2, 2, 1), 255, jnp.uint8)
    drawn = np.asarray(space.draw(jax.random.key(0), images, frozen))
    np.testing.assert_allclose((drawn.mean(), drawn.std()), (1, 3 / 4), atol=0.02)
    stored = _stored(space, Gaussian(), (2, 2, 1))
    assert stored.shape == (2, 2, 2)
    cached = stored.encode(images, {**frozen, "scale": jnp.float32(1)})
    assert cached.shape == (4000, 2, 2, 2)
    np.testing.assert_allclose(space.draw(jax.random.key(0), cached, frozen), drawn, rtol=1e-6)
    np.testing.assert_allclose(space.encode(cached, frozen), np.ones((4000, 2, 2, 1)), rtol=1e-6)
    assert latent(Gaussian(), (2, 2, 1), (2, 2, 1)).draw is None


def test_losses_of_a_phase_see_the_same_draw():
    space = latent(Gaussian(), (2, 2, 1), (2, 2, 1), sample=True)
    frozen = {"autoencoder": {"one": jnp.float32(3)}, "scale": jnp.float32(4)}
    batch = {"image": jnp.zeros((5, 2, 2, 1), jnp.uint8)}
    context = Context(batch, jax.random.key(0), jnp.int32(0), Carry(), frozen)
    first = space.training_batch(context)
    np.testing.assert_array_equal(space.training_batch(context), first)
    other = space.training_batch(context._replace(key=jax.random.key(1)))
    assert np.abs(np.asarray(other - first)).min() > 0


@pytest.mark.slow
def test_a_run_on_draws_of_the_posterior(autoencoder, tmp_path, capfd):
    """The cache holds means and variances; an autoencoder without KL is refused."""
    fails(
        capfd,
        [*tiny_lddgan(autoencoder, "space.sample=true"), f"--workdir={tmp_path / 'no'}"],
        "config.space.sample is True",
        "config.loss.kl",
    )
    folder = tmp_path / "ae"
    ok(*TINY_AUTOENCODER, "--config.loss.kl=1e-3", f"--workdir={folder}")
    losses = []
    for sample in ("true", "false"):
        run = tmp_path / sample
        ok(*tiny_lddgan(folder, f"space.sample={sample}"), f"--workdir={run}")
        losses.append(metrics(run)[-1]["disc/loss"])
        assert load(run).sample(jax.random.key(0), 2).shape == (2, 8, 8, 1)
    assert losses[0] != losses[1]
    scales = [
        json.loads((tmp_path / s / "autoencoder/scale.json").read_text()) for s in ("true", "false")
    ]
    assert scales[0] == scales[1]  # of the means


@pytest.mark.slow
@pytest.mark.parametrize("flip", [False, True])
def test_cached_latents_are_fresh_ones(autoencoder, flip, tmp_path, monkeypatch):
    monkeypatch.setenv("DDGAN_CACHE", str(tmp_path))
    config = read_config(autoencoder)
    config.space = {
        "kind": "latent",
        "autoencoder": str(autoencoder),
        "scale": 0.0,
        "unit": "largest",
    }
    config.data.flip = flip
    source = load_source(config.data)
    frozen = autoencoder_folder.load(config, source.shape, meshes.make_mesh())
    feed, largest = latent_cache.encoded(config, build_space(config, source.shape), source, frozen)
    assert feed.size == (2 if flip else 1) * source.size and feed.shape == (4, 4, 2)

    indices = np.array([0, 7, source.size - 1])
    space = build_space(config, source.shape)
    for half in range(2 if flip else 1):
        examples = source.take(indices)
        image = examples["image"][:, :, ::-1] if half else examples["image"]
        cached = feed.take(indices + half * source.size)
        np.testing.assert_array_equal(cached["label"], examples["label"])
        fresh = space.encode(jnp.asarray(image), frozen)
        seen = space.encode(jnp.asarray(cached["image"]), frozen)
        np.testing.assert_allclose(seen, fresh, rtol=1e-4, atol=1e-5)
    whole = feed.take(np.arange(feed.size))["image"]
    assert largest == np.abs(whole).max()

    (file,) = (tmp_path / "latents").glob("*.npy")
    before = file.stat().st_mtime_ns
    again, _ = latent_cache.encoded(config, build_space(config, source.shape), source, frozen)
    assert file.stat().st_mtime_ns == before
    np.testing.assert_array_equal(again.take(indices)["image"], feed.take(indices)["image"])
    other = {**frozen, "autoencoder": jax.tree.map(lambda x: x + 1, frozen["autoencoder"])}
    changed, _ = latent_cache.encoded(config, build_space(config, source.shape), source, other)
    assert len(list((tmp_path / "latents").glob("*.npy"))) == 2
    assert not np.array_equal(changed.take(indices)["image"], feed.take(indices)["image"])


@pytest.mark.slow
def test_the_run_folder_suffices(finished, tmp_path):
    """Resuming, sampling and export after the autoencoder's own folder was deleted."""
    args, run = finished
    scale = json.loads((run / "autoencoder" / "scale.json").read_text())["scale"]
    model = load(run)
    assert float(model.frozen["scale"]) == np.float32(scale)
    images = model.sample(jax.random.key(0), 5)
    assert images.shape == (5, 8, 8, 1) and np.isfinite(images).all()
    whole = shutil.copytree(run, tmp_path / "run")
    ok(*args, f"--workdir={whole}", "--config.train.duration=9 steps")
    assert metrics(whole)[-1]["step"] == 9
    ok("--mode=export", f"--workdir={run}", f"--out={tmp_path / 'small'}")
    np.testing.assert_array_equal(load(tmp_path / "small").sample(jax.random.key(0), 5), images)
    assert not (run / "autoencoder" / "checkpoints" / "8" / "state").exists()


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["largest", "deviation"])
def test_latents_of_the_training_data_are_of_unit_size(finished, unit):
    _, run = finished
    config = autoencoder_folder.use_local_copy(read_config(run), run)
    config.space.unit = unit
    frozen = autoencoder_folder.load(config, (8, 8, 1), meshes.make_mesh())
    source = load_source(config.data)
    space = build_space(config, source.shape)
    frozen["scale"] = jnp.float32(latent_cache.encoded(config, space, source, frozen)[1])
    images = jnp.asarray(source.take(np.arange(source.size))["image"])
    x = np.asarray(space.encode(images, frozen))
    size = np.abs(x).max() if unit == "largest" else np.sqrt(np.square(x).mean())
    np.testing.assert_allclose(size, 1, rtol=1e-4)


@pytest.mark.slow
def test_the_scale_of_a_run_is_the_measured_one(finished):
    _, run = finished
    config = autoencoder_folder.use_local_copy(read_config(run), run)
    frozen = autoencoder_folder.load(config, (8, 8, 1), meshes.make_mesh())
    assert config.space.unit == "deviation"
    source = load_source(config.data)
    space = build_space(config, source.shape)
    measured = latent_cache.encoded(config, space, source, frozen)[1]
    np.testing.assert_allclose(frozen["scale"], measured, rtol=1e-6)


def test_run_folders_from_before_there_was_a_choice_of_unit(tmp_path):
    config = load_config_file(f"{ROOT}/configs/lddgan_digits.py").to_dict()
    del config["space"]["unit"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert complete_config(read_config(tmp_path)).space.unit == "largest"
    config["space"] = {"kind": "pixels"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert "unit" not in complete_config(read_config(tmp_path)).space


@pytest.mark.slow
def test_resume_is_bit_exact(finished, tmp_path):
    args, run = finished
    resumed = shutil.copytree(run, tmp_path / "resumed")
    rewind(resumed, 4)
    ok(*args, f"--workdir={resumed}")
    assert_same_state(run, resumed, 8)
    assert metrics(run) == metrics(resumed)


@pytest.mark.slow
def test_evaluation_in_both_ways(autoencoder, finished, tmp_path):
    """The autoencoder's reconstructions of test images; the GAN's samples."""
    out = f"--out={tmp_path}"
    ok("--mode=evaluate", f"--workdir={autoencoder}", out, "--config.eval.split=test")
    report = json.loads((tmp_path / "evaluation.json").read_text())
    assert {"psnr", "ssim", "frechet_digits_classifier"} <= report["metrics"].keys()
    assert "speed" not in report and report["protocol"]["samples"] == 40
    few = ("--config.eval.num_samples=40", "--config.eval.trials=1")
    ok("--mode=evaluate", f"--workdir={finished[1]}", out, *few)
    report = json.loads((tmp_path / "evaluation.json").read_text())
    assert "psnr" not in report["metrics"] and report["speed"]["nfe"] == 2


@pytest.mark.slow
def test_reconstruction_of_the_autoencoder(autoencoder, tmp_path):
    ok("--mode=reconstruct", f"--workdir={autoencoder}", f"--out={tmp_path}", "--num_images=12")
    with np.load(tmp_path / "reconstructions.npz") as file:
        assert file["latents"].shape == (12, 4, 4, 2)
        assert file["reconstructions"].shape == (12, 8, 8, 1)
    quality = json.loads((tmp_path / "reconstruction.json").read_text())["quality"]
    assert {"encoder", "pca_of_32", "mean_image"} <= quality.keys()
    assert (tmp_path / "reconstructions.png").is_file()


@pytest.mark.slow
def test_bad_input_is_one_line(autoencoder, finished, tmp_path, capfd):
    run = f"--workdir={tmp_path / 'run'}"
    field = "config.space.autoencoder is"
    fails(capfd, [*tiny_lddgan(tmp_path / "none"), run], field, "none", "autoencoder_*.py")
    fails(
        capfd,
        [*tiny_lddgan(finished[1]), run],
        field,
        "of an autoencoder, not of method 'ddgan'",
    )
    bounded = [*tiny_lddgan(autoencoder, "gen.tanh=true"), run]
    fails(capfd, bounded, "config.gen.tanh is True", "space.unit='deviation'")
    small = tiny_lddgan(autoencoder, "data.image_size=4")
    fails(capfd, [*small, run], field, "(4, 4, 1)", "(8, 8, 1)")
    empty = shutil.copytree(autoencoder, tmp_path / "empty")
    shutil.rmtree(empty / "checkpoints")
    fails(capfd, [*tiny_lddgan(empty), run], "no checkpoint", str(empty))
    broken = shutil.copytree(finished[1], tmp_path / "broken")
    (broken / "autoencoder" / "scale.json").write_text("{")
    fails(capfd, ["--mode=sample", f"--workdir={broken}"], "scale.json cannot be read")
    sample = ["--mode=sample", f"--workdir={autoencoder}"]
    fails(capfd, sample, "draws no samples", "ddgan_jax reconstruct")
    fails(
        capfd, ["--mode=reconstruct", f"--workdir={finished[1]}"], "method is 'ddgan'", "inversion"
    )
    assert not (tmp_path / "run").exists()


def convert(source, config, fields, *args):
    command = [f"--source={source}", f"--config={ROOT}/configs/{config}.py", *flags(fields)]
    return main(["convert", *command, *map(str, args)])


@pytest.mark.slow
def test_published_checkpoints(tmp_path, capfd):
    """Import an autoencoder, then a GAN in its latents with the scale of its training."""
    fields = ["autoencoder.width=4", "autoencoder.blocks=1", "disc.width=4", "data.image_size=16"]
    config = load_config_file(f"{ROOT}/configs/autoencoder_cifar10.py")
    config = override(config, dict(field.split("=") for field in fields))
    module = build_network(config, "autoencoder", AUTOENCODERS, (16, 16, 3))
    params = jax.jit(module.init)(jax.random.key(0), jnp.zeros((1, 16, 16, 3)))["params"]
    arrays = to_arrays(params, autoencoder_entries(params))
    others = {"loss.logvar": np.zeros(1, np.float32)}
    write_torch(tmp_path / "model.ckpt", {**arrays, **others}, stream=False)
    ae = tmp_path / "ae"
    place = (f"--checkpoint={tmp_path / 'model.ckpt'}", f"--workdir={ae}")
    assert convert("ldm_autoencoder", "autoencoder_cifar10", fields, *place) == 0
    model = load(ae)
    image = np.zeros((1, 16, 16, 3), np.float32)
    expected, _ = module.apply({"params": params}, image, method="encode")
    np.testing.assert_allclose(model.encode(image), expected, rtol=1e-4, atol=1e-5)
    back = tmp_path / "back.ckpt"
    assert main(["convert", f"--workdir={ae}", f"--export={back}"]) == 0
    found = read_torch(back)
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)

    sizes = ["gen.width=8", "gen.blocks=1", "gen.z_width=8", "gen.z_layers=1", "latent_size=4"]
    small = [*sizes, "gen.multipliers=1,2", "disc.width=4", "data.image_size=16"]
    fields = [*small, f"space.autoencoder={ae}"]
    config = load_config_file(f"{ROOT}/configs/lddgan_cifar10.py")
    config = override(config, dict(field.split("=", 1) for field in fields))
    x, t, z = jnp.zeros((1, 8, 8, 4)), jnp.zeros(1, jnp.int32), jnp.zeros((1, 4))
    generator = build_network(config, "gen", GENERATORS, (8, 8, 4))
    tree = jax.eval_shape(generator.init, jax.random.key(0), x, t, z)["params"]
    ones = jax.tree.map(lambda x: np.ones(x.shape, np.float32), tree)
    arrays = to_arrays(ones, generator_entries(tree))
    write_torch(tmp_path / "netG.pth", arrays, stream=False)
    place = (f"--checkpoint={tmp_path / 'netG.pth'}", f"--workdir={tmp_path / 'gan'}")
    assert convert("lddgan", "lddgan_cifar10", fields, *place) == 1
    one_line(capfd.readouterr().err, ["config.space.scale is 0.0"])
    assert convert("lddgan", "lddgan_cifar10", [*fields, "space.scale=105"], *place) == 0
    shutil.rmtree(ae)
    assert float(load(tmp_path / "gan").frozen["scale"]) == 105


@pytest.mark.slow
@pytest.mark.parametrize("name", ["", "/scale.json", "/config.json", "/checkpoints/8/ema/d"])
def test_links_out_of_the_copy_of_the_autoencoder_are_refused(finished, tmp_path, name, capfd):
    run = shutil.copytree(finished[1], tmp_path / "run")
    link = run / f"autoencoder{name}"
    link.rename(tmp_path / "outside")
    link.symlink_to(tmp_path / "outside")
    for command in ("sample", "export"):
        args = [f"--mode={command}", f"--workdir={run}", f"--out={tmp_path / command}"]
        fails(capfd, args, "is a link out of")


@pytest.mark.parametrize("content", [None, "{}", '{"scale": 0}', '{"scale": "1"}'])
@pytest.mark.slow
def test_a_copy_without_a_scale_is_refused(finished, tmp_path, content, capfd):
    _, done = finished
    run = shutil.copytree(done, tmp_path / "run")
    scale = run / "autoencoder" / "scale.json"
    scale.unlink() if content is None else scale.write_text(content)
    fails(capfd, ["--mode=sample", f"--workdir={run}", "--num_images=1"], "scale.json", "scale")


@pytest.mark.slow
def test_an_autoencoder_that_moved_is_the_same_and_another_is_not(
    autoencoder, finished, tmp_path, capfd
):
    _, done = finished
    run = shutil.copytree(done, tmp_path / "run")
    moved = shutil.copytree(autoencoder, tmp_path / "moved")
    more = [f"--workdir={run}", "--config.train.duration=9 steps"]
    ok(*more, f"--config.space.autoencoder={moved}")
    assert "space.autoencoder" in capfd.readouterr().out
    other = tmp_path / "other"
    ok(*TINY_AUTOENCODER, "--config.seed=1", f"--workdir={other}")
    args = [f"--workdir={run}", f"--config.space.autoencoder={other}"]
    fails(capfd, args, "config.space.autoencoder", "another --workdir")


@pytest.mark.slow
def test_a_copy_of_a_run_without_a_checkpoint_does_not_hide_another_autoencoder(
    autoencoder, finished, tmp_path
):
    _, done = finished
    run = shutil.copytree(done, tmp_path / "run")
    shutil.rmtree(run / "checkpoints")
    other = tmp_path / "other"
    ok(*TINY_AUTOENCODER, "--config.seed=1", f"--workdir={other}")
    ok(*tiny_lddgan(other, "train.duration=1 steps"), f"--workdir={run}")
    mesh = meshes.make_mesh()
    config = complete_config(read_config(run))
    copy, theirs = autoencoder_folder.hashes(config, run, mesh)()
    assert copy == theirs
