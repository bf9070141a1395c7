"""Group protocols of lines and length-prefixed frames: batches, acknowledgement, ends, slow clients."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from twisted.internet import error
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from tests.reactor.conftest import Logged
from tests.reactor.recorders import drain, opened
from tests.reactor.world import World
from xtcp_twisted.config import ACK_POLICIES, KiB
from xtcp_twisted.errors import ConfigurationError
from xtcp_twisted.reactor.frames import LengthPrefixedGroupProtocol, LineGroupProtocol
from xtcp_twisted.reactor.interfaces import IFramedGroupProtocol

policies = pytest.mark.parametrize("policy", ACK_POLICIES)


class Upper(LineGroupProtocol):
    """Answers each line; fails for b"fail", hangs up for b"quit"."""

    delimiter = b"\n"

    def __init__(self) -> None:
        self.cds: list[int] = []
        self.lines: list[bytes] = []
        self.losses: list[tuple[int, Failure]] = []
        self.stalled: list[int] = []
        self.writable: list[int] = []

    def connectionMade(self, cd: int) -> None:
        self.cds.append(cd)

    def lineReceived(self, cd: int, line: bytes) -> None:
        self.lines.append(line)
        if line == b"fail":
            raise ZeroDivisionError
        if line == b"quit":
            self.group.finish(cd)
        else:
            self.sendLine(cd, line.upper())

    def connectionsStalled(self, cds: list[int]) -> None:
        self.stalled += cds

    def connectionsWritable(self, cds: list[int]) -> None:
        super().connectionsWritable(cds)
        self.writable += cds

    def connectionLost(self, cd: int, reason: Failure) -> None:
        self.losses.append((cd, reason))


def test_interface(world: World) -> None:
    protocol = Upper()
    world.listen(protocol)
    assert verifyObject(IFramedGroupProtocol, protocol)


@pytest.mark.feature("P15")
@policies
def test_the_acknowledgement_of_a_line_rides_on_its_answer(world: World, policy: str) -> None:
    protocol = Upper()
    (client,) = opened(world, protocol, ack_policy=policy)
    client.send(b"one\ntwo\nthr")
    world.turn()
    client.expect("A", ack=12, data=b"ONE\nTWO\n")
    client.expect_nothing()
    assert protocol.group.info(protocol.cds[0]).held == 3
    client.ack()
    client.send(b"ee\n")
    world.turn()
    client.expect("A", ack=15, data=b"THREE\n")
    assert protocol.lines == [b"one", b"two", b"three"]
    assert world.receive_used == 0


@pytest.mark.feature("P34")
def test_a_part_of_a_line_is_no_object_of_python(world: World) -> None:
    """Neither in the protocol nor elsewhere: a hundred of them allocate nothing that the collector sees."""
    protocol = Upper()
    clients = opened(world, protocol, 100)
    world.turns(2)

    def state() -> list[Any]:
        return [value for name, value in vars(protocol).items() if name not in ("group", "cds")]

    before = repr(state())
    packets = [client.packet(b"half a line") for client in clients]
    gc.collect()
    objects = len(gc.get_objects())
    for packet in packets:
        world.inject(packet)
    world.reactor.turn()
    gc.collect()
    assert len(gc.get_objects()) - objects < 20
    assert repr(state()) == before
    assert world.receive_used == 100 * 256


def test_lines_of_a_turn_come_in_one_batch(world: World) -> None:
    batches = []

    class Batch(Upper):
        def linesReceived(self, lines: list[tuple[int, bytes]]) -> None:
            batches.append(list(lines))

    protocol = Batch()
    clients = opened(world, protocol, 2)
    clients[0].send(b"a\nb\nc")
    clients[1].send(b"d\n\n")
    world.turn()
    one, two = protocol.cds
    assert batches == [[(one, b"a"), (one, b"b"), (two, b"d"), (two, b"")]]
    assert world.receive_used == 256


# -- exceptions and ends ---------------------------------------------------------------------------


def test_an_exception_costs_its_connection_and_nothing_is_served_twice(world: World, logged: Logged) -> None:
    protocol = Upper()
    clients = opened(world, protocol, 3)
    for client, data in zip(clients, [b"a\n", b"b\nfail\nc\n", b"d\ne"], strict=True):
        client.send(data)
    world.turns(2)
    clients[0].expect("A", data=b"A\n")
    clients[1].expect_reset(seq=1)
    clients[2].expect("A", data=b"D\n")
    assert len(logged.take(ZeroDivisionError)) == 1
    assert protocol.lines == [b"a", b"b", b"fail", b"d"]
    ((cd, reason),) = protocol.losses
    assert cd == protocol.cds[1]
    reason.trap(error.ConnectionAborted)
    clients[2].ack()
    clients[2].send(b"\n")
    world.turn()
    clients[2].expect("A", data=b"E\n")


@policies
def test_an_exception_outside_of_the_loop_costs_the_batch(world: World, logged: Logged, policy: str) -> None:
    """And nothing is acknowledged by it: who hears a reset sends again."""

    class Sloppy(Upper):
        def linesReceived(self, lines: list[tuple[int, bytes]]) -> None:
            raise ZeroDivisionError

    protocol = Sloppy()
    clients = opened(world, protocol, 3, ack_policy=policy)
    clients[0].send(b"x\n")
    clients[1].send(b"y\nz\n")
    clients[2].send(b"incomplete")
    world.turns(2)
    clients[0].expect_reset(seq=1)
    clients[1].expect_reset(seq=1)
    assert len(protocol.group) == 1
    assert len(logged.take(ZeroDivisionError)) == 1


def test_what_follows_the_last_line_of_a_connection_that_was_closed_is_not_served(world: World) -> None:
    protocol = Upper()
    (client,) = opened(world, protocol)
    client.send(b"a\nquit\ndelete all\n")
    world.turns(3)
    assert protocol.lines == [b"a", b"quit"]
    assert client.received == b"A\n"
    assert "F" in client.take()[-1].flags


def test_sending_to_who_has_gone_does_nothing(world: World) -> None:
    protocol = Upper()
    opened(world, protocol)
    (cd,) = protocol.cds
    protocol.group.abort(cd)
    assert not protocol.sendLine(cd, b"x")
    assert protocol.broadcastLine(b"x", [cd]) == 0


@policies
def test_a_half_line_at_the_end_is_dropped_and_the_connection_closed(world: World, policy: str) -> None:
    """It is not offered for ever."""
    protocol = Upper()
    (client,) = opened(world, protocol, ack_policy=policy)
    client.fin(b"whole\nhalf")
    world.turns(3)
    assert protocol.lines == [b"whole"]
    assert client.received == b"WHOLE\n"
    assert "F" in client.take()[-1].flags
    assert len(protocol.losses) == 1
    assert world.receive_used == 0
    assert world.engine.poll_at() is None or world.engine.poll_at() > world.now


# -- long frames -----------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 500, 1_024, 1_030])
def test_a_line_that_is_too_long_costs_its_connection(world: World, cut: int) -> None:
    protocol = Upper()
    (client,) = opened(world, protocol)
    stream = b"short\n" + b"x" * 1_025 + b"\nnever\n"
    client.send(stream[:cut])
    world.turn()
    client.take()
    client.ack()
    client.send(stream[cut:])
    world.turns(2)
    assert protocol.lines == [b"short"]
    ((_, reason),) = protocol.losses
    reason.trap(error.ConnectionAborted)
    client.take()


def test_who_says_a_line_that_is_too_long_may_be_told(world: World) -> None:
    class Polite(Upper):
        def lineLengthExceeded(self, cd: int) -> None:
            self.sendLine(cd, b"too long")
            self.group.finish(cd)

    protocol = Polite()
    (client,) = opened(world, protocol)
    client.send(b"x" * 1_400)
    world.turns(3)
    assert client.received == b"too long\n"
    assert protocol.losses[0][1].check(error.ConnectionDone)
    client.take()


def test_an_exception_about_length_is_logged_and_costs_the_connection(world: World, logged: Logged) -> None:
    class Broken(Upper):
        def lineLengthExceeded(self, cd: int) -> None:
            raise ZeroDivisionError

    (client, other) = opened(world, Broken(), 2)
    client.send(b"x" * 1_400)
    other.send(b"y\n")
    world.turns(2)
    client.expect_reset(seq=1)
    other.expect("A", data=b"Y\n")
    assert len(logged.take(ZeroDivisionError)) == 1


@pytest.mark.feature("P27")
def test_a_frame_longer_than_what_is_guaranteed_is_refused(world: World) -> None:
    """Many of them, each in part, would hold the pool for ever."""
    protocol = Upper()
    protocol.MAX_LENGTH = 4 * KiB
    with pytest.raises(ConfigurationError, match="guaranteed_bytes = 4_352, at most 262_144"):
        world.listen(protocol)
    assert world.engine.pools()[0].groups() == ()
    protocol.MAX_LENGTH = 2 * KiB
    (client,) = opened(world, protocol, guaranteed_bytes=2 * KiB + 256)
    client.send(b"x" * 1_400)
    world.turn()
    client.send(b"x" * 648 + b"\n")
    world.turn()
    assert protocol.lines == [b"x" * 2 * KiB]
    client.take()


@pytest.mark.parametrize(
    "made, name, value, said",
    [
        (LineGroupProtocol, "delimiter", b"", "delimiter: b'' is not allowed"),
        (LineGroupProtocol, "delimiter", "\n", "delimiter: '\\\\n' is not allowed"),
        (LineGroupProtocol, "MAX_LENGTH", 0, "MAX_LENGTH: 0 is not allowed"),
        (LengthPrefixedGroupProtocol, "MAX_LENGTH", True, "MAX_LENGTH: True is not allowed"),
        (LengthPrefixedGroupProtocol, "structFormat", "!i", "structFormat: '!i' is not allowed"),
        (LengthPrefixedGroupProtocol, "structFormat", "I", "structFormat: 'I' is not allowed"),
    ],
)
def test_a_wrong_framing_is_refused(world: World, made: Any, name: str, value: object, said: str) -> None:
    protocol = made()
    setattr(protocol, name, value)
    with pytest.raises(ConfigurationError, match=said):
        world.listen(protocol)
    setattr(protocol, name, getattr(made, name))
    world.listen(protocol)


@pytest.mark.parametrize("length, reached", [(1_000, True), (1_025, False), (2**64 - 1, False)])
def test_a_frame_with_its_length_is_offered_when_it_is_whole(
    world: World, length: int, reached: bool
) -> None:
    found: list[bytes] = []
    offers: list[int] = []
    lost: list[int] = []

    class Store(LengthPrefixedGroupProtocol):
        structFormat = "!Q"

        def messagesReceived(self, messages: list[tuple[int, bytes]]) -> None:
            offers.append(len(messages[0][1]))
            super().messagesReceived(messages)

        def frameReceived(self, cd: int, frame: bytes) -> None:
            found.append(frame)
            self.sendFrame(cd, b"ok")

        def connectionLost(self, cd: int, reason: Failure) -> None:
            lost.append(cd)

    (client,) = opened(world, Store())
    stream = length.to_bytes(8, "big") + b"f" * 1_000
    for i in range(0, len(stream), 100):
        if not lost:
            client.send(stream[i : i + 100])
            world.turn()
    if reached:
        assert found == [b"f" * 1_000]
        assert offers == [100, 1_008]
        assert client.received == b"\0\0\0\0\0\0\0\2ok"
    else:
        assert found == []
        assert len(lost) == 1
    client.take()


# -- slow clients ----------------------------------------------------------------------------------


def test_what_finds_no_room_is_sent_later_and_nothing_is_read_meanwhile(world: World) -> None:
    protocol = Upper()
    (client,) = opened(world, protocol)
    (cd,) = protocol.cds
    big = b"x" * (1 << 20)
    assert not protocol.sendLine(cd, big)
    assert not protocol.sendLine(cd, b"after")
    client.send(b"later\n")
    world.turns(2)
    assert protocol.lines == []
    drain(world, client)
    assert client.received == big + b"\nafter\nLATER\n"
    assert protocol.writable
    assert protocol.sendLine(cd, b"x")


def test_what_is_left_is_forgotten_with_its_connection(world: World) -> None:
    protocol = Upper()
    (client,) = opened(world, protocol)
    protocol.sendLine(protocol.cds[0], b"x" * (1 << 20))
    client.take()
    assert protocol._rests
    client.rst()
    world.turns(2)
    assert not protocol._rests


def test_a_broadcast_does_not_come_into_the_middle_of_a_frame(world: World) -> None:
    protocol = Upper()
    slow, quick, other = opened(world, protocol, 3)
    big = b"x" * (1 << 20)
    protocol.sendLine(protocol.cds[0], big)
    assert protocol.broadcastLine(b"all") == 2
    assert protocol.stalled == protocol.cds[:1]
    assert protocol.broadcastLine(b"two", iter(protocol.cds[:2])) == 1
    assert protocol.stalled == protocol.cds[:1] * 2
    drain(world, slow)
    assert slow.received == big + b"\n"
    assert quick.received == b"all\ntwo\n"
    assert other.received == b"all\n"
    assert protocol.broadcastLine(b"again") == 3
    for client in (quick, other):
        client.take()
    drain(world, slow)
    assert slow.received == big + b"\nagain\n"
