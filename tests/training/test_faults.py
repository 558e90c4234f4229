"""Three kinds of faults of the fault campaign (all with --cluster-full), and its bookkeeping."""

import collections
import subprocess

import fault_campaign as campaign
import pytest

SOME = ("kill -9", "newest checkpoint truncated", "folder vanished while running")


def test_the_order():
    order = campaign.order()
    assert len(order) == 116 and order == campaign.order()
    counts = collections.Counter(fault[0] for fault in order)
    assert counts == {fault[0]: fault[2] for fault in campaign.FAULTS}


def test_the_table_counts_what_went_wrong():
    good, bad = (
        {"kind": "kill -9", "outcome": outcome} for outcome in ("same bits", "AssertionError: x")
    )
    lines = campaign.table([good, good, bad, {**good, "kind": "SIGTERM"}])
    assert lines[2:] == ["| kill -9 | 3 | 2 |", "| SIGTERM | 1 | 1 |", "| all | 4 | 3 |"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """{number of processes: run folder}; a run starts when it is first asked for."""

    class Runs(dict):
        def __missing__(self, processes):
            self[processes] = tmp_path_factory.mktemp("undisturbed") / "run"
            campaign.complete(self[processes], processes)
            return self[processes]

    return Runs()


def pytest_generate_tests(metafunc):
    if "fault" in metafunc.fixturenames:
        full = metafunc.config.getoption("--cluster-full")
        faults = [fault for fault in campaign.FAULTS if full or fault[0] in SOME]
        metafunc.parametrize("fault", faults, ids=[fault[0] for fault in faults])


@pytest.fixture
def may_mount(tmp_path):
    """Whether this user may mount a file system."""
    try:
        with campaign.mounted(tmp_path, 100):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


@pytest.mark.cluster
def test_ends_with_the_same_bits(fault, undisturbed, may_mount):
    if fault[4] and not may_mount:
        pytest.skip("mounting a small disk is not permitted here")
    campaign.trial(fault, seed=0, undisturbed=undisturbed)
