"""Processes that never come, and addresses that cannot be: one line at once, and a bounded wait."""

import signal
import socket
import time

import pytest
import tiny_runs as runs

from ddgan_jax.cli import main
from ddgan_jax.core.errors import UserError
from ddgan_jax.parallel import distributed

IMPATIENT = "import ddgan_jax.parallel.distributed as d\nd.JOIN_SECONDS = 6\n"


def test_addresses_that_cannot_be(capfd, tmp_path):
    args = [*runs.TINY, f"--workdir={tmp_path / 'run'}", "--num_processes=2", "--process_id=1"]
    for address, words in {
        ":1234": ["HOST:PORT"],
        "host": ["HOST:PORT"],
        "host:": ["HOST:PORT"],
        "localhost:0": ["HOST:PORT"],
        "localhost:99999": ["HOST:PORT"],
        "no_such_host.invalid:1234": ["no_such_host.invalid", "has no address"],
        "a" * 70 + ".b:1": ["has no address"],
    }.items():
        began = time.monotonic()
        runs.fails(capfd, [*args, f"--coordinator={address}"], "--coordinator", *words)
        assert time.monotonic() - began < 10


def test_a_port_that_is_taken(capfd, tmp_path):
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        address = f"localhost:{taken.getsockname()[1]}"
        args = [*runs.TINY, f"--workdir={tmp_path}", "--num_processes=2"]
        runs.fails(capfd, [*args, f"--coordinator={address}"], address, "another port")


@pytest.mark.parametrize(
    "variables",
    [
        {"OMPI_MCA_orte_hnp_uri": "1.0;tcp://127.0.0.1:1"},
        {"OMPI_MCA_orte_hnp_uri": "x"},
        {
            "OMPI_MCA_orte_hnp_uri": "1.0;tcp://127.0.0.1:1",
            "OMPI_COMM_WORLD_SIZE": "two",
            "OMPI_COMM_WORLD_RANK": "0",
        },
    ],
    ids=["no size", "no address", "no number"],
)
def test_variables_of_a_cluster_that_are_half_set(variables, monkeypatch):
    monkeypatch.setattr("jax._src.xla_bridge.backends_are_initialized", lambda: False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=r"variables of a cluster .* --coordinator=none"):
        distributed.start_distributed("auto", 1, 0)


def test_the_wait_says_for_whom_and_ends(monkeypatch):
    monkeypatch.setattr(distributed, "JOIN_SECONDS", 0.5)
    monkeypatch.setattr(distributed, "ANNOUNCE_SECONDS", 0.1)
    said = []
    with pytest.raises(UserError, match="without process 0"):
        distributed._wait_for(lambda: time.sleep(2), lambda: "process 0", said.append)
    assert said == ["waiting for process 0, at most 0 s"]
    distributed._wait_for(lambda: None, lambda: "process 0", said.append)
    with pytest.raises(ValueError, match="no"):
        distributed._wait_for(lambda: int("no"), lambda: "process 0", said.append)
    assert len(said) == 1


@pytest.mark.cluster
@pytest.mark.parametrize("index", [0, pytest.param(1, marks=pytest.mark.full)])
def test_a_process_that_never_comes(tmp_path, index):
    """One line about who is awaited, ^C is obeyed, and the end is status 1: not "start again"."""
    (tmp_path / "sitecustomize.py").write_text(IMPATIENT)
    args = [*runs.TINY, f"--workdir={tmp_path / 'run'}", "--num_processes=2"]
    args += [f"--coordinator=localhost:{runs.free_port()}", f"--process_id={index}"]
    awaited = f"process {1 - index} of --num_processes=2"
    code, out, err = runs.finish(runs.start(*args, path=tmp_path), timeout=60)
    assert code == 1 and f"waiting for {awaited}" in out, (code, out, err)
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and awaited in errors[0] and "Traceback" not in err

    process = runs.start(*args)
    assert "waiting for" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    code, _, err = runs.finish(process, timeout=60)
    assert code == 130 and "Traceback" not in err and time.monotonic() - began < 10
    assert not (tmp_path / "run").exists()


def test_one_process_does_not_wait():
    assert main(["fields", "--debug"]) == 0
    distributed.start_distributed("none", 1, 0)
