"""Receiving, acknowledging and answering through a Unix socket (P12 to P19, P31)."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
import termios
from collections.abc import Iterator

import pytest
from support.descriptors import open_descriptors

from tests.unix.conftest import World, got
from xtcp_twisted.config import ALL
from xtcp_twisted.engine.kinds import EventKind
from xtcp_twisted.engine.unix_calls import BATCH_BYTES, MOST_AT_ONCE
from xtcp_twisted.engine.unix_group import UnixGroup
from xtcp_twisted.errors import LocalError, NotAcknowledgeable, StaleConnection, WriteClosed

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


def begun(world: World, group: UnixGroup) -> tuple[socket.socket, int]:
    """A client whose kernel lets it have little under way."""
    client, cd = world.connected(group)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_608)
    return client, cd


def trickle(client: socket.socket, data: bytes) -> Iterator[int]:
    """Send as its kernel lets it; yields how much that is so far."""
    sent = 0
    while True:
        try:
            sent += client.send(data[sent:])
        except BlockingIOError:
            pass
        except OSError:
            return
        yield sent


class TestNeed:
    """A request may be longer than what the kernel lets a client have under way."""

    def test_it_is_offered_when_complete(self, world: World) -> None:
        group = world.group()
        client, cd = world.connected(group)
        world.asked(client, b"abc")
        assert group.recv(100) == (cd, b"abc")
        group.need(cd, 6)
        world.asked(client, b"de")
        assert group.recv(100) is None
        world.asked(client, b"fgh")
        assert group.recv(100) == (cd, b"abcdefgh")
        group.send(cd, b"", ackd=4)
        assert group.recv(100) == (cd, b"efgh")
        group.send(cd, b"", ackd=4)
        assert world.net.receive_used == 0

    def test_an_end_completes_it(self, world: World) -> None:
        group = world.group()
        client, cd = world.connected(group)
        world.asked(client, b"abc")
        group.recv(100)
        group.need(cd, 100)
        client.shutdown(socket.SHUT_WR)
        world.net.turn()
        assert group.recv(100) == (cd, b"abc")
        assert group.recv(100) == (cd, b"")

    @pytest.mark.feature("P12", "P27")
    def test_a_client_with_a_small_buffer_can_send_a_long_request(self, world: World) -> None:
        """What has come is taken into the pool's receive buffer, and counted there."""
        group = world.group(weight=16)
        client, cd = world.connected(group)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_608)
        request = os.urandom(60_000)
        sent = client.send(request)
        assert sent < 20_000
        world.net.turn()
        group.recv(1)
        group.need(cd, len(request))
        while sent < len(request):
            sent += client.send(request[sent:])
            world.net.turn()
        assert world.net.receive_used > 40_000
        assert world.net.engine.snapshot().pools[0].groups[0].held == world.net.receive_used
        assert group.recv(100_000) == (cd, request)
        group.send(cd, b"", ackd=ALL)
        assert world.net.receive_used == 0

    @pytest.mark.feature("P27")
    def test_it_goes_on_when_others_have_made_room(self, world: World) -> None:
        pool = world.net.engine.create_pool(65_536)
        group = world.group(pool=pool, weight=64)
        (first, one), (second, two) = begun(world, group), begun(world, group)
        long, short = bytes(range(250)) * 230, bytes(range(250)) * 80
        group.need(one, len(long))
        group.need(two, len(short))
        for sent in trickle(first, long):
            world.net.turn()
            if sent == len(long):
                break
        assert group.recv(100_000) == (one, long)
        sending = trickle(second, short)
        for _ in range(50):
            next(sending)
            world.net.turn()
        assert group.recv(100_000) is None
        group.send(one, b"", ackd=ALL)
        for _ in range(50):
            world.net.turn()
            next(sending)
        assert group.recv(100_000) == (two, short)

    @pytest.mark.feature("P27")
    def test_a_pool_full_of_beginnings_gives_one_up(self, world: World) -> None:
        """Else none of them could ever be completed."""
        pool = world.net.engine.create_pool(65_536)
        group = world.group(pool=pool, weight=64)
        request = bytes(range(250)) * 200
        made = [begun(world, group) for _ in range(3)]
        sending = [trickle(client, request) for client, _ in made]
        for _, cd in made:
            group.need(cd, len(request))
        served, down = [], []
        for _ in range(400):
            for client in sending:
                next(client, None)
            world.net.advance(0.1)
            down += [(cd, why) for _, _, cd, why in world.net.take_events(EventKind.DOWN)]
            for cd, data in group.recv_batch(10):
                assert data == request
                served.append(cd)
                group.send(cd, b"", ackd=ALL)
        assert len(served) == 1
        assert [why for _, why in down] == [errno.ENOBUFS, errno.ENOBUFS]
        assert sorted(served + [cd for cd, _ in down]) == sorted(cd for _, cd in made)
        assert pool.groups()[0].readable == world.net.receive_used == 0

    @pytest.mark.parametrize("n", [-1, "7", 1 << 30])
    def test_nonsense(self, world: World, n: int) -> None:
        group = world.group()
        _, cd = world.connected(group)
        with pytest.raises(LocalError, match="need: .* is not allowed; give an integer from 0"):
            group.need(cd, n)


