"""Discarding: nothing more of who holds data, acknowledgements all the same (P27 to P30)."""

from __future__ import annotations

import pytest
from support.net import MakeNet
from support.peer import Client
from support.pressure import CHUNKS, DISCARDING, WITHHOLDING, Crowd

from xtcp_twisted.config import ALL

#: In the last sixteenth of the pool.
LAST = CHUNKS - CHUNKS // 16


def held(client: Client) -> int:
    assert client.group is not None
    return client.group.info(client.cd).held


@pytest.mark.feature("P27", "P29")
@pytest.mark.parametrize("chunks, taken", [(WITHHOLDING, True), (DISCARDING, False)])
def test_new_payload_of_a_holder_is_discarded_unseen(make_net: MakeNet, chunks: int, taken: bool) -> None:
    """Not acknowledged, not answered, counted; the peer's next try is taken when there is room."""
    crowd = Crowd(make_net())
    client = crowd.client()
    client.send(b"first")
    crowd.net.turn()
    client.expect("A", ack=6)
    crowd.fill(chunks)
    client.send(b"second")
    crowd.net.turn()
    client.expect_nothing()
    assert held(client) == (11 if taken else 5)
    counters = crowd.net.counters()
    assert (counters["PressureDropSegs"], counters["PressureDropBytes"]) == ((0, 0) if taken else (1, 6))
    crowd.leave()
    client.take()
    client.send(b"second", seq=6)
    crowd.net.turn()
    assert held(client) == 11


@pytest.mark.feature("P30")
def test_the_ack_field_is_processed_first(make_net: MakeNet) -> None:
    """Variant 3: what is acknowledged leaves the transmit buffer though the payload is discarded."""
    crowd = Crowd(make_net())
    client = crowd.client()
    group = client.group
    assert group is not None
    client.send(b"first")
    crowd.net.turn()
    crowd.fill(DISCARDING)
    group.send(client.cd, b"news")
    crowd.net.flush()
    client.take()
    assert crowd.net.transmit_used > 0
    client.send(b"second")
    crowd.net.turn()
    assert crowd.net.counters()["PressureDropSegs"] == 1
    assert (crowd.net.transmit_used, held(client)) == (0, 5)


def test_the_end_of_the_stream_goes_with_the_payload(make_net: MakeNet) -> None:
    """A FIN behind discarded bytes is no end yet; one without payload is."""
    crowd = Crowd(make_net())
    client, other = crowd.client(), crowd.client()
    for peer in (client, other):
        peer.send(b"first")
        crowd.net.turn()
    crowd.fill(DISCARDING)
    client.fin(b"second")
    other.fin()
    crowd.net.turn()
    states = [peer.group.info(peer.cd).state for peer in (client, other) if peer.group is not None]
    assert states == ["ESTABLISHED", "CLOSE_WAIT"]
    client.take()
    other.take()


@pytest.mark.feature("P27", "P29")
def test_who_holds_nothing_is_served_to_the_end(make_net: MakeNet) -> None:
    """In order, also in the last sixteenth: request and answer go on."""
    crowd = Crowd(make_net())
    client = crowd.client()
    crowd.fill(DISCARDING)
    top_up(crowd, LAST + 10)
    for _ in range(5):
        client.exchange(b"request", b"answer")
    assert crowd.state == "discarding"


def top_up(crowd: Crowd, chunks: int) -> None:
    """More use, beyond what holders can reach: each new client brings one segment."""
    while crowd.used < chunks:
        client = crowd.newcomers.pop()
        client.send(b"n" * 1_220)
        crowd.net.turn()
        client.take()


def test_the_last_sixteenth_takes_nothing_behind_a_gap(make_net: MakeNet) -> None:
    crowd = Crowd(make_net())
    early, late = crowd.client(), crowd.client()
    crowd.fill(DISCARDING)
    early.send(b"behind", seq=101)
    crowd.net.turn()
    early.expect("A", ack=1)
    assert crowd.net.counters()["PressureDropSegs"] == 0
    top_up(crowd, LAST)
    late.send(b"behind", seq=101)
    crowd.net.turn()
    late.expect_nothing()
    assert crowd.net.counters()["PressureDropSegs"] == 1


@pytest.mark.feature("P29")
def test_a_gap_may_be_filled(make_net: MakeNet) -> None:
    """Else what lies behind it could never be delivered."""
    crowd = Crowd(make_net())
    client = crowd.client()
    client.send(b"behind", seq=6)
    crowd.net.turn()
    crowd.fill(DISCARDING)
    client.send(b"first", seq=1)
    crowd.net.turn()
    assert held(client) == 11
    client.take()


def test_what_was_offered_stays(make_net: MakeNet) -> None:
    crowd = Crowd(make_net())
    client = crowd.client()
    assert client.request(b"offered") == b"offered"
    client.take()
    crowd.fill(DISCARDING)
    top_up(crowd, CHUNKS - 5)
    group = client.group
    assert group is not None
    group.need(client.cd, 1)
    assert group.recv(100) == (client.cd, b"offered")
    group.send(client.cd, b"", ackd=ALL)
    crowd.net.flush()
    client.take()


@pytest.mark.feature("P29")
def test_the_peer_is_told_when_the_pool_discards_no_more(make_net: MakeNet) -> None:
    crowd = Crowd(make_net())
    client = crowd.client()
    client.send(b"first")
    crowd.net.turn()
    client.take()
    crowd.fill(DISCARDING)
    client.send(b"second")
    crowd.net.turn()
    client.expect_nothing()
    crowd.leave(800)
    assert crowd.state != "discarding"
    client.expect("A", ack=6)


@pytest.mark.feature("P30")
def test_low_priority_is_discarded_first(make_net: MakeNet) -> None:
    crowd = Crowd(make_net())
    clients = [crowd.client(priority=priority) for priority in ("high", "normal", "low")]
    for chunks, taken in ((WITHHOLDING, [True, True, False]), (DISCARDING, [True, False, False])):
        crowd.fill(chunks)
        for client in clients:
            client.send(b"first", seq=1)
            crowd.net.turn()
        before = [held(client) for client in clients]
        for client in clients:
            client.send(b"second", seq=1 + held(client))
        crowd.net.turn()
        assert [held(client) > had for client, had in zip(clients, before, strict=True)] == taken
    for client in clients:
        client.take()
