"""A frozen pool keeps the right window edge of who holds data until the pressure falls (P27, P29)."""

from __future__ import annotations

import pytest
from support.net import MakeNet
from support.peer import Client
from support.pressure import CALM, CHUNK, CHUNKS, FROZEN, OPEN, Crowd

from xtcp_twisted.config import ALL, UNLIMITED


def read_all_but(client: Client, rest: int) -> None:
    """The application takes everything and acknowledges all but the last `rest` bytes."""
    assert client.group is not None
    net = client.net
    with net.in_turn():
        while client.group.recv(65_536):
            pass
        delivered = client.group.info(client.cd).delivered
        client.group.send(client.cd, b"", ackd=delivered - rest)
    client.take()


def send(client: Client, size: int) -> None:
    for at in range(0, size, 1_000):
        client.send(b"f" * min(1_000, size - at))
        client.net.turn()
        client.take()


@pytest.mark.feature("P27")
def test_the_edge_of_a_holder_stays_while_the_pool_is_frozen(make_net: MakeNet) -> None:
    """The same steps: what is read moves the edge in the open pool, and not in the frozen one."""
    moved = {}
    for chunks in (OPEN, FROZEN):
        crowd = Crowd(make_net())
        client = crowd.client()
        send(client, 28_000)
        crowd.fill(chunks)
        edge = client.judge.edge
        read_all_but(client, 2_000)
        send(client, 500)
        moved[crowd.state] = client.judge.edge - edge
    assert moved["open"] > 5_000
    assert moved["frozen"] == 0


@pytest.mark.feature("P27")
def test_the_window_update_comes_when_the_pressure_falls(make_net: MakeNet) -> None:
    """In the same turn, unasked: the client sends nothing and waits for no timer."""
    crowd = Crowd(make_net())
    client = crowd.client()
    send(client, 28_000)
    crowd.fill(FROZEN)
    read_all_but(client, 2_000)
    send(client, client.judge.edge - client.seq)
    edge, at = client.judge.edge, crowd.net.now
    assert client.seq == edge, "the window is closed"
    updates = crowd.net.counters()["WindowUpdates"]
    crowd.leave(CALM - 1)
    assert crowd.state == "open"
    assert len(client.take()) == 1
    assert client.judge.edge >= edge + 2 * 1_460
    assert crowd.net.counters()["WindowUpdates"] > updates
    assert crowd.net.now == at


def test_who_holds_nothing_has_a_window_all_the_same(make_net: MakeNet) -> None:
    crowd = Crowd(make_net())
    client = crowd.client()
    crowd.fill(FROZEN)
    first = client.judge.edge
    while client.seq < 2 * first:
        assert client.judge.edge - client.seq >= 5_000
        send(client, 5_000)
        read_all_but(client, 0)
    assert crowd.state == "frozen"


def test_a_request_of_the_guaranteed_size_can_always_be_completed(make_net: MakeNet) -> None:
    """Eight chunks each: else clients with a part of a request each would hold the pool for ever."""
    crowd = Crowd(make_net())
    client = crowd.client()
    crowd.fill(FROZEN)
    send(client, client.judge.edge - client.seq)
    read_all_but(client, 100)
    assert client.judge.edge - client.seq >= 6 * CHUNK
    send(client, 6 * CHUNK)
    assert crowd.state == "frozen"
    assert client.group is not None
    assert client.group.info(client.cd).held == 100 + 6 * CHUNK


@pytest.mark.feature("P30")
@pytest.mark.parametrize("priority, freezes", [("high", False), ("normal", True), ("low", True)])
def test_high_priority_is_not_frozen_yet(make_net: MakeNet, priority: str, freezes: bool) -> None:
    crowd = Crowd(make_net())
    client = crowd.client(priority=priority)
    send(client, 28_000)
    crowd.fill(FROZEN)
    edge = client.judge.edge
    read_all_but(client, 2_000)
    send(client, 500)
    assert (client.judge.edge == edge) == freezes


def test_the_way_back_is_bounded_and_goes_on_at_once(make_net: MakeNet) -> None:
    """More throttled connections than one flush looks at: the next turn is due at once, all are served."""
    net = make_net(mtu=9_000)
    pool = net.engine.create_pool(4 * CHUNKS * 256)
    group = net.group(7, pool=pool, ack_policy="immediate", accept_credits=UNLIMITED)
    crowd = net.group(8, pool=pool, weight=64, ack_policy="immediate", accept_credits=UNLIMITED)
    hogs = [net.client(crowd, mss=8_960).established() for _ in range(8)]
    for hog in hogs:
        for _ in range(7):
            hog.send(b"h" * 8_900)
            net.turn()
        hog.take()
    assert net.engine.snapshot().pools[0].receive_buffer.pressure.state == "frozen"
    clients = [net.client(group, mss=8_960).established() for _ in range(300)]
    for client in clients:
        client.send(b"w" * (client.judge.edge - client.seq))
        net.turn()
        read_all_but(client, 100)
    edges = [client.judge.edge for client in clients]
    with net.in_turn():
        for hog in hogs:
            while crowd.recv(65_536):
                pass
            crowd.send(hog.cd, b"", ackd=ALL)
    assert net.engine.snapshot().pools[0].receive_buffer.pressure.state == "open"
    updated = sum(bool(client.take()) for client in clients)
    assert 0 < updated < len(clients)
    assert net.engine.poll_at() == net.now
    net.advance(0)
    assert all(client.judge.edge > edge for client, edge in zip(clients, edges, strict=True))
    for peer in (*clients, *hogs):
        peer.take()
