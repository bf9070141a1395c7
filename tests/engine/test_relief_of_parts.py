"""A pool that parts of requests fill makes room by itself (P27): no application can finish them."""

from __future__ import annotations

import errno

import pytest
from support.net import MakeNet, Net
from support.peer import Client

from xtcp_twisted.config import UNLIMITED
from xtcp_twisted.engine import Group
from xtcp_twisted.engine.kinds import EventKind

pytestmark = pytest.mark.feature("P27")

CHUNK = 244
#: Of the pool; it withholds from 75 % on, and again less than that below 70 %.
CHUNKS = 1_024
#: Of each client: what it sends of a request.
PART = 4 * CHUNK


def served(net: Net) -> Group:
    pool = net.engine.create_pool(CHUNKS * 256)
    return net.group(7, pool=pool, accept_credits=UNLIMITED)


def crowd(net: Net, group: Group, n: int) -> list[Client]:
    clients = [net.client(group).established() for _ in range(n)]
    for client in clients:
        client.send(b"p" * PART)
        net.turn()
    assert net.engine.snapshot().pools[0].receive_buffer.pressure.state == "withholding"
    return clients


def look(group: Group, parts: int) -> None:
    """The application takes everything, and says of so many that they are parts of requests."""
    taken = group.recv_batch(1_024)
    assert sum(len(data) for _, data in taken) == len(taken) * PART
    for cd, _ in taken[:parts]:
        group.need(cd, PART + 1)


def ends(net: Net) -> list[int]:
    return [detail for _, _, _, detail in net.take_events(EventKind.DOWN)]


def quiet(clients: list[Client]) -> None:
    for client in clients:
        client.take()


def test_parts_make_room_and_new_clients_are_accepted(make_net: MakeNet) -> None:
    """200 have 800 chunks; 716 are the most of 1,024 that are less than 70 %: one, two, and so on are 21."""
    net = make_net()
    group = served(net)
    clients = crowd(net, group, 200)
    look(group, 200)
    late = net.client(group)
    late.syn()
    net.turn()
    late.expect_nothing()
    net.advance(9)
    assert ends(net) == []
    counts = []
    for _ in range(30):
        net.advance(0.5)
        counts.append(ends(net))
    assert [len(found) for found in counts if found] == [1, 2, 4, 8, 6]
    assert {number for found in counts for number in found} == {errno.ENOBUFS}
    assert net.engine.snapshot().pools[0].receive_buffer.pressure.state == "frozen"
    late.syn()
    net.turn()
    late.expect("SA", seq=0, ack=1)
    net.advance(60)
    assert ends(net) == []
    quiet([late, *clients])


@pytest.mark.parametrize("parts", [0, 100])
def test_whole_requests_wait_for_the_application(make_net: MakeNet, parts: int) -> None:
    """Also while it has others, whose ends could not make room enough."""
    net = make_net()
    group = served(net)
    clients = crowd(net, group, 200)
    look(group, parts)
    net.advance(60)
    assert ends(net) == []
    quiet(clients)


def test_requests_that_are_complete_by_then_count_as_whole(make_net: MakeNet) -> None:
    net = make_net()
    group = served(net)
    clients = crowd(net, group, 195)
    look(group, 195)
    net.advance(5)
    for client in clients[:110]:
        client.send(b"\n", seq=1 + PART)
        net.turn()
    assert len(group.recv_batch(1_024)) == 110
    assert net.engine.snapshot().pools[0].receive_buffer.pressure.state == "withholding"
    net.advance(60)
    assert ends(net) == []
    quiet(clients)


def test_one_that_was_filled_by_parts_only_later_begins_with_one(make_net: MakeNet) -> None:
    """Looks in vain make no later one greedy."""
    net = make_net()
    group = served(net)
    clients = crowd(net, group, 200)
    taken = group.recv_batch(1_024)
    net.advance(30)
    assert ends(net) == []
    for cd, _ in taken:
        group.need(cd, PART + 1)
    counts = []
    for _ in range(5):
        net.advance(0.5)
        counts.append(len(ends(net)))
    assert [count for count in counts if count][:2] == [1, 2]
    quiet(clients)
