"""Published content.pth: discriminator, raw weights and Adam's moments, for new runs."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny_runs as runs
from torch_writer import write_torch

import ddgan_jax
from ddgan_jax.core.errors import UserError
from ddgan_jax.interop.ddgan import discriminator_entries, generator_entries
from ddgan_jax.interop.names import to_arrays
from ddgan_jax.methods import build_method
from ddgan_jax.training.init_from import begin_with, load_weights, parse
from ddgan_jax.training.setup import prepare

SMALL = [
    *("gen.width=8", "gen.multipliers=1", "gen.blocks=1", "gen.attention=()", "gen.z_width=8"),
    *("gen.z_layers=1", "disc.width=2", "disc.multipliers=1", "disc.downsample=true"),
    *("disc.t_width=4", "data.image_size=8", "data.channels=3", "latent_size=4"),
    *("data.flip=false", "train.batch_size=8"),
]
FLAGS = [f"--config={runs.ROOT}/configs/ddgan_cifar10.py", *runs.flags(SMALL)]


def optimizer(arrays, step, ema=()):
    """The state of Adam as PyTorch saves it, with moments 3 and 5 times the weights."""
    moments = {
        i: {
            "step": step,
            "exp_avg": 3 * a,
            "exp_avg_sq": 5 * np.abs(a),
            **dict.fromkeys(ema, 2 * a),
        }
        for i, a in enumerate(arrays.values())
    }
    return {"state": moments, "param_groups": [{"lr": 1e-4}]}


@pytest.fixture(scope="module")
def networks():
    """Random parameters of both networks, and their arrays as published."""
    shapes = jax.eval_shape(build_method(runs.config_of(*FLAGS), (8, 8, 3)).init, jax.random.key(0))
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), shapes)
    return params, (
        to_arrays(params["gen"], generator_entries(params["gen"])),
        to_arrays(params["disc"], discriminator_entries(params["disc"])),
    )


def content(networks, **changes):
    gen, disc = networks[1]
    steps = np.asarray(9, np.float32)  # newer versions of PyTorch keep a tensor
    return {
        **{"epoch": 3, "netG_dict": {f"module.{k}": v for k, v in gen.items()}},
        **{"netD_dict": {f"module.{k}": v for k, v in disc.items()}},
        **{"optimizerG": optimizer(gen, 7, ema=["ema"]), "optimizerD": optimizer(disc, steps)},
        **changes,
    }


def converted(folder, tree):
    write_torch(folder / "content.pth", tree, stream=False)
    source = ["--source=ddgan", f"--checkpoint={folder / 'content.pth'}", "--step=5"]
    runs.ok("convert", *source, *FLAGS, f"--workdir={folder / 'official'}")
    return folder / "official"


@pytest.fixture(scope="module")
def official(networks, tmp_path_factory):
    return converted(tmp_path_factory.mktemp("resumable"), content(networks))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that could begin, with its state of zeros."""
    file = tmp_path_factory.mktemp("data") / "images.npz"
    np.savez(file, images=np.zeros((16, 8, 8, 3), np.uint8))
    run = prepare(runs.config_of(*FLAGS, f"--config.data.name=npz:{file}"))
    return run, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), run.abstract)


def same(tree, other, factor=1):
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, factor * b), dict(tree), dict(other))


def adam(opt_state):
    [found] = [s for s in opt_state if isinstance(s, optax.ScaleByAdamState)]
    return found


def test_raw_weights_and_moments(official, networks, run):
    params = networks[0]
    weights = load_weights(parse(f"{official}", "raw"), run[0])
    state = begin_with(run[1], weights)
    for role, steps in (("gen", 7), ("disc", 9)):
        same(state.params[role], params[role])
        found = adam(state.opt_state[role])
        assert int(found.count) == steps and found.count.dtype == jnp.int32
        same(found.mu, params[role], 3)
        same(found.nu, jax.tree.map(np.abs, params[role]), 5)
        assert f"optimizer of {role}: {steps} steps of Adam" in weights.notes
        others = [s for s in state.opt_state[role] if not isinstance(s, optax.ScaleByAdamState)]
        assert all(int(leaf) == 0 for leaf in jax.tree.leaves(others))  # of the learning rate
    same(state.ema["gen"], params["gen"])
    assert int(state.step) == 0 and weights.record["step"] == 5


def test_averages_leave_the_moments_of_the_raw_weights(official, networks, run):
    weights = load_weights(parse(f"{official}@5"), run[0])
    same(weights.params["gen"], networks[0]["gen"], 2)
    same(weights.params["disc"], networks[0]["disc"])
    assert list(weights.moments) == ["disc"]
    model = ddgan_jax.load(official)
    same(model.params["gen"], networks[0]["gen"], 2)
    same(ddgan_jax.load(official, raw=True).params["gen"], networks[0]["gen"])


@pytest.mark.slow
@pytest.mark.parametrize("given", [(), ("--config.disc.downsample=false,true",)])
def test_the_discriminator_is_that_of_the_file(networks, tmp_path, capfd, given):
    """With a config of another discriminator; what arrays do not say may be given."""
    other = [f for f in SMALL if not f.startswith("disc.")]
    theirs = runs.config_of(
        *FLAGS, *runs.flags(["disc.multipliers=2,4", "disc.downsample=false,true"])
    )
    params = jax.eval_shape(build_method(theirs, (8, 8, 3)).init, jax.random.key(0))["disc"]
    params = jax.tree.map(lambda leaf: np.ones(leaf.shape, np.float32), params)
    disc = to_arrays(params, discriminator_entries(params))
    tree = content(networks, netD_dict=disc, optimizerD=optimizer(disc, 9))
    write_torch(tmp_path / "content.pth", tree, stream=False)
    start = ["convert", "--source=ddgan", f"--checkpoint={tmp_path / 'content.pth'}"]
    flags = [FLAGS[0], *runs.flags(other)]
    runs.ok(*start, *flags, "--config.diffusion.num_steps=4", *given, f"--workdir={tmp_path / 'a'}")
    assert "disc.multipliers=2,4 (config: 2,4,8,8)" in capfd.readouterr().out
    found = json.loads((tmp_path / "a/config.json").read_text())["disc"]
    assert (found["width"], found["t_width"]) == (2, 4) and found["downsample"] == [False, True]
    info = json.loads((tmp_path / "a/info.json").read_text())["converted"]
    assert info["networks"] == ["gen", "disc"] and info["optimizers"] == ["gen", "disc"]


@pytest.mark.slow
def test_what_does_not_fit_is_left_out_and_said(networks, tmp_path, run, capfd):
    gen, _ = networks[1]
    moments = optimizer(gen, 7, ema=["ema"])
    del moments["state"][3]["exp_avg"]
    changes = {"optimizerG": moments, "netD_dict": {"module.x": np.zeros(2, np.float32)}}
    folder = converted(tmp_path, content(networks, **changes))
    said = capfd.readouterr().out
    assert "netG_dict: raw weights of gen, no moments" in said
    assert "netD_dict is left out: array" in said
    info = json.loads((folder / "info.json").read_text())["converted"]
    assert info["networks"] == ["gen"] and info["optimizers"] == []
    weights = load_weights(parse(f"{folder}", "raw"), run[0])
    assert list(weights.params) == ["gen"] and weights.moments == {}
    assert "first weights: new ones of disc" in weights.notes
    runs.ok("export", f"--workdir={folder}", f"--out={tmp_path / 'averages'}")
    with pytest.raises(UserError, match="averaged weights only"):
        load_weights(parse(f"{tmp_path / 'averages'}", "raw"), run[0])
