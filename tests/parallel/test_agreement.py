"""Processes of one run that were started differently end at once, with one line on all."""

import pytest
import tiny_runs as runs


@pytest.mark.cluster
def test_processes_with_other_configs_end_with_one_line(tmp_path):
    address = [f"--coordinator=localhost:{runs.free_port()}", "--num_processes=2"]
    args = [*runs.TINY, f"--workdir={tmp_path / 'run'}", *address]
    started = [runs.start(*args, f"--process_id={i}", f"--config.seed={i}") for i in range(2)]
    for process in started:
        code, _, err = runs.finish(process, timeout=120)
        assert code == 1 and "config.seed is 0 in process 0 and 1 in process 1" in err, err
    assert not (tmp_path / "run").exists()
