"""Runs of several processes on this machine, as on the hosts of a cluster, and their failures."""

import json
import shutil
import signal
import time

import jax
import numpy as np
import pytest
import tiny_runs as runs
from jax.errors import JaxRuntimeError

import ddgan_jax
from ddgan_jax.cli.exit_status import Status
from ddgan_jax.core.errors import UserError
from ddgan_jax.io.best import best_step
from ddgan_jax.io.read_json import read_lines
from ddgan_jax.parallel import distributed
from ddgan_jax.parallel import mesh as meshes
from ddgan_jax.training.loop import train

LONG = "--config.train.duration=20000 steps"
# jax waits for a sign of life for a minute; in a test five seconds have to do.
IMPATIENT = (
    "import ddgan_jax.parallel.distributed\nddgan_jax.parallel.distributed.HEARTBEAT_SECONDS = 5\n"
)


def start_in_slurm(count, *args):
    """Processes configured only by the environment variables that `srun` sets."""
    port = str(runs.free_port())
    shared = {"SLURM_JOB_ID": "1", "SLURM_NTASKS": str(count), "JAX_COORDINATOR_PORT": port}
    shared["SLURM_STEP_NODELIST"] = "localhost"
    return [
        runs.start(*args, variables={**shared, "SLURM_PROCID": str(i), "SLURM_LOCALID": str(i)})
        for i in range(count)
    ]


def assert_close(one, other, rtol=1e-5):
    a, b = runs.metrics(one), runs.metrics(other)
    assert [line["step"] for line in a] == [line["step"] for line in b]
    for line, other_line in zip(a, b, strict=True):
        assert line.keys() == other_line.keys()
        for name in line:
            np.testing.assert_allclose(line[name], other_line[name], rtol, 1e-6, err_msg=name)


@pytest.mark.cluster
def test_four_processes_then_one(tmp_path):
    """Processes connect as on Slurm; one process resumes from the checkpoint of the four.

    The metrics are those of a run of one process, and two processes draw its samples.
    """
    workdir, whole = tmp_path / "run", runs.trained(tmp_path / "whole")
    args = [*runs.TINY, f"--workdir={workdir}", "--config.train.checkpoint_every=4 steps"]
    four = start_in_slurm(4, *args, "--config.train.duration=6 steps")
    ends = [runs.finish(process) for process in four]
    assert [code for code, _, _ in ends] == [0] * 4, ends
    assert "4 x cpu" in ends[0][1] and "each device: 4 of a batch" in ends[0][1]
    assert not any("step" in out for _, out, _ in ends[1:])  # only process 0 prints
    assert json.loads((workdir / "info.json").read_text())["processes"] == 4
    config = runs.config_of(*args)
    assert train(config, workdir, lambda text: None, jax.devices()[:1]) == 0
    assert_close(workdir, whole)
    images = ddgan_jax.load(workdir).sample(jax.random.key(0), 5)
    wanted = ddgan_jax.load(whole).sample(jax.random.key(0), 5)
    np.testing.assert_allclose(images, wanted, 1e-3, 1e-3)

    sampled = [f"--workdir={workdir}", "--mode=sample", "--num_images=5"]
    ends = [runs.finish(process) for process in runs.start_many(2, *sampled)]
    assert [code for code, _, _ in ends] == [0, 0], ends
    with np.load(workdir / "samples" / "samples.npz") as file:
        stored = np.clip(np.round((images + 1) * 127.5), 0, 255)
        np.testing.assert_allclose(file["images"].astype(float), stored, atol=1)


def begun(workdir, step=1, **how):
    """Start two processes of a long run and wait for a checkpoint of this step or later.

    All tests use the same run, so that it is compiled once.
    """
    quick = ["--config.r1.gamma=0.0", "--config.train.checkpoint_every=50 steps"]
    processes = runs.start_many(2, *runs.TINY, f"--workdir={workdir}", LONG, *quick, **how)
    try:
        runs.until_saved(workdir, step, processes[0])
    except AssertionError:
        for process in processes:
            process.kill()
            runs.finish(process)
        raise
    return processes


def assert_lost(end):
    """75 and a line of ours, or jax's watchdog was the first to see it."""
    code, out, err = end
    assert code in (Status.LOST, -signal.SIGABRT), (code, err)
    if code == Status.LOST:  # one line of ours; jax's own log may get in around it
        ours = [line for line in err.splitlines() if line.startswith("error: ")]
        assert len(ours) == 1 and "another process of this run is gone" in ours[0], err
    else:
        assert "another task died" in err
    assert "Traceback" not in out + err


@pytest.mark.cluster
@pytest.mark.parametrize("dies", [0, pytest.param(1, marks=pytest.mark.full)])
def test_a_process_that_dies_ends_the_others(tmp_path, dies):
    processes = begun(tmp_path / "run")
    processes[dies].kill()
    began = time.monotonic()
    assert_lost(runs.finish(processes[1 - dies], timeout=distributed.HEARTBEAT_SECONDS + 60))
    assert runs.finish(processes[dies])[0] == -signal.SIGKILL
    assert time.monotonic() - began < distributed.HEARTBEAT_SECONDS + 60
    step = max(runs.steps_saved(tmp_path / "run"))
    assert len(runs.saved(tmp_path / "run", step)) > 20  # whole
    said = []
    more = f"--config.train.duration={step + 1} steps"
    config = runs.config_of(f"--workdir={tmp_path / 'run'}", more)
    assert train(config, tmp_path / "run", said.append, jax.devices()[:1]) == 0
    assert f"resumed at step {step}" in said and runs.steps_saved(tmp_path / "run")[-1] == step + 1


