"""Delay spikes: a path that stands still for a while and then delivers everything, late and in order.

The retransmission timer expires for nothing.  F-RTO (RFC 5682), or timestamps
(RFC 3522), see it with the first acknowledgements, so that only the segment of
the timer is sent twice, and the window is what it was.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.pair import Pair

DELAY, SPIKE = 0.025, 0.8
#: Bits per second: segments come one after the other, and so do their acknowledgements.
RATE = 20e6
MakePair = Callable[..., Pair]


@pytest.fixture
def make_pair() -> Iterator[MakePair]:
    made: list[Pair] = []

    def make(**options: Any) -> Pair:
        made.append(Pair(delay=DELAY, rate=RATE, near=options, far=options))
        return made[-1]

    yield make
    for pair in made:
        pair.close()


def spike(pair: Pair) -> None:
    """What enters the path within the next 100 ms needs longer than the timer waits; then all is well."""
    for path in (pair.near.link.inbound, pair.near.link.outbound):  # type: ignore[union-attr]
        path.change(delay=SPIKE)
    end = pair.now + 0.1
    pair.run(until=lambda: pair.now >= end)
    for path in (pair.near.link.inbound, pair.near.link.outbound):  # type: ignore[union-attr]
        path.change(delay=DELAY)


def transfer(pair: Pair, spikes: int) -> tuple[dict[str, int], int]:
    """A stream with spikes in it arrives as it was; the sender's counters, and its segments."""
    data = random.Random(4).randbytes(1_500_000)
    pair.near.write(data)
    for n in range(spikes):
        enough = (n + 1) * 200_000
        pair.run(until=lambda enough=enough: len(pair.far.received) >= enough)  # type: ignore[misc]
        spike(pair)
    pair.run(until=lambda: len(pair.far.received) == len(data) and not pair.near.queued)
    assert bytes(pair.far.received) == data
    return pair.near.counters, len(data) // 1_448


@pytest.mark.parametrize("timestamps", [False, True], ids=["F-RTO", "timestamps"])
@pytest.mark.parametrize("sack", [True, False], ids=["sack", "no sack"])
def test_a_spike_costs_a_segment_or_two(make_pair: MakePair, sack: bool, timestamps: bool) -> None:
    counters, segments = transfer(make_pair(sack=sack, timestamps=timestamps), spikes=3)
    # The timer learns from the first spike, so the others may pass without an expiry.
    assert counters["TCPSpuriousRTOs"] == counters["TCPTimeouts"] >= 1
    assert counters["RetransSegs"] <= 2 * counters["TCPTimeouts"] + counters["TCPLossProbes"] < segments // 50


def test_a_spike_and_losses(make_pair: MakePair) -> None:
    """Together they are still survived."""
    pair = make_pair(timestamps=False)
    pair.near.link.outbound.change(loss=0.01)  # type: ignore[union-attr]
    transfer(pair, spikes=2)
