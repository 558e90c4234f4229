"""The cost model, the work it counts, and the collectives of compiled steps."""

import re
import types
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs as runs

from ddgan_jax.cli import main
from ddgan_jax.core.train_step import which_regularize
from ddgan_jax.core.types import Aux, Carry, Method, Phase, TrainState
from ddgan_jax.parallel import mesh as meshes
from ddgan_jax.profiling import scaling_model as model
from ddgan_jax.profiling.hardware import Chip
from ddgan_jax.profiling.hlo import collectives
from ddgan_jax.profiling.memory import activation_bytes
from ddgan_jax.profiling.scaling_measurement import count_and_time, measure
from ddgan_jax.profiling.timing import random_batch
from ddgan_jax.training.setup import assemble, compiled_steps

PROGRAM = """
  %a = f32[16,4]{1,0} all-reduce(f32[16,4]{1,0} %x), replica_groups={{0,1}}, to_apply=%add
  %b = (f32[8]{0}, bf16[3,2]{1,0}) all-reduce(f32[8]{0} %y, bf16[3,2]{1,0} %z), to_apply=%add
  %c = pred[5]{0} all-gather(pred[1]{0} %p), dimensions={0}
  %d = f32[] collective-permute-start(f32[] %q), source_target_pairs={{0,1}}
  %e = f32[9]{0} fusion(f32[9]{0} %all-reduce.1), calls=%all-gather
"""


def config_of(*args):
    return runs.config_of(*runs.TINY, *args)


def test_collectives_of_a_text():
    assert collectives(PROGRAM) == {
        "all-reduce": (2, 256 + 32 + 12),
        "all-gather": (1, 5),
        "collective-permute": (1, 4),
    }


def test_the_model():
    work = model.Work(4e9, 0.0, (8_000_000, 4_000_000), 10_000_000, 44_000_000, 0, 3)
    chip = Chip("any", 1e12 / model.UTILIZATION, 1e9, 1e12, 1e9, 1e-6, 4, 1e8)
    assert model.predicted(work, 1, chip) == (pytest.approx(4e-3 + 1e-4 + 4.5e-5), 0)
    compute, sent = model.predicted(work, 4, chip)
    assert compute == pytest.approx(1e-3 + 1e-4 + 4.5e-5)  # the state twice, the gradients once
    # 2 (n-1)/n G / bandwidth and 2 (n-1) hops for each phase
    assert sent == pytest.approx(1.5 * 12e6 / 1e9 + 2 * 6e-6)
    parted, split = model.predicted(work, 4, chip, fsdp=True)
    assert parted == pytest.approx(1e-3 + 0.25e-4 + 4.5e-5)
    assert split == pytest.approx(0.75 * (12e6 + 20e6) / 1e9 + 2 * 6e-6)
    _, far = model.predicted(work, 8, chip)
    assert far == pytest.approx(1.75 * 12e6 / 1e8 + 2 * 14e-6)


@pytest.mark.parametrize("intervals", [(4, 6), (3, 1), (4, 4), (1, 1), (5, None), (None, None)])
def test_shares_of_regularized_steps_are_those_of_counting(intervals):
    phases = [
        types.SimpleNamespace(regularizer="r1" if every else None, regularize_every=every or 1)
        for every in intervals
    ]
    method = types.SimpleNamespace(phases=phases)
    counted = Counter(which_regularize(method, step) for step in range(60))
    found = model.shares_of_variants(method)
    assert found.keys() == counted.keys() and sum(found.values()) == 1
    assert all(found[v] * 60 == pytest.approx(counted[v], abs=1e-9) for v in counted)


def test_shares_of_long_intervals_take_no_time():
    phases = [types.SimpleNamespace(regularizer="r1", regularize_every=e) for e in (10**12, 9973)]
    shares = model.shares_of_variants(types.SimpleNamespace(phases=phases))
    assert len(shares) == 4 and sum(shares.values()) == 1


@pytest.mark.slow
def test_work_of_a_step():
    """R1 in every fourth step counts a quarter; twice the batch is twice the work."""
    work = model.work_of(config_of())
    without = model.work_of(config_of("--config.r1.gamma=0.0"))
    always = model.work_of(config_of("--config.r1.every=1"))
    share = (work.flops - without.flops) / (always.flops - without.flops)
    assert share == pytest.approx(1 / 4) and always.flops > 1.2 * without.flops
    twice = model.work_of(config_of("--config.r1.gamma=0.0", "--config.train.batch_size=32"))
    assert twice.flops == pytest.approx(2 * without.flops, rel=0.05)
    assert work.gradients == (4 * 2770, 4 * 2880)  # parameters of disc and gen
    assert work.state > 4 * (3 * 2770 + 4 * 2880)  # with two moments each, and one average


def test_activations_are_what_the_backward_pass_keeps():
    """For sum tanh(w x)^2 they are tanh(w x) and its derivative; x is an argument."""

    def loss(params, context):
        y = jnp.tanh(params["net"] * context.batch["image"])
        return jnp.sum(y * y), Aux({})

    method = Method(init=None, phases=(Phase("net", loss),), sample=None, ema_roles=(), nfe=1)
    params = {"net": jax.ShapeDtypeStruct((), jnp.float32)}
    state = TrainState(jnp.int32(0), None, params, {}, {}, Carry({}, {}))
    for rows in (8, 16):
        batch = {"image": jax.ShapeDtypeStruct((rows, 5), jnp.float32)}
        found = activation_bytes(method, state, batch, (), 1)
        assert found in (2 * rows * 5 * 4, 3 * rows * 5 * 4)
        assert activation_bytes(method, state, batch, (), 2) == found // 2