class TestSending:
    @pytest.mark.feature("P19", "P27")
    def test_a_client_that_does_not_read_costs_only_itself(self, world: World) -> None:
        group = world.group()
        (lazy, first), (eager, second) = world.connected(group), world.connected(group)
        answer = os.urandom(50_000)
        taken = 0
        while more := group.send(first, answer):
            taken += more
            world.net.flush()
        assert taken > 100_000
        assert 0 < world.net.transmit_used <= world.net.engine.snapshot().transmit_buffer.size // 32
        assert group.send(second, b"hello") == 5
        world.net.flush()
        assert got(eager) == b"hello"
        # When it reads at last, it finds everything, and there is room again.
        found = b""
        while len(found) < taken:
            found += got(lazy) or b""
            world.net.turn()
        assert found == (answer * (taken // len(answer) + 1))[:taken]
        assert world.net.transmit_used == 0
        assert (EventKind.WRITABLE, group.fileno(), first, 0) in world.net.take_events()

    @pytest.mark.feature("P27")
    @pytest.mark.parametrize("timeout_s", [100, 0])
    def test_a_full_buffer_is_cleared_of_those_who_take_nothing(self, world: World, timeout_s: int) -> None:
        """After 10 s of discarding, long before the user timeout: then others may send again."""
        group = world.group(user_timeout_s=timeout_s)
        lazy = [world.connected(group)[1] for _ in range(250)]
        for cd in lazy:
            while group.send(cd, bytes(200_000)):
                world.net.flush()
        assert world.net.engine.snapshot().transmit_buffer.pressure.state == "discarding"
        eager, honest = world.connected(group)
        world.net.advance(9.9)
        assert world.net.take_events(EventKind.DOWN) == []
        world.net.advance(0.2)
        down = [cd for _, _, cd, _ in world.net.take_events(EventKind.DOWN)]
        assert down
        assert set(down) < set(lazy)
        assert world.net.engine.snapshot().transmit_buffer.pressure.state != "discarding"
        assert group.send(honest, bytes(1_000)) == 1_000
        world.net.flush()
        assert got(eager) == bytes(1_000)

    @pytest.mark.feature("P21")
    def test_a_client_that_takes_nothing_for_long_is_down(self, world: World) -> None:
        group = world.group(user_timeout_s=30)
        _, cd = world.connected(group)
        while group.send(cd, bytes(50_000)):
            world.net.flush()
        world.net.advance(29.9)
        assert world.net.take_events(EventKind.DOWN) == []
        world.net.advance(0.2)
        assert world.net.take_events(EventKind.DOWN) == [
            (EventKind.DOWN, group.fileno(), cd, errno.ETIMEDOUT)
        ]
        assert world.net.transmit_used == 0
        with pytest.raises(StaleConnection):
            group.user(cd)

    def test_a_connection_may_have_another_timeout(self, world: World) -> None:
        group = world.group(user_timeout_s=300)
        _, cd = world.connected(group)
        while group.send(cd, bytes(50_000)):
            world.net.flush()
        group.set_user_timeout(cd, 2)
        world.net.advance(2.1)
        assert len(world.net.take_events(EventKind.DOWN)) == 1
        with pytest.raises(LocalError, match="timeout_s: 0.5 is not allowed"):
            group.set_user_timeout(world.connected(group)[1], 0.5)

    def test_finishing_sends_what_is_queued(self, world: World) -> None:
        group = world.group()
        client, cd = world.connected(group)
        answer = os.urandom(60_000)
        taken = group.send(cd, answer)
        group.finish(cd)
        with pytest.raises(StaleConnection):
            group.send(cd, b"more")
        world.net.flush()
        found = b""
        while (piece := got(client)) != b"":
            found += piece or b""
            world.net.turn()
        assert found == answer[:taken]
        assert world.net.take_events() == []

    def test_finishing_with_bytes_that_nobody_saw_is_a_reset(self, world: World) -> None:
        """RFC 9293 SHLD-3, by the same name."""
        group = world.group()
        client, cd = world.connected(group)
        world.asked(client, b"unseen")
        group.send(cd, b"answer")
        group.finish(cd)
        with pytest.raises(ConnectionResetError):
            client.recv(10)

    def test_a_client_that_has_gone(self, world: World) -> None:
        """What it had sent is delivered, then it is a reset; no signal, no exception."""
        group = world.group()
        client, cd = world.connected(group)
        client.sendall(b"last words")
        client.close()
        world.net.poll()
        assert group.recv(100) == (cd, b"last words")
        group.send(cd, b"answer", ackd=ALL)
        world.net.flush()
        world.net.turn()
        assert world.net.kinds() == [EventKind.DATA, EventKind.EOF, EventKind.RESET]
        assert world.net.engine.snapshot().unix_connections == 0

    def test_a_client_that_left_its_answer_unread(self, world: World) -> None:
        group = world.group()
        client, cd = world.connected(group)
        group.send(cd, b"unread")
        world.net.flush()
        client.sendall(b"last words")
        client.close()
        world.net.poll()
        assert group.recv(100) == (cd, b"last words")
        world.net.turn()
        assert world.net.kinds()[-1] == EventKind.RESET

    def test_nothing_is_sent_after_shutdown(self, world: World) -> None:
        group = world.group()
        client, cd = world.connected(group)
        group.shutdown(cd)
        with pytest.raises(WriteClosed):
            group.send(cd, b"more")
        world.net.flush()
        assert got(client) == b""
        world.asked(client, b"still heard")
        assert group.recv(100) == (cd, b"still heard")

    @pytest.mark.feature("P19")
    def test_a_broadcast_is_stored_once(self, world: World) -> None:
        group = world.group()
        made = [world.connected(group) for _ in range(20)]
        news = os.urandom(10_000)
        stranger = world.connected(world.group(path=str(world.folder / "other")))[1]
        assert group.broadcast(news, [cd for _, cd in made] + [stranger, 7]) == 20
        assert world.net.transmit_used < 2 * len(news)
        assert group.broadcast(b"!") == 20
        world.net.flush()
        assert {got(client) for client, _ in made} == {news + b"!"}
        assert world.net.transmit_used == 0

    def test_a_broadcast_stalls_for_who_does_not_read(self, world: World) -> None:
        group = world.group()
        _, lazy = world.connected(group)
        while group.send(lazy, bytes(50_000)):
            world.net.flush()
        eager, _ = world.connected(group)
        assert group.broadcast(b"news") == 1
        world.net.turn()
        assert world.net.take_events(EventKind.STALLED) == [(EventKind.STALLED, group.fileno(), lazy, 0)]
        assert got(eager) == b"news"

    def test_room_is_told_of_after_the_loss(self, world: World) -> None:
        group = world.group()
        client, cd = world.connected(group)
        while group.send(cd, bytes(50_000)):
            world.net.flush()
        world.net.take_events()
        assert group.broadcast(b"news") == 0
        while got(client):
            world.net.turn()
        told = [kind for kind, *_ in world.net.take_events()]
        assert told == [EventKind.STALLED, EventKind.WRITABLE]


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
