"""ECN between two engines: a network that marks holds what is sent back without a retransmission."""

from __future__ import annotations

import random
from typing import Any

import pytest
from support.pair import Pair

SIZE = 1 << 20
LINE: dict[str, Any] = {"delay": 0.025, "rate": 100_000_000}
GROUPS = [{"congestion": "reno"}, {"congestion": "cubic"}, {"sack": False}, {"timestamps": False}]
NAMES = ["reno", "cubic", "no sack", "no timestamps"]


def transfer(seed: int, group: dict[str, Any], **network: Any) -> tuple[float, Pair]:
    """Seconds that a mebibyte takes, and the pair afterwards."""
    pair = Pair(seed=seed, near={"ecn": "on", **group}, far=group, **LINE, **network)
    data = random.Random(seed).randbytes(SIZE)
    pair.near.write(data)
    seconds = pair.run(lambda: len(pair.far.received) >= SIZE)
    assert pair.far.received == data
    return seconds, pair


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("group", GROUPS, ids=NAMES)
def test_marks_cost_no_retransmission(group: dict[str, Any], seed: int) -> None:
    _, pair = transfer(seed, group, mark=0.01)
    assert pair.near.group.info(pair.near.cd).ecn
    near, far = pair.near.counters, pair.far.counters
    assert near["RetransSegs"] == far["RetransSegs"] == 0
    assert far["InCEPkts"] > 0
    assert 0 < near["TCPEcnReductions"] <= far["InCEPkts"]
    pair.close()


@pytest.mark.parametrize("group", GROUPS, ids=NAMES)
def test_marks_are_faster_than_as_many_losses(group: dict[str, Any]) -> None:
    total = dict.fromkeys(("mark", "loss"), 0.0)
    for what in total:
        for seed in range(5):
            seconds, pair = transfer(seed, group, **{what: 0.01})
            total[what] += seconds
            assert (pair.near.counters["RetransSegs"] > 0) == (what == "loss")
            pair.close()
    assert total["mark"] < total["loss"]


def test_more_marks_are_slower() -> None:
    """Somebody obeys: the window follows the share of marks as it follows that of losses."""
    times = []
    for mark in (0.0, 0.01, 0.1):
        seconds, pair = transfer(1, {}, mark=mark)
        times.append(seconds)
        assert pair.near.counters["RetransSegs"] == 0
        pair.close()
    assert times == sorted(times)
    assert times[2] > 2 * times[0]


@pytest.mark.parametrize("seed", range(4))
def test_marks_among_everything_else(seed: int) -> None:
    """Both ways at once, over a network that also loses, reorders and repeats."""
    bad = {"loss": 0.03, "reorder": 0.05, "duplicate": 0.05, "jitter": 0.01, "mark": 0.05}
    pair = Pair(seed=seed + 1, near={"ecn": "on"}, delay=0.01, **bad)
    down, up = random.Random(seed).randbytes(150_000), random.Random(seed + 9).randbytes(40_000)
    pair.near.write(down)
    pair.far.write(up)
    pair.run(lambda: len(pair.far.received) >= len(down) and len(pair.near.received) >= len(up))
    assert (pair.far.received, pair.near.received) == (down, up)
    pair.close()
