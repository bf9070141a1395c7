"""Receiving, acknowledging and answering through a Unix socket (P12 to P19, P31)."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import termios

import pytest
from support.descriptors import open_descriptors

from tests.unix.conftest import World, got
from xtcp_twisted.config import ALL
from xtcp_twisted.engine.kinds import EventKind
from xtcp_twisted.engine.unix_calls import BATCH_BYTES, MOST_AT_ONCE
from xtcp_twisted.errors import NotAcknowledgeable, StaleConnection

pytestmark = pytest.mark.feature("P31")


def unacknowledged(client: socket.socket) -> int:
    """What the client's kernel counts as under way (SIOCOUTQ): more than payload, 0 when all was read."""
    size = bytearray(4)
    fcntl.ioctl(client, termios.TIOCOUTQ, size)
    return int(struct.unpack("i", size)[0])


@pytest.mark.feature("P13", "P15", "P16")
def test_request_and_answer(world: World) -> None:
    group = world.group()
    client, cd = world.connected(group)
    world.asked(client, b"hello")
    assert [event[:3] for event in world.net.take_events()] == [(EventKind.DATA, group.fileno(), cd)]
    assert group.recv(100) == (cd, b"hello")
    assert group.recv(100) is None
    assert group.send(cd, b"world", ackd=5) == 5
    assert got(client) is None  # calls only queue
    world.net.flush()
    assert got(client) == b"world"


@pytest.mark.feature("P14")
def test_what_was_not_acknowledged_is_under_way_to_the_client(world: World) -> None:
    group = world.group()
    client, cd = world.connected(group)
    world.asked(client, b"request")
    assert group.recv(100) == (cd, b"request")
    assert unacknowledged(client) > 0
    group.send(cd, b"", ackd=7)
    assert unacknowledged(client) == 0


@pytest.mark.feature("P14")
def test_a_server_that_ends_has_not_read_what_it_did_not_acknowledge(world: World) -> None:
    """The client knows: it is told ECONNRESET instead of an end in order."""
    group = world.group()
    client, cd = world.connected(group)
    world.asked(client, b"request")
    assert group.recv(100) == (cd, b"request")
    group.abort(cd)
    with pytest.raises(ConnectionResetError):
        client.recv(1)


@pytest.mark.feature("P18")
def test_the_remainder_comes_again_with_what_came_after(world: World) -> None:
    group = world.group()
    client, cd = world.connected(group)
    world.asked(client, b"first,second")
    assert group.recv(100) == (cd, b"first,second")
    group.send(cd, b"", ackd=6)
    world.asked(client, b",third")
    assert group.recv(100) == (cd, b"second,third")
    group.send(cd, b"", ackd=ALL)
    world.net.turn()
    assert group.recv(100) is None
    assert unacknowledged(client) == 0


@pytest.mark.feature("P18")
def test_redelivery_does_not_spin(world: World) -> None:
    """What is not acknowledged is offered again when something happens, not by itself."""
    group = world.group()
    client, cd = world.connected(group)
    world.asked(client, b"later")
    assert group.recv(100) == (cd, b"later")
    world.net.take_events()
    for _ in range(3):
        world.net.turn()
        assert group.recv(100) is None
    assert world.net.take_events() == []
    assert world.net.engine.poll_at() is None
    world.asked(client, b"!")
    assert group.recv(100) == (cd, b"later!")


@pytest.mark.feature("P17")
@pytest.mark.parametrize("ackd", [6, -1, "5", 1.0])
def test_more_than_was_delivered_cannot_be_acknowledged(world: World, ackd: int) -> None:
    group = world.group()
    client, cd = world.connected(group)
    world.asked(client, b"hello, and more")
    assert group.recv(5) == (cd, b"hello")
    with pytest.raises(NotAcknowledgeable, match="5 bytes were delivered"):
        group.send(cd, b"answer", ackd=ackd)
    world.net.flush()
    assert got(client) is None
    assert group.recv(100) == (cd, b", and more")


def test_recv_in_pieces(world: World) -> None:
    group = world.group()
    client, cd = world.connected(group)
    world.asked(client, b"0123456789")
    assert [group.recv(4) for _ in range(4)] == [(cd, b"0123"), (cd, b"4567"), (cd, b"89"), None]
    group.send(cd, b"", ackd=5)
    assert group.recv(100) == (cd, b"56789")


def test_a_busy_connection_does_not_starve_the_others(world: World) -> None:
    group = world.group()
    (busy, first), (quiet, second) = world.connected(group), world.connected(group)
    busy.sendall(bytes(1_000))
    quiet.sendall(b"me too")
    world.net.turn()
    assert [found[0] for found in (group.recv(10), group.recv(10)) if found] == [first, second]


def test_recv_batch_offers_each_connection_once(world: World) -> None:
    group = world.group()
    made = [world.connected(group) for _ in range(6)]
    for client, _ in made:
        client.sendall(b"a")
        client.sendall(b"b")
    world.net.turn()
    first, rest = group.recv_batch(4), group.recv_batch(100)
    assert len(first) == 4
    assert first + rest == [(cd, b"ab") for _, cd in made]
    assert group.recv_batch(100) == []
    assert group.recv_batch(-1) == []


def test_a_batch_is_bounded_in_bytes(world: World) -> None:
    """Its connections' bytes lie in the kernel, so no buffer bounds them; the others have their turn next."""
    group = world.group()
    made = [world.connected(group) for _ in range(80)]
    sent = {}
    for client, cd in made:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 212_992)
        sent[cd] = client.send(bytes(200_000))
    world.net.turn()
    assert sum(sent.values()) > BATCH_BYTES
    first = group.recv_batch(100)
    assert 0 < sum(len(data) for _, data in first) < BATCH_BYTES + MOST_AT_ONCE
    rest = group.recv_batch(100)
    assert {cd: len(data) for cd, data in first + rest} == sent


