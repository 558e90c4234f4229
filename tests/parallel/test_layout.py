"""Layout of the train state over devices; runs do not depend on it."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs as runs
from jax.sharding import PartitionSpec as P

from ddgan_jax.core.types import Carry, TrainState
from ddgan_jax.parallel import mesh as meshes
from ddgan_jax.training.loop import train
from ddgan_jax.training.setup import describe, first_state, prepare

SHAPES = {
    "matrix": jnp.zeros((64, 512)),
    "kernel": jnp.zeros((3, 3, 64, 48)),  # split along the longest axis that 8 divides
    "odd": jnp.zeros((129, 129)),
    "small": jnp.zeros((8, 8)),
}
# MLPs with matrices of 128 x 128; without regularizer there is one program to compile.
WIDE = [*runs.TINY, "--config.gen.width=128", "--config.disc.width=128", "--config.r1.gamma=0.0"]
WIDE += ["--config.train.log_every=1 steps", "--config.train.duration=4 steps"]
FSDP = "--config.train.fsdp=true"


def config_of(*args):
    return runs.config_of(*args)


def placed(fsdp):
    carry = Carry({"x": jnp.zeros((16, 8, 8))}, {"variance": jnp.zeros((512, 512))})
    state = TrainState(jnp.zeros((), jnp.int32), jnp.zeros(2, jnp.uint32), *[SHAPES] * 3, carry)
    return meshes.lay_out(state, meshes.make_mesh(), fsdp)


def specs(tree):
    return jax.tree.map(lambda x: x.sharding.spec, tree)


def test_carried_samples_are_split_and_the_rest_is_replicated():
    state = specs(placed(fsdp=False))
    assert state.carry == Carry({"x": P("data")}, {"variance": P()})
    leaves = jax.tree.leaves(state._replace(carry=()), is_leaf=lambda x: isinstance(x, P))
    assert set(leaves) == {P()}


def test_large_parameters_are_split_along_their_longest_axis():
    state = specs(placed(fsdp=True))
    wanted = {
        "matrix": P(None, "data"),
        "kernel": P(None, None, "data"),
        "odd": P(),
        "small": P(),
    }
    assert state.params == state.opt_state == state.ema == wanted
    assert state.step == state.key == P()
    assert state.carry == Carry({"x": P("data")}, {"variance": P()})


@pytest.mark.slow
def test_sizes_per_device_are_known_before_compilation():
    one, eight = (prepare(config_of(*WIDE), jax.devices()[:n]) for n in (1, 8))
    split = prepare(config_of(*WIDE, FSDP))
    said = [describe(run) for run in (one, eight, split)]
    assert [d["batch_per_device"] for d in said] == [16, 2, 2]
    sizes = [d["state_bytes_per_device"] for d in said]
    assert sizes[0] == sizes[1]
    whole = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(one.abstract))
    assert sizes[0] == whole and sizes[2] < 0.5 * whole
    state = first_state(split.create, split.abstract, 0)
    assert meshes.bytes_per_device(state) == sizes[2]
    on_one = sum(x.addressable_shards[0].data.nbytes for x in jax.tree.leaves(state))
    assert on_one == sizes[2]


def run(workdir, devices, *args):
    config = config_of(*WIDE, *args)
    assert train(config, workdir, lambda text: None, jax.devices()[:devices]) == 0
    return workdir


def assert_same(one, other):
    a, b = runs.metrics(one), runs.metrics(other)
    assert [line["step"] for line in a] == [line["step"] for line in b]
    for line, other_line in zip(a, b, strict=True):
        for name in line:
            np.testing.assert_allclose(line[name], other_line[name], 1e-4, 1e-5, err_msg=name)


@pytest.mark.slow
def test_a_run_goes_on_with_other_devices_and_another_layout(tmp_path):
    """Training on 8 devices with split parameters, then 2, then 1, has the losses of one device."""
    alone = run(tmp_path / "alone", 1)
    parts = run(tmp_path / "parts", 8, FSDP, "--config.train.duration=2 steps")
    first = json.loads((parts / "info.json").read_text())["state_bytes_per_device"]
    run(tmp_path / "parts", 2, "--config.train.duration=3 steps")
    run(tmp_path / "parts", 1)
    assert first < json.loads((parts / "info.json").read_text())["state_bytes_per_device"] / 2
    assert_same(alone, parts)


@pytest.mark.slow
def test_carried_images_go_on_with_other_devices(tmp_path):
    """DDDG's carried chains, with gradients accumulated over two parts."""
    args = [*runs.TINY_DDDG, "--config.train.log_every=1 steps", "--config.train.accumulate=2"]
    for name, moves in (("alone", [(1, 4)]), ("moved", [(8, 2), (4, 4)])):
        for devices, steps in moves:
            config = config_of(*args, f"--config.train.duration={steps} steps")
            train(config, tmp_path / name, lambda text: None, jax.devices()[:devices])
    assert_same(tmp_path / "alone", tmp_path / "moved")
