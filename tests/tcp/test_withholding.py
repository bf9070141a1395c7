"""Withholding: acknowledgements as late as is allowed, and no new connections (P28, P29)."""

from __future__ import annotations

import pytest
from support.net import MakeNet
from support.pressure import FROZEN, WITHHOLDING, Crowd

from xtcp_twisted.config import ALL


@pytest.mark.requirement("RFC 9293 MUST-40")
@pytest.mark.feature("P28")
@pytest.mark.parametrize("policy", ["bounded", "immediate"])
@pytest.mark.parametrize("chunks, delay", [(FROZEN, None), (WITHHOLDING, 0.499)])
def test_the_acknowledgement_waits_for_its_cap(
    make_net: MakeNet, policy: str, chunks: int, delay: float | None
) -> None:
    """RFC 9293 MUST-40: less than 0.5 s, also of a second and a third segment."""
    crowd = Crowd(make_net())
    client = crowd.client(ack_policy=policy)
    crowd.fill(chunks)
    begun = crowd.net.now - crowd.net.ladder.start
    if delay is None:
        delay = 0.04 if policy == "bounded" else 0.0
    client.send(b"one")
    crowd.net.advance(0.03)
    if delay == 0.499:
        client.send(b"two")
        crowd.net.advance(0.03)
        client.send(b"three")
    crowd.net.advance(0.6)
    client.expect("A", ack=client.seq, at=begun + delay)
    client.expect_nothing()


@pytest.mark.feature("P28")
def test_it_counts_what_it_withholds(make_net: MakeNet) -> None:
    crowd = Crowd(make_net())
    client = crowd.client()
    crowd.fill(WITHHOLDING)
    before = crowd.net.counters()["AcksWithheld"]
    for part in (b"one", b"two"):
        client.send(part)
        crowd.net.turn()
    assert crowd.net.counters()["AcksWithheld"] == before + 2
    client.expect_nothing()


def test_what_the_application_acknowledged_is_never_withheld(make_net: MakeNet) -> None:
    """By `send`, by an answer, and by `done`, which else lets the acknowledgement wait for an answer."""
    crowd = Crowd(make_net())
    client = crowd.client(ack_policy="bounded")
    group = client.group
    assert group is not None
    crowd.fill(WITHHOLDING)
    client.send(b"one")
    with crowd.net.in_turn():
        assert group.recv(100) == (client.cd, b"one")
        group.send(client.cd, b"", ackd=ALL)
    client.expect("A", ack=4)
    client.send(b"two")
    with crowd.net.in_turn():
        assert group.recv(100) == (client.cd, b"two")
        group.send(client.cd, b"answer", ackd=ALL)
    client.expect("A", ack=7, data=b"answer")
    client.ack()
    client.send(b"three")
    with crowd.net.in_turn():
        group.done(group.recv_batch(1))
    client.expect("A", ack=12)
    assert crowd.state == "withholding"
    client.expect_nothing()


def test_data_behind_a_gap_is_acknowledged_at_once(make_net: MakeNet) -> None:
    """RFC 5681 section 4.2: the peer's loss recovery needs it."""
    crowd = Crowd(make_net())
    client = crowd.client()
    crowd.fill(WITHHOLDING)
    client.send(b"behind", seq=101)
    crowd.net.turn()
    client.expect("A", ack=1)
    client.send(b"f" * 100, seq=1)
    crowd.net.turn()
    client.expect("A", ack=107)


@pytest.mark.feature("P28")
def test_a_withheld_acknowledgement_leaves_when_the_pressure_falls(make_net: MakeNet) -> None:
    """To frozen is enough."""
    crowd = Crowd(make_net())
    client = crowd.client()
    crowd.fill(WITHHOLDING)
    client.send(b"request")
    crowd.net.advance(0.01)
    client.expect_nothing()
    crowd.leave(710)
    assert crowd.state != "withholding"
    client.expect("A", ack=8)


@pytest.mark.feature("P28")
def test_a_syn_is_left_unanswered_and_counted(make_net: MakeNet) -> None:
    """Its second one, a second later, is answered if the pressure has fallen by then."""
    crowd = Crowd(make_net())
    crowd.fill(WITHHOLDING)
    late = crowd.net.client(crowd.group)
    late.syn()
    crowd.net.advance(0.95)
    late.expect_nothing()
    snapshot = crowd.net.engine.snapshot()
    assert (snapshot.half_open, snapshot.counters["PressureSynDrops"]) == (0, 1)
    crowd.leave()
    late.syn()
    crowd.net.turn()
    late.expect("SA", ack=1)


@pytest.mark.feature("P30")
@pytest.mark.parametrize("priority, answered", [("high", True), ("normal", True), ("low", False)])
def test_low_priority_takes_no_connections_of_a_frozen_pool(
    make_net: MakeNet, priority: str, answered: bool
) -> None:
    crowd = Crowd(make_net())
    group = crowd.net.group(7, pool=crowd.pool, priority=priority, accept_credits=1)
    crowd.fill(FROZEN)
    client = crowd.net.client(group)
    client.syn()
    crowd.net.turn()
    assert bool(client.take()) == answered


def test_handshakes_that_have_begun_are_completed(make_net: MakeNet) -> None:
    crowd = Crowd(make_net())
    client = crowd.net.client(crowd.group).syn_received()
    crowd.fill(WITHHOLDING)
    client.ack()
    crowd.net.turn()
    assert crowd.net.engine.snapshot().half_open == 0
    assert len(crowd.group) == len(crowd.members) + len(crowd.newcomers) + 1
