"""Urgent data: in line, announced once per pointer, no byte lost (RFC 9293 3.8.5, RFC 6093; attack 29)."""

from __future__ import annotations

import itertools

import pytest
from support.net import Net
from support.peer import Client

from xtcp_twisted.config import ALL, KiB
from xtcp_twisted.engine import Group
from xtcp_twisted.engine.kinds import EventKind

pytestmark = pytest.mark.requirement("RFC 9293 MUST-30")


def announced(net: Net) -> list[int]:
    """The details of the URGENT events so far, taken away."""
    return [detail for _, _, _, detail in net.take_events(EventKind.URGENT)]


def taken(group: Group, most: int = 65_536) -> bytes:
    """What the application reads now, all of it acknowledged."""
    data = b""
    while (got := group.recv(most)) is not None:
        data += got[1]
        group.send(got[0], b"", ackd=ALL)
    return data


@pytest.mark.requirement("RFC 9293 MUST-32", "RFC 9293 MUST-33")
def test_it_is_announced_with_what_is_left(net: Net) -> None:
    group = net.group(7)
    client = net.client(group).established()
    client.send(b"abc", "PAU", urgent=2)
    net.poll()
    assert announced(net) == [2]
    assert group.info(client.cd).urgent == 2
    assert group.recv(1) == (client.cd, b"a")
    assert group.info(client.cd).urgent == 1
    assert group.recv(1) == (client.cd, b"b")
    assert group.info(client.cd).urgent == 0
    assert group.recv(1) == (client.cd, b"c")


@pytest.mark.requirement("RFC 9293 MUST-31", "RFC 9293 MUST-62")
def test_urgent_data_of_any_length(net: Net) -> None:
    """The pointer may lie far behind the segment: what it announces comes later."""
    group = net.group(7)
    client = net.client(group).established()
    text = bytes(i % 251 for i in range(30_000))
    for at in range(0, len(text), 1_000):
        client.send(text[at : at + 1_000], "AU", urgent=len(text) - at)
        net.turn()
    assert announced(net) == [30_000], "one continuous sequence of urgent data"
    assert group.info(client.cd).urgent == 30_000
    assert taken(group) == text
    assert group.info(client.cd).urgent == 0
    net.flush()
    client.send(b"more", "AU", urgent=4)
    net.turn()
    assert announced(net) == [4]


@pytest.mark.requirement("RFC 9293 MUST-32", "RFC 9293 3.10.7.4 sixth")
def test_each_advance_is_announced_and_nothing_else(net: Net) -> None:
    group = net.group(7)
    client = net.client(group).established()
    for pointer, told in ((3, [3]), (3, []), (2, []), (5, [5]), (0, []), (5, [])):
        client.send(b"", "AU", urgent=pointer)
        net.turn()
        assert announced(net) == told, f"pointer {pointer}"
    client.send(b"abcde", seq=1)
    net.turn()
    assert taken(group) == b"abcde"


@pytest.mark.requirement("RFC 9293 MUST-32")
def test_events_of_one_turn_are_coalesced(net: Net) -> None:
    client = net.client(net.group(7)).established()
    for n in range(10):
        client.send(b"x", "AU", urgent=1 + n)
    net.turn()
    assert announced(net) == [19]


def test_a_pointer_to_what_was_read_is_old_news(net: Net) -> None:
    group = net.group(7)
    client = net.client(group).established()
    client.exchange(b"abc", b"answer")
    client.send(b"abc", "AU", seq=1, urgent=3)
    client.send(b"", "AU", urgent=0)
    net.turn()
    assert announced(net) == []
    assert group.info(client.cd).urgent == 0


def test_what_is_offered_again_is_not_announced_again(net: Net) -> None:
    group = net.group(7)
    client = net.client(group).established()
    client.send(b"abc", "AU", urgent=3)
    net.turn()
    assert announced(net) == [3]
    assert group.recv(10) == (client.cd, b"abc")
    client.send(b"d")
    net.turn()
    assert group.recv(10) == (client.cd, b"abcd")
    assert announced(net) == []


@pytest.mark.requirement("RFC 9293 MUST-66")
@pytest.mark.parametrize("data", [b"", b"xyz"])
def test_it_is_heard_with_a_closed_window(net: Net, data: bytes) -> None:
    pool = net.engine.create_pool(64 * KiB, name="small")
    group = net.group(7, pool=pool)
    client = net.client(group).established()
    while room := group.info(client.cd).rcv_wnd:
        client.send(bytes(min(room, 1_000)))
        net.turn()
    net.take_events()
    client.take()
    client.send(data, "AU", urgent=3)
    client.seq -= len(data)
    net.turn()
    held = group.info(client.cd).held
    assert announced(net) == [held + 3]
    if data:
        assert client.expect("A", ack=client.seq).window == 0
    assert len(taken(group)) == held, "nothing beyond the window was taken"


@pytest.mark.requirement("RFC 9293 MUST-66")
def test_a_reset_with_data_is_obeyed_with_a_closed_window(net: Net) -> None:
    pool = net.engine.create_pool(64 * KiB, name="small")
    group = net.group(7, pool=pool)
    client = net.client(group).established()
    while room := group.info(client.cd).rcv_wnd:
        client.send(bytes(min(room, 1_000)))
        net.turn()
    net.take_events()
    client.take()
    client.send(b"out of memory", "R", seq=client.seq + 1)
    net.turn()
    assert net.kinds() == [], "only the exact number counts (RFC 5961 3.2)"
    client.send(b"out of memory", "R", seq=client.seq)
    net.turn()
    assert net.kinds() == [EventKind.RESET]


@pytest.mark.parametrize("end", ["fin", "rst", "finish", "abort"])
def test_a_pointer_that_is_never_reached_holds_nothing_up(net: Net, end: str) -> None:
    """The urgent data never comes: the connection ends like any other."""
    group = net.group(7)
    client = net.client(group).established()
    client.send(b"abc", "AU", urgent=60_000)
    net.turn()
    assert announced(net) == [60_000]
    assert taken(group) == b"abc"
    if end == "fin":
        client.fin()
        net.turn()
        assert group.recv(10) == (client.cd, b"")
        assert group.info(client.cd).urgent == 0
        group.finish(client.cd)
    elif end == "rst":
        client.rst()
    else:
        getattr(group, end)(client.cd)
    net.turn()
    net.advance(400)
    client.take()
    net.take_events()
    assert net.engine.snapshot().active == 0


def test_after_the_fin_it_means_nothing(net: Net) -> None:
    """RFC 9293 3.10.7.4, sixth: in CLOSE-WAIT and later this should not occur; ignore it."""
    client = net.client(net.group(7)).close_wait()
    client.send(b"", "AU", urgent=9)
    net.turn()
    assert announced(net) == []


@pytest.mark.requirement("RFC 6093 6")
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("pointers", list(itertools.product((0, 1, 3, 4, 65_535), repeat=2)))
def test_no_byte_is_lost_whatever_overlaps(net: Net, pointers: tuple[int, int], reverse: bool) -> None:
    """Two segments of three bytes that overlap by one, each with a pointer of its own."""
    group = net.group(7)
    client: Client = net.client(group).established()
    pieces = [(1, b"abc", pointers[0]), (3, b"cde", pointers[1])]
    for seq, data, pointer in reversed(pieces) if reverse else pieces:
        client.send(data, "PAU", seq=seq, urgent=pointer)
        net.turn()
    assert taken(group) == b"abcde"
    ends = [1 + pointers[0], 3 + pointers[1]]
    told = announced(net)
    assert bool(told) == (max(ends) > 1)
    assert len(told) <= 2
    client.is_alive()
