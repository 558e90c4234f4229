"""Processes of one run that were started differently end at once, with one line on all."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
import tiny_runs as runs
from jax.experimental import multihost_utils

from ddgan_jax.core.errors import UserError
from ddgan_jax.parallel import distributed


@pytest.mark.cluster
def test_processes_with_other_configs_end_with_one_line(tmp_path):
    address = [f"--coordinator=localhost:{runs.free_port()}", "--num_processes=2"]
    args = [*runs.TINY, f"--workdir={tmp_path / 'run'}", *address]
    started = [runs.start(*args, f"--process_id={i}", f"--config.seed={i}") for i in range(2)]
    for process in started:
        code, _, err = runs.finish(process, timeout=120)
        assert code == 1 and "config.seed is 0 in process 0 and 1 in process 1" in err, err
    assert not (tmp_path / "run").exists()


def test_a_topic_can_be_decided_again(monkeypatch):
    """As in a program that trains twice: a key of jax's coordination service can be set once."""
    store = {}

    def set_once(key, value):
        assert key not in store
        store[key] = value

    monkeypatch.setattr(distributed, "_client", lambda: SimpleNamespace(key_value_set=set_once))
    monkeypatch.setattr(distributed, "_stored", store.get)
    assert distributed.all_said_yes("compiled", True)
    assert not distributed.all_said_yes("compiled", False)
    assert len(store) == 2


def test_an_error_of_the_disk_is_one_line_on_all_processes(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    empty = np.zeros(distributed._MESSAGE_BYTES, np.uint8)
    gather = lambda text: np.stack([empty, text])  # noqa: E731
    monkeypatch.setattr(multihost_utils, "process_allgather", gather)

    def full():
        raise OSError(28, "No space left on device", "info.json")

    with pytest.raises(UserError, match=r"No space left on device: 'info\.json'"):
        distributed.on_all_processes(full)
    assert distributed.on_all_processes(lambda: 3) == 3
