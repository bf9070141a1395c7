"""One payload to many connections, stored once (P19; architecture section 4)."""

from __future__ import annotations

import pytest
from support.net import MakeNet, Net

from xtcp_twisted.config import UNLIMITED
from xtcp_twisted.engine.kinds import EventKind

pytestmark = pytest.mark.feature("P19")

NEWS = bytes(range(250)) * 4


def test_it_reaches_every_connection_of_the_group(net: Net) -> None:
    group, other = net.group(7, accept_credits=UNLIMITED), net.group(8)
    clients = [net.client(group).established() for _ in range(20)]
    stranger = net.client(other).established()
    assert group.broadcast(NEWS) == 20
    net.turn()
    for client in clients:
        client.expect("PA", seq=1, ack=1, data=NEWS)
    stranger.expect_nothing()


def test_it_is_stored_once(net: Net) -> None:
    """Twenty copies would need 20,000 bytes; one needs its chunks and twenty extents."""
    group = net.group(7, accept_credits=UNLIMITED)
    clients = [net.client(group).established() for _ in range(20)]
    group.send(clients[0].cd, NEWS)
    net.turn()
    one = net.transmit_used
    clients[0].ack()
    net.turn()
    assert net.transmit_used == 0
    group.broadcast(NEWS)
    net.turn()
    assert net.transmit_used < 3 * one
    for client in clients[:-1]:
        client.ack()
    net.turn()
    assert net.transmit_used >= len(NEWS), "the last one may still need it"
    clients[-1].ack()
    net.turn()
    assert net.transmit_used == 0


def test_to_some(net: Net) -> None:
    group = net.group(7)
    clients = [net.client(group).established() for _ in range(4)]
    assert group.broadcast(b"psst", [clients[1].cd, clients[3].cd]) == 2
    net.turn()
    for index, client in enumerate(clients):
        if index % 2:
            client.expect("A", data=b"psst")
        client.expect_nothing()


def test_to_nobody(net: Net) -> None:
    group = net.group(7)
    assert group.broadcast(b"echo?") == 0
    client = net.client(group).established()
    assert group.broadcast(b"none of you", []) == 0
    net.turn()
    client.expect_nothing()
    assert net.transmit_used == 0


def test_a_lost_copy_is_sent_again_to_whom_it_was_lost(net: Net) -> None:
    group = net.group(7)
    first, second = net.client(group).established(), net.client(group).established()
    group.broadcast(NEWS)
    net.turn()
    first.expect("A", data=NEWS)
    second.expect("A", data=NEWS)
    second.ack()
    net.turn()
    net.advance(0.25)
    first.expect("A", seq=1, data=NEWS)
    second.expect_nothing()


def test_the_end_of_one_receiver_does_not_hurt_the_others(net: Net) -> None:
    group = net.group(7)
    clients = [net.client(group).established() for _ in range(3)]
    group.broadcast(NEWS)
    net.turn()
    for client in clients:
        client.take()
    group.abort(clients[0].cd)
    clients[1].rst()
    net.turn()
    clients[0].take()
    net.advance(0.25)
    clients[2].expect("A", seq=1, data=NEWS)


def test_a_closing_connection_is_left_out(net: Net) -> None:
    group = net.group(7)
    open_, closing = net.client(group).established(), net.client(group).established()
    group.shutdown(closing.cd)
    assert group.broadcast(b"x") == 1
    net.turn()
    open_.expect("A", data=b"x")
    closing.expect("FA", seq=1)


def test_whoever_cannot_take_it_is_reported(make_net: MakeNet) -> None:
    """STALLED for the connections whose quota is used up; the others get it."""
    net = make_net(transmit_buffer=64 * 1024)
    group = net.group(7)
    stuck, free = net.client(group, window=0).established(), net.client(group).established()
    assert not all(group.send(stuck.cd, bytes(1_000)) for _ in range(1_000))
    net.turn()
    net.take_events()
    assert group.broadcast(b"news") == 1
    net.turn()
    free.expect("A", data=b"news")
    assert [(kind, cd) for kind, _, cd, _ in net.take_events()] == [(EventKind.STALLED, stuck.cd)]


def test_room_is_told_of_after_the_loss(make_net: MakeNet) -> None:
    """Both are told at once here: whoever makes good for a loss when there is room must have heard of it."""
    net = make_net(transmit_buffer=64 * 1024)
    group = net.group(7)
    client = net.client(group).established()
    while group.send(client.cd, bytes(1_000)):
        pass
    net.turn()
    net.take_events()
    assert group.broadcast(b"news") == 0
    client.take()
    client.ack()
    net.turn()
    told = [(kind, cd) for kind, _, cd, _ in net.take_events()]
    assert told == [(EventKind.STALLED, client.cd), (EventKind.WRITABLE, client.cd)]
    assert group.broadcast(b"news") == 1


def test_stale_and_foreign_ids_are_passed_over(net: Net) -> None:
    """In a broadcast to thousands somebody has always just gone."""
    group, other = net.group(7), net.group(8)
    mine, foreign = net.client(group).established(), net.client(other).established()
    gone = net.client(group).established()
    group.abort(gone.cd)
    net.turn()
    gone.take()
    assert group.broadcast(b"x", [gone.cd, foreign.cd, mine.cd]) == 1
    net.turn()
    mine.expect("A", data=b"x")
    foreign.expect_nothing()
    gone.expect_nothing()
