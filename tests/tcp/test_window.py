"""The window that we announce (RFC 9293 3.8.6; architecture section 4)."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from support.net import MakeNet, Net
from support.peer import Client

from xtcp_twisted.config import ALL, MiB
from xtcp_twisted.engine import Group


def small_pool(make_net: MakeNet, **options: Any) -> tuple[Net, Group]:
    """A pool in which one connection may hold 4 KiB (free / 64)."""
    net = make_net()
    pool = net.engine.create_pool(256 * 1024)
    return net, net.group(7, pool=pool, **options)


def fill(net: Net, client: Client) -> int:
    """Send up to the announced edge; returns where that is."""
    for _ in range(100):
        room = client.judge.edge - client.seq
        if room <= 0:
            break
        client.send(b"f" * min(room, 1_000))
        net.turn()
        client.take()
    net.advance(0.1)
    client.take()
    return client.judge.edge


def test_the_initial_window_is_the_quota_up_to_65535(make_net: MakeNet) -> None:
    net = make_net()
    large = net.engine.create_pool(64 * MiB)
    client = net.client(net.group(7, pool=large)).syn_received()
    assert client.judge.edge == 1 + 65_535


def test_a_small_pool_announces_what_it_can_keep(make_net: MakeNet) -> None:
    """A window is a promise: it must not exceed the connection's quota."""
    net, group = small_pool(make_net)
    client = net.client(group).syn_received()
    assert 2_048 <= client.judge.edge - 1 <= 4_096 + 127


@pytest.mark.requirement("RFC 9293 SHLD-14", "RFC 7323 2.4")
def test_the_edge_stays_while_nothing_is_acknowledged(make_net: MakeNet) -> None:
    """Data fills the window to zero; the right edge neither moves on nor retreats (the judge)."""
    net, group = small_pool(make_net, ack_policy="immediate")
    client = net.client(group).established()
    edge = fill(net, client)
    client.send(b"", "A", seq=client.seq - 1)
    net.turn()
    answer = client.take()[-1]
    assert (answer.ack - client.iss) % 2**32 == client.seq == edge
    assert answer.window == 0


def test_acknowledging_opens_the_window_at_once(make_net: MakeNet) -> None:
    """The client must not wait for its own probe."""
    net, group = small_pool(make_net)
    client = net.client(group).established()
    edge = fill(net, client)
    received = group.recv(65_536)
    assert received is not None
    group.send(client.cd, b"", ackd=ALL)
    net.flush()
    assert client.take(), "a window update"
    assert client.judge.edge >= edge + 1_460
    client.is_alive()


@pytest.mark.requirement("RFC 9293 3.10.7.4 first")
def test_data_beyond_the_edge_is_not_taken(make_net: MakeNet) -> None:
    """The part inside of the window is (RFC 9293 3.10.7.4: trimmed), the rest comes again."""
    net, group = small_pool(make_net, ack_policy="immediate")
    client = net.client(group).established()
    edge = client.judge.edge
    size = edge - 1
    for at in range(0, size + 1_400, 1_400):
        client.send(b"d" * 1_400, seq=1 + at)
    net.turn()
    assert client.judge.last_ack <= edge
    received = group.recv(65_536)
    assert received is not None and len(received[1]) == client.judge.last_ack - 1


@pytest.mark.requirement("RFC 9293 MAY-8", "RFC 9293 3.10.7.4 first")
def test_a_zero_window_probe_is_answered(make_net: MakeNet) -> None:
    """RFC 9293 MUST-66 and 3.8.6.1: by an ACK with the present window, taking nothing."""
    net, group = small_pool(make_net, ack_policy="immediate")
    client = net.client(group).established()
    edge = fill(net, client)
    for _ in range(5):
        net.advance(2)
        client.send(b"p", seq=edge)
        net.turn()
        client.expect("A", ack=edge, win=0)
    client.seq = edge


@pytest.mark.requirement("RFC 9293 SHLD-2")
@pytest.mark.parametrize("data", [b"", b"reason: bored"])
def test_a_reset_is_obeyed_with_a_closed_window(make_net: MakeNet, data: bytes) -> None:
    """RFC 9293 MUST-66."""
    net, group = small_pool(make_net, ack_policy="immediate")
    client = net.client(group).established()
    edge = fill(net, client)
    client.send(data, "R", seq=edge)
    net.turn()
    assert net.engine.snapshot().connections == 0
    assert net.receive_used == 0


def test_a_quarter_of_the_buffer_is_worth_an_update(make_net: MakeNet) -> None:
    """Also to a peer that is not near the edge; it may wait for room for a whole message."""
    net = make_net()
    group = net.group(7, pool=net.engine.create_pool(4 * MiB), ack_policy="immediate")
    client = net.client(group, wscale=None).established()
    for _ in range(20):
        client.send(b"x" * 1_000)
        net.turn()
        client.expect("A", ack=client.seq)
    shown = client.judge.edge - client.seq
    assert shown > 65_536 // 2
    group.recv(20_000)
    group.send(client.cd, b"", ALL)
    net.flush()
    update = client.take()
    assert [segment.window for segment in update] == [shown + 20_000]


def test_room_that_cannot_be_shown_is_no_update(make_net: MakeNet) -> None:
    """Without window scaling 65,535 is all that can be shown: a second ACK would be a duplicate one."""
    net = make_net()
    group = net.group(7, pool=net.engine.create_pool(64 * MiB), ack_policy="immediate")
    client = net.client(group, wscale=None).established()
    client.send(b"request")
    net.turn()
    client.expect("A", ack=8)
    assert group.recv(100) == (client.cd, b"request")
    group.send(client.cd, b"", ALL)
    net.flush()
    client.expect_nothing()


@pytest.mark.requirement("RFC 9293 MUST-39")
def test_no_silly_windows(make_net: MakeNet) -> None:
    """RFC 9293 MUST-39: a reader of single bytes does not advance the edge by single bytes."""
    net, group = small_pool(make_net)
    client = net.client(group).established()
    fill(net, client)
    assert group.recv(65_536) is not None
    edges = [client.judge.edge]
    for _ in range(600):
        group.send(client.cd, b"", ackd=1)
        net.flush()
        while group.recv(65_536):
            pass
        edges.append(client.judge.edge)
    steps = [b - a for a, b in itertools.pairwise(edges) if b > a]
    assert all(step >= 1_000 for step in steps), steps


def test_the_peers_pace_sets_ours(make_net: MakeNet) -> None:
    """Sixty-four windows in a row: whatever is read makes room again, without a stall."""
    net, group = small_pool(make_net)
    client = net.client(group).established()
    sent = received = 0
    for _ in range(400):
        room = min(client.judge.edge - client.seq, 1_000)
        if room > 0:
            client.send(b"x" * room)
            sent += room
        net.turn()
        got = group.recv(65_536)
        if got is not None:
            received += len(got[1])
            group.send(client.cd, b"", ackd=ALL)
        net.flush()
    assert received == sent > 64 * 4_096