@pytest.mark.cluster
def test_a_signal_to_one_process_stops_both(tmp_path):
    """For either process. Both save the same step, and both resume from it."""
    workdir, step = tmp_path / "run", 0
    for which in (1, 0):
        processes = begun(workdir, step + 1)
        processes[which].send_signal(signal.SIGTERM)
        ends = [runs.finish(process) for process in processes]
        assert [code for code, _, _ in ends] == [143, 143], ends
        assert step == 0 or f"resumed at step {step}" in ends[0][1]
        assert max(runs.steps_saved(workdir)) > step
        step = max(runs.steps_saved(workdir))
        assert f"stopped at step {step} and saved" in ends[0][1]


SLOW_COMPILATION = """
import time
import ddgan_jax.training.loop as loop
before, count = loop._compile, 0
def slow(*inputs):
    global count
    count += 1
    if count == {which}:
        time.sleep(600)
    return before(*inputs)
loop._compile = slow
"""


@pytest.mark.cluster
@pytest.mark.parametrize("which", [pytest.param(1, marks=pytest.mark.full), 2])
def test_a_signal_during_compilation_ends_both_within_seconds(tmp_path, which):
    """To the process that does not host jax's service. The step before the second is saved."""
    (tmp_path / "sitecustomize.py").write_text(SLOW_COMPILATION.format(which=which))
    args = [*runs.TINY, f"--workdir={tmp_path / 'run'}"]
    processes = runs.start_many(2, *args, path=tmp_path)
    said = ("compiling the train step with", "compiling the train step ...")[which - 1]
    try:
        while said not in processes[0].stdout.readline():
            assert processes[0].poll() is None
        processes[1].send_signal(signal.SIGTERM)
        began = time.monotonic()
        ends = [runs.finish(process, timeout=60) for process in processes]
        assert time.monotonic() - began < 30
    finally:
        for process in processes:
            process.kill()
    assert [code for code, _, _ in ends] == [143, 143], ends
    assert runs.steps_saved(tmp_path / "run") == [1] * (which - 1)
    assert ("stopped at step 1 and saved" in ends[0][1]) == (which == 2)
    assert "Traceback" not in str(ends)