@pytest.mark.slow
def test_activations_are_about_what_xla_allocates():
    config = config_of("--config.train.batch_size=512", "--config.gen.blocks=3")
    method, optimizers, _, shapes = assemble(config, (8, 8, 1), total=1, epoch=1)
    mesh = meshes.make_mesh(jax.devices()[:1])
    abstract = meshes.lay_out(shapes, mesh)
    batch = jax.eval_shape(lambda k: random_batch(k, config, (8, 8, 1)), jax.random.key(0))
    step = compiled_steps(method, optimizers, config, mesh, abstract)((True, False))
    allocated = step.lower(abstract, batch, ()).compile().memory_analysis().temp_size_in_bytes
    assert 0.5 < activation_bytes(method, abstract, batch, (), 1) / allocated < 2


@pytest.mark.slow
def test_work_in_latents_and_with_lpips_needs_no_weights(capsys):
    """One table for several configs, with a row for each."""
    names = ("lddgan_digits", "autoencoder_cifar10", "autoencoder_digits")
    configs = [f"{runs.ROOT}/configs/{name}.py" for name in names]
    args = [*configs[:2], f"--autoencoder={configs[2]}", "--chip=H100"]
    assert main(["scaling", *args, "--config.train.batch_size=32"]) == 0
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[0].strip("| `") for row in rows] == list(names[:2])
    assert float(rows[0][2]) > 0.1 and float(rows[1][2]) > 1000
    for row in rows:
        strong, weak = (column.strip(" |%").split(", ") for column in row[-2:])
        assert row[1] == "32" and strong[2:] == ["-", "-"]  # 32 does not divide by 64 or 256
        assert all(int(a) >= int(b) for a, b in zip(weak, strong[:2], strict=False))
    assert int(strong[0]) > 25  # on 4 chips


@pytest.mark.slow
def test_one_config_in_detail(capsys):
    assert main(["scaling", *runs.TINY, "--chip=H100"]) == 0
    first, *table = capsys.readouterr().out.splitlines()
    assert first.startswith("batch 16: ") and "; gradients " in first
    assert re.search(r"state \d+\.\d MB, activations of the whole batch \d+\.\d MB$", first)
    assert [line.split(" | ")[1:3] for line in table[2:]] == [["1", "16"], ["4", "4"], ["16", "1"]]


@pytest.mark.slow
def test_what_is_sent_is_what_the_model_says():
    """Collectives move the gradients, a few floats of the minibatch deviation, and scalars.

    The CPU compiler reduces the discriminator's gradients of real and of fake images separately.
    """
    rows = [measure(config_of(), jax.devices()[:n], trials=2) for n in (1, 8)]
    gradients = 4 * (2 * 2770 + 2880)
    assert rows[0].collectives == {} and rows[0].all_reduce_seconds == 0
    kinds = rows[1].collectives
    assert gradients <= kinds["all-reduce"][1] < 1.1 * gradients
    assert sum(size for _, size in kinds.values()) < 1.1 * gradients
    assert rows[1].state == rows[0].state
    assert all(row.seconds > 0 for row in rows) and rows[1].all_reduce_seconds > 0


@pytest.mark.slow
def test_carried_images_are_split_over_devices():
    """On 8 devices a step of DDDG is about an eighth of the work on each."""
    config = runs.config_of(*runs.TINY_DDDG, "--config.train.batch_size=512")
    one, many = (measure(config, jax.devices()[:n], trials=1) for n in (1, 8))
    assert one.flops / many.flops > 5
    assert many.state < one.state


@pytest.mark.slow
def test_measuring_leaves_the_config_unchanged():
    config = runs.config_of(*runs.TINY)
    before, lines = config.to_dict(), []
    count_and_time(config, (1, 2), weak=True, say=lines.append)
    size = before["train"]["batch_size"]
    assert f"| {size} |" in lines[-2] and f"| {2 * size} |" in lines[-1]
    assert config.to_dict() == before


def test_mistakes(capsys):
    for args, word in (
        ([runs.DIGITS, "--chip=abacus"], "abacus"),
        ([runs.DIGITS, "--measure=99"], "JAX_NUM_CPU_DEVICES"),
        ([runs.DIGITS, "--config.train.batchsize=3"], "batchsize"),
        ([], "--config=FILE"),
    ):
        assert main(["scaling", *args]) == 1
        runs.one_line(capsys.readouterr().err, [word])


def test_bytes_per_device():
    mesh = meshes.make_mesh(jax.devices()[:4])
    x = jax.device_put(np.zeros((8, 3), np.float32), meshes.batch_sharded(mesh))
    y = jax.device_put(np.zeros(5, np.int8), meshes.replicated(mesh))
    assert meshes.bytes_per_device({"x": x, "y": y}) == 2 * 3 * 4 + 5
