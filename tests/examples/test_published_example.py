"""examples/published.sh: its three commands, on a checkpoint of a tiny network."""

import os
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs as runs
from scripts import commands
from torch_writer import write_torch

import ddgan_jax
from ddgan_jax.config.overrides import load_config_file, override
from ddgan_jax.inference.published import SOURCES
from ddgan_jax.interop.names import to_arrays
from ddgan_jax.networks import GENERATORS, build_network

SCRIPT = runs.ROOT / "examples" / "published.sh"
SMALL = {"width": "8", "multipliers": "1,2", "blocks": "1", "attention": "8"}
SMALL |= {"z_width": "8", "z_layers": "1"}


def test_the_script_asks_for_what_the_file_does_not_hold():
    assert os.access(SCRIPT, os.X_OK)
    command = ["bash", str(SCRIPT), "netG.pth", "32"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode and "CHECKPOINT IMAGE_SIZE STEPS" in done.stderr


@pytest.mark.slow
def test_from_a_checkpoint_to_pictures(tmp_path):
    config = load_config_file(f"{runs.ROOT}/configs/ddgan_cifar10.py")
    config = override(config, {f"gen.{name}": value for name, value in SMALL.items()})
    x, t, z = jnp.zeros((1, 16, 16, 3)), jnp.zeros(1, jnp.int32), jnp.zeros((1, 5))
    generator = build_network(config, "gen", GENERATORS, (16, 16, 3))
    tree = jax.eval_shape(generator.init, jax.random.key(0), x, t, z)["params"]
    rng = np.random.default_rng(0)
    tree = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), tree)
    write_torch(
        tmp_path / "netG.pth", to_arrays(tree, SOURCES["ddgan"].entries(tree)), stream=False
    )

    convert, *rest = commands(SCRIPT, tmp_path, tmp_path / "netG.pth", 16, 2, tmp_path / "run")
    assert convert[:4] == ["-m", "ddgan_jax", "convert", "--source=ddgan"] and len(rest) == 2
    for args in (convert, *rest):
        runs.ok(*args[2:])
    model = ddgan_jax.load(tmp_path / "run")
    assert model.config.gen.width == 8 and model.config.latent_size == 5
    assert model.config.data.image_size == 16 and model.config.diffusion.num_steps == 2
    assert len(list((tmp_path / "run/samples/single").glob("*.png"))) == 10
