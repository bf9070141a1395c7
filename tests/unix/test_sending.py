"""Answers and broadcasts through a Unix socket, and clients who do not read them (P19, P31)."""

from __future__ import annotations

import errno
import os

import pytest

from tests.unix.conftest import World, got
from xtcp_twisted.config import ALL
from xtcp_twisted.engine.kinds import EventKind
from xtcp_twisted.errors import LocalError, NotAcknowledgeable, StaleConnection, WriteClosed

pytestmark = pytest.mark.feature("P31")


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


def test_many_answers_at_once(world: World) -> None:
    group = world.group()
    one, first = world.connected(group)
    two, second = world.connected(group)
    world.asked(one, b"one")
    world.asked(two, b"two")
    assert len(group.recv_batch(10)) == 2
    group.shutdown(second)
    assert group.send_many([(first, b"1", 3), (second, b"2"), (77, b"3")]) == []
    world.net.turn()
    assert got(one) == b"1"
    assert group.info(first).held == 0
    ((cd, rest),) = group.send_many([(first, b"x" * (8 << 20))])
    assert cd == first
    assert 0 < len(rest) < 8 << 20
    with pytest.raises(NotAcknowledgeable):
        group.send_many([(first, b"", 1)])
    with pytest.raises(LocalError, match="give"):
        group.send_many([(first,)])
