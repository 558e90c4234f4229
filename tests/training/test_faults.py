"""A few trials of the fault campaign, and its order and table."""

import collections

import fault_campaign as campaign
import pytest

SOME = ("kill -9", "newest checkpoint truncated", "folder vanished while running")


def test_the_hundred():
    order = campaign.order()
    assert len(order) == 100 and order == campaign.order()
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
    workdir = tmp_path_factory.mktemp("undisturbed") / "run"
    campaign.complete(workdir, 1)
    return {1: workdir}


@pytest.mark.slow
@pytest.mark.parametrize("kind", SOME)
def test_ends_with_the_same_bits(kind, undisturbed):
    (fault,) = (fault for fault in campaign.FAULTS if fault[0] == kind)
    campaign.trial(fault, seed=0, undisturbed=undisturbed)