@pytest.mark.cluster
def test_a_process_that_hangs_ends_the_others(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(IMPATIENT)
    processes = begun(tmp_path / "run", path=tmp_path)
    processes[1].send_signal(signal.SIGSTOP)
    try:
        assert_lost(runs.finish(processes[0], timeout=60))
    finally:
        processes[1].kill()
        runs.finish(processes[1])


@pytest.mark.cluster
def test_a_mistake_of_one_process_stops_all_with_its_line(tmp_path):
    """Data are missing on one host."""
    together = [f"--coordinator=localhost:{runs.free_port()}", "--num_processes=2"]
    args = [*runs.TINY, f"--workdir={tmp_path / 'run'}", *together]
    processes = [
        runs.start(*args, "--process_id=0"),
        runs.start(*args, "--process_id=1", "--config.data.name=npz:not_here.npz"),
    ]
    for process in processes:
        code, out, err = runs.finish(process, timeout=120)
        assert code == 1 and "not_here.npz" in err and "Traceback" not in out + err, (code, err)
    assert not (tmp_path / "run").exists()


@pytest.mark.cluster
def test_parameters_split_over_two_hosts(tmp_path):
    """Each process holds and saves half of the large ones; metrics are those of one process."""
    wide = runs.flags(["gen.width=128", "disc.width=128", "train.fsdp=true"])
    both, alone = tmp_path / "both", tmp_path / "alone"
    ends = [runs.finish(p) for p in runs.start_many(2, *runs.TINY, *wide, f"--workdir={both}")]
    assert [code for code, _, _ in ends] == [0, 0], ends
    runs.ok(*runs.TINY, *wide, f"--workdir={alone}")
    assert_close(both, alone, 1e-4)
    one, two = runs.saved(alone, 8), runs.saved(both, 8)
    assert one.keys() == two.keys() and max(x.size for x in one.values()) >= meshes.SMALL
    for name in one:
        np.testing.assert_allclose(two[name], one[name], 1e-3, 1e-5, err_msg=name)
    sizes = [
        json.loads((folder / "info.json").read_text())["state_bytes_per_device"]
        for folder in (both, alone)
    ]
    assert sizes[0] > sizes[1]  # a half against an eighth


@pytest.mark.cluster
def test_autoencoder_and_latents_on_two_hosts(tmp_path):
    """Hosts have two devices and a cache folder each, for latents and features of the data.

    Both runs equal those of one process, whatever the caches hold; reconstructions and samples are
    evaluated during training.
    """

    def on_both(*args, ends=0, second=()):
        together = [f"--coordinator=localhost:{runs.free_port()}", "--num_processes=2"]
        hosts = [
            runs.start(
                *(*args, *together, f"--process_id={i}", *(second if i else ())),
                devices=2,
                variables={"DDGAN_CACHE": str(tmp_path / f"cache{i}")},
            )
            for i in range(2)
        ]
        found = [runs.finish(host) for host in hosts]
        assert [code for code, _, _ in found] == [ends] * 2, found
        return found

    checked = ["eval.every=4 steps", "eval.training_samples=32", "eval.metrics=frechet"]
    checked = runs.flags([*checked, "train.keep=1"])  # and the best
    both, alone = tmp_path / "both", tmp_path / "alone"
    on_both(*runs.TINY_AUTOENCODER, *checked, f"--workdir={both / 'ae'}")
    runs.ok(*runs.TINY_AUTOENCODER, *checked, f"--workdir={alone / 'ae'}")
    assert_close(both / "ae", alone / "ae", 1e-3)

    latent = [*runs.tiny_lddgan(alone / "ae"), *checked]
    wrong = ["--config.space.autoencoder=not_here"]
    for _, out, err in on_both(*latent, f"--workdir={both / 'gan'}", ends=1, second=wrong):
        assert "not_here" in err and "Traceback" not in out + err, err
    on_both(*latent, f"--workdir={both / 'gan'}")
    runs.ok(*latent, f"--workdir={alone / 'gan'}")
    assert_close(both / "gan", alone / "gan", 1e-3)
    for run in (both / "gan", alone / "gan"):
        best = best_step(read_lines(run / "evaluation.jsonl"), [4, 8], "auto")
        assert best and runs.steps_saved(run) == sorted({best, 8})

    shutil.rmtree(tmp_path / "cache1")  # one host has cached what the other has to compute
    few = runs.flags(["eval.num_samples=40", "eval.metrics=frechet", "eval.trials=1"])
    on_both("--mode=evaluate", f"--workdir={both / 'gan'}", *few)
    runs.ok("--mode=evaluate", f"--workdir={alone / 'gan'}", *few)
    one, two = (
        json.loads((folder / "gan" / "evaluation.json").read_text())["metrics"]
        for folder in (alone, both)
    )
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_allclose(two[name], one[name], 1e-2, err_msg=name)


# --- one process -----------------------------------------------------------------------------


def test_one_process_needs_no_communication():
    assert distributed.on_all_processes(lambda: 3) == distributed.on_process_zero(lambda: 3) == 3
    with pytest.raises(UserError, match="mistake"):
        distributed.on_all_processes(lambda: (_ for _ in ()).throw(UserError("mistake")))
    lost = "UNKNOWN: Gloo all-reduce failed: Read error [127.0.0.1]:1: Connection reset by peer"
    assert not distributed.is_loss(JaxRuntimeError(lost))  # there is no other process


def test_lost_processes_are_distinguished_from_bugs(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    pair = "[external/gloo/gloo/transport/tcp/pair.cc:538]"
    service = "/xla.coordination.CoordinationService/GetKeyValue"
    for text in (
        f"UNKNOWN: Gloo all-reduce failed: {pair} Read error [127.0.0.1]:1: Connection reset",
        f"INTERNAL: Gloo AllGather failed: {pair} Connection closed by peer [127.0.0.1]:1",
        "INTERNAL: Gloo all-reduce failed: Timed out waiting 30000ms for recv operation",
        "INTERNAL: NCCL operation ncclGroupEnd() failed: remote process exited or there was a "
        "network error",
        "UNAVAILABLE: /job:jax_worker/replica:0/task:1 heartbeat timeout. This indicates that the "
        "remote task has failed, got preempted, or crashed unexpectedly.",
        "UNAVAILABLE: The following tasks are unhealthy (stopped sending heartbeats):\n1",
        "UNAVAILABLE: Socket closed\nAdditional GRPC error information from remote target "
        f"coordination_service while calling {service}:",
        "DEADLINE_EXCEEDED: Barrier timed out. Id: sync. This usually happens because a task ...",
    ):
        assert distributed.is_loss(JaxRuntimeError(text)), text
    waited = TimeoutError("Timed out while waiting for async_commit_complete barrier.")
    assert not distributed.is_loss(waited)
    waited.__cause__ = JaxRuntimeError(text)
    assert distributed.is_loss(waited)
    for error in (
        JaxRuntimeError("INVALID_ARGUMENT: shapes (3,) and (4,) do not match"),
        JaxRuntimeError("INTERNAL: Timed out waiting for the autotuner"),
        JaxRuntimeError("INTERNAL: Gloo all-reduce failed: buffers of 4 and 8 bytes"),
        JaxRuntimeError("DEADLINE_EXCEEDED: reading gs://bucket timed out"),
        RuntimeError("Timed out"),
        TimeoutError("Barrier"),
        OSError("Connection reset by peer"),
        UserError("the heartbeat of the coordination service is UNAVAILABLE"),
    ):
        assert not distributed.is_loss(error), error