def test_done_acknowledges_what_a_batch_delivered(world: World) -> None:
    group = world.group()
    made = [world.connected(group) for _ in range(3)]
    for client, _ in made:
        client.sendall(b"request")
    world.net.turn()
    batch = group.recv_batch(10)
    group.abort(made[0][1])
    group.done(batch)
    assert [unacknowledged(client) for client, _ in made[1:]] == [0, 0]


def test_data_events_are_coalesced(world: World) -> None:
    group = world.group()
    client, _ = world.connected(group)
    for _ in range(5):
        client.sendall(b"x")
        world.net.engine.poll(world.net.now)
    world.net.turn()
    assert world.net.kinds() == [EventKind.DATA]


def test_events_of_a_connection_come_in_order(world: World) -> None:
    group = world.group()
    for _ in range(3):
        client = world.client(group)
        client.sendall(b"hello")
        client.shutdown(socket.SHUT_WR)
    world.net.turn()
    world.net.turn()
    told: dict[int, list[EventKind]] = {}
    for kind, _, cd, _ in world.net.take_events():
        told.setdefault(cd, []).append(kind)
    assert list(told.values()) == [[EventKind.ESTABLISHED, EventKind.DATA, EventKind.EOF]] * 3


def test_recv_more_goes_on_with_one_connection(world: World) -> None:
    group = world.group()
    client, cd = world.connected(group)
    client.sendall(b"abcdefgh")
    client.shutdown(socket.SHUT_WR)
    world.net.turn()
    assert group.recv_batch(1, 3) == [(cd, b"abc")]
    assert group.recv_more(cd, 3) == b"def"
    group.pause(cd)
    assert group.recv_more(cd, 3) is None
    group.resume(cd)
    assert group.recv_more(cd, 3) == b"gh"
    assert group.recv_more(cd, 3) is None, "the end is told as ever"
    assert group.recv_batch(1, 3) == [(cd, b"")]
    group.finish(cd)
    assert group.recv_more(cd, 3) is None


def test_the_end_of_the_stream_is_told_once_after_all_data(world: World) -> None:
    group = world.group()
    client, cd = world.connected(group)
    client.sendall(b"the end")
    client.shutdown(socket.SHUT_WR)
    world.net.turn()
    assert world.net.kinds() == [EventKind.DATA, EventKind.EOF]
    assert group.recv(100) == (cd, b"the end")
    assert group.recv(100) == (cd, b"")
    assert group.recv(100) is None
    # It may still be answered, and then it is over in order.
    group.send(cd, b"bye", ackd=ALL)
    group.shutdown(cd)
    world.net.flush()
    assert (got(client), got(client)) == (b"bye", b"")
    world.net.turn()
    assert world.net.kinds() == [EventKind.CLOSED]
    with pytest.raises(StaleConnection):
        group.send(cd, b"", 0)


class TestPause:
    def test_nothing_is_offered_meanwhile(self, world: World) -> None:
        group = world.group()
        client, cd = world.connected(group)
        group.pause(cd)
        client.sendall(b"wait")
        client.shutdown(socket.SHUT_WR)
        world.net.turn()
        assert group.recv(100) is None
        assert world.net.take_events() == []
        group.resume(cd)
        assert group.recv(100) == (cd, b"wait")
        world.net.turn()
        assert EventKind.EOF in world.net.kinds()


class TestStrangeClients:
    """What a client does with its socket costs only itself."""

    def test_descriptors_sent_along_are_not_taken(self, world: World) -> None:
        group = world.group()
        client, cd = world.connected(group)
        before = open_descriptors()
        for i in range(3):
            socket.send_fds(client, [b"part%d" % i], [0, 1, 2])
        world.net.turn()
        assert group.recv(100) == (cd, b"part0part1part2")
        group.send(cd, b"", ackd=ALL)
        assert open_descriptors() == before
        assert unacknowledged(client) == 0

    def test_urgent_data_comes_in_line(self, world: World) -> None:
        group = world.group()
        client, cd = world.connected(group)
        client.send(b"before")
        client.send(b"!", socket.MSG_OOB)
        client.send(b"after")
        world.net.turn()
        assert group.recv(100) == (cd, b"before!after")
        group.send(cd, b"", ackd=ALL)
        assert unacknowledged(client) == 0

    def test_bytes_that_somebody_else_has_read(self, world: World) -> None:
        """A process that was forked has the same socket: what it took is missing, and nothing else is."""
        group = world.group()
        client, cd = world.connected(group)
        world.asked(client, b"0123456789")
        with socket.socket(fileno=os.dup(group.members[cd].fileno())) as twin:
            assert twin.recv(4) == b"0123"
        assert group.recv(100) == (cd, b"456789")
        assert group.recv(100) is None
        group.send(cd, b"", ackd=ALL)
        world.asked(client, b"more")
        assert group.recv(100) == (cd, b"more")
        with socket.socket(fileno=os.dup(group.members[cd].fileno())) as twin:
            assert twin.recv(4) == b"more"
        world.asked(client, b"again")
        assert group.recv(100) == (cd, b"again")
        group.send(cd, b"", ackd=ALL)
        assert unacknowledged(client) == 0

    def test_single_bytes(self, world: World) -> None:
        group = world.group()
        client, cd = world.connected(group)
        for i in range(100):
            client.send(bytes([i]))
        world.net.turn()
        assert group.recv(1_000) == (cd, bytes(range(100)))
        group.send(cd, b"", ackd=50)
        assert group.recv(1_000) == (cd, bytes(range(50, 100)))
