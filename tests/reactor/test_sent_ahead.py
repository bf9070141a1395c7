"""Clients that send much ahead, and answers that do not come off: neither costs the others anything."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet import defer

from tests.reactor.conftest import Logged
from tests.reactor.recorders import drain
from tests.reactor.world import Peer, World
from xtcp_twisted.reactor.frames import FramedGroupProtocol, LengthPrefixedGroupProtocol, LineGroupProtocol
from xtcp_twisted.reactor.framing import Cut, LengthPrefixFraming, LineFraming
from xtcp_twisted.reactor.port import Binding
from xtcp_twisted.reactor.requests import (
    LengthPrefixedRequestGroupProtocol,
    LineRequestGroupProtocol,
    RequestGroupProtocol,
)


class Known:
    """Knows its connections."""

    def __init__(self) -> None:
        self.cds: list[int] = []

    def connectionMade(self, cd: int) -> None:
        self.cds.append(cd)


def ahead(world: World, client: Peer, data: bytes) -> None:
    """Sent in one turn, as segments."""
    for at in range(0, len(data), 1_000):
        client.send(data[at : at + 1_000])
    world.turn()


class Verbose(Known, LineGroupProtocol):
    """Says 10,000 bytes about each line."""

    delimiter = b"\n"

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[bytes] = []

    def lineReceived(self, cd: int, line: bytes) -> None:
        self.lines.append(line)
        self.sendLine(cd, line.ljust(9_999, b"."))


class VerboseFrames(Known, LengthPrefixedGroupProtocol):
    structFormat = "!B"

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[bytes] = []

    def frameReceived(self, cd: int, frame: bytes) -> None:
        self.lines.append(frame)
        self.group.send(cd, b"")
        self._send(cd, frame.ljust(10_000, b"."))


@pytest.mark.parametrize(
    "protocol, framing", [(Verbose(), LineFraming()), (VerboseFrames(), LengthPrefixFraming())]
)
def test_answers_do_not_pile_up(world: World, protocol: Any, framing: Any) -> None:
    """Frames behind an answer that waits for room come when it is sent, each once and in order."""
    framing.delimiter, framing.structFormat = b"\n", "!B"
    client = world.client(world.listen(protocol)).opened()
    lines = [b"%d" % i for i in range(300)]
    ahead(world, client, b"".join(map(framing.join, lines)))
    assert len(protocol.lines) < 20
    assert sum(map(len, protocol._rests.values())) < 10_000 + 1
    drain(world, client)
    assert protocol.lines == lines
    answers = client.received
    assert len(answers) == 300 * 10_000
    assert [answers[at : at + 10_000].rstrip(b".\n") for at in range(0, len(answers), 10_000)] == lines
    assert world.receive_used == 0


def test_what_is_too_long_behind_an_answer_that_waits_is_found_later(world: World) -> None:
    protocol = Verbose()
    protocol.MAX_LENGTH = 100
    client = world.client(world.listen(protocol)).opened()
    lines = [b"%d" % i for i in range(50)]
    ahead(world, client, b"\n".join(lines) + b"\n" + bytes(200))
    assert len(protocol.lines) < 20
    drain(world, client)
    assert protocol.lines == lines
    assert not protocol.isOpen(protocol.cds[0])


class Chat(Known, LineGroupProtocol):
    """The first connection says something; the second one hears much of it."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[int, bytes]] = []

    def lineReceived(self, cd: int, line: bytes) -> None:
        self.lines.append((cd, line))
        if cd == self.cds[0]:
            self.sendLine(self.cds[1], bytes(1 << 20))


def test_lines_of_one_who_is_behind_by_the_doing_of_another_come_again(world: World) -> None:
    protocol = Chat()
    port = world.listen(protocol)
    one, other = (world.client(port).opened() for _ in range(2))
    one.send(b"speak\r\n")
    other.send(b"heard\r\n")
    world.turn()
    assert protocol.lines == [(protocol.cds[0], b"speak")]
    drain(world, other)
    assert protocol.lines == [(protocol.cds[0], b"speak"), (protocol.cds[1], b"heard")]


class Counted(Known, LineRequestGroupProtocol):
    """Answers when the test does; counts the bytes that were searched for lines."""

    def __init__(self) -> None:
        super().__init__()
        self.searched = 0
        self.asked = 0
        self.waiting: defer.Deferred[Any] | None = None

    def cut(self, data: bytes) -> Cut:
        self.searched += len(data)
        return super().cut(data)

    def messageReceived(self, cd: int, data: bytes) -> Any:
        self.asked += 1
        self.waiting = defer.Deferred()
        return self.waiting


def test_a_request_costs_the_same_however_much_was_sent_behind_it(world: World) -> None:
    protocol = Counted()
    client = world.client(world.listen(protocol)).opened()
    ahead(world, client, b"\r\n" * 20_000)
    for _ in range(10):
        assert protocol.waiting is not None
        protocol.waiting.callback(b"")
        world.turn()
    assert protocol.asked == 11
    assert protocol.searched <= 11 * 4_096


class Bytes(Known, LengthPrefixedRequestGroupProtocol):
    """An answer may have 255 bytes."""

    structFormat = "!B"
    MAX_LENGTH = 200

    def __init__(self, answer: object) -> None:
        super().__init__()
        self.answer = answer
        self.waiting: defer.Deferred[Any] = defer.Deferred()

    def messageReceived(self, cd: int, data: bytes) -> Any:
        return self.waiting

    def requestFailed(self, cd: int, failure: object) -> Any:
        return self.answer


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize(
    "answer, failed, error", [(bytes(300), False, ValueError), ("text", True, TypeError)]
)
def test_an_answer_that_cannot_be_sent_costs_its_connection(
    world: World, logged: Logged, later: bool, answer: object, failed: bool, error: type
) -> None:
    """It is not left paused for ever, nor anything else."""
    protocol = Bytes(answer)
    port = world.listen(protocol)
    bad, good = (world.client(port).opened() for _ in range(2))
    result = ZeroDivisionError() if failed else answer
    if not later:
        protocol.waiting = defer.fail(result) if isinstance(result, Exception) else defer.succeed(result)
    bad.send(b"\x01a")
    world.turn()
    if later:
        protocol.waiting.callback(answer) if not failed else protocol.waiting.errback(ZeroDivisionError())
        world.turn()
    assert "R" in bad.take()[-1].flags
    assert len(logged.take(error)) == 1
    protocol.waiting = defer.succeed(b"b")
    good.send(b"\x01a")
    world.turn()
    good.expect("A", data=b"\x01b")


class Stubborn(Known, LineRequestGroupProtocol):
    """Its requests cannot be cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.lost: list[int] = []

    def messageReceived(self, cd: int, data: bytes) -> Any:
        return defer.Deferred(lambda _: 1 / 0)  # type: ignore[arg-type, return-value]

    def connectionLost(self, cd: int, reason: object) -> None:
        self.lost.append(cd)


def test_a_request_that_cannot_be_cancelled_costs_no_other_connection(world: World, logged: Logged) -> None:
    protocol = Stubborn()
    port = world.listen(protocol)
    clients = [world.client(port).opened() for _ in range(3)]
    for client in clients:
        client.send(b"ask\r\n")
    world.turn()
    for client in clients:
        client.rst()
    world.turns(2)
    assert sorted(protocol.lost) == sorted(protocol.cds)
    assert len(logged.take(ZeroDivisionError)) == 3


class Quitter(Known, LineRequestGroupProtocol):
    """Ends everything, and says that it will answer."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.cancelled = 0

    def cancel(self, _: object) -> None:
        self.cancelled += 1

    def messageReceived(self, cd: int, data: bytes) -> Any:
        if data == b"stack":
            self.world.stack.stop()
        else:
            self.group.finish(cd)
        return defer.Deferred(self.cancel)


@pytest.mark.parametrize("what", [b"stack", b"connection"])
def test_an_answer_to_one_whom_the_handler_has_closed_is_cancelled(world: World, what: bytes) -> None:
    protocol = Quitter(world)
    client = world.client(world.listen(protocol)).opened()
    client.send(what + b"\r\n")
    world.turn()
    assert protocol.cancelled == 1
    assert protocol._awaited == {}


class Picky(LineFraming):
    """A framing of the application's that raises at what it does not like."""

    def cut(self, data: bytes) -> Cut:
        if data.startswith(b"bad"):
            raise ZeroDivisionError
        return super().cut(data)


class PickyLines(Picky, Known, FramedGroupProtocol):
    def __init__(self) -> None:
        super().__init__()
        self.frames: list[bytes] = []

    def frameReceived(self, cd: int, frame: bytes) -> None:
        self.frames.append(frame)


class PickyRequests(Picky, Known, RequestGroupProtocol):
    def __init__(self) -> None:
        super().__init__()
        self.frames: list[bytes] = []

    def messageReceived(self, cd: int, data: bytes) -> None:
        self.frames.append(data)


@pytest.mark.parametrize("kind", [PickyLines, PickyRequests])
def test_a_framing_that_raises_costs_one_connection(world: World, logged: Logged, kind: Any) -> None:
    protocol = kind()
    port = world.listen(protocol)
    clients = [world.client(port).opened() for _ in range(3)]
    for client, data in zip(clients, (b"one", b"bad", b"two"), strict=True):
        client.send(data + b"\r\n")
    world.turn()
    assert protocol.frames == [b"one", b"two"]
    assert "R" in clients[1].take()[-1].flags
    assert len(logged.take(ZeroDivisionError)) == 1
    assert world.receive_used == 0


class Last(Known, LineGroupProtocol):
    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.lines: list[bytes] = []

    def lineReceived(self, cd: int, line: bytes) -> None:
        self.lines.append(line)
        self.world.stack.stop()


def test_a_line_may_end_the_stack(world: World) -> None:
    """Those behind it find no connection, and nothing is logged as an error."""
    protocol = Last(world)
    client = world.client(world.listen(protocol)).opened()
    client.send(b"one\r\ntwo\r\n")
    world.turn()
    assert protocol.lines == [b"one"]


def test_halves_of_lines_that_never_end_do_not_keep_others_out(world: World) -> None:
    """They fill the pool; it makes room by itself, and who comes then is served."""
    protocol = Verbose()
    world.stack.createPool("small", 256 * 1_024)
    port = world.stack.listen(protocol, Binding(port=9), "small")
    attackers = [world.client(port).opened() for _ in range(400)]
    for attacker in attackers:
        attacker.send(b"x" * 1_000)
        world.turn()
    honest = world.client(port)
    honest.syn()
    world.turn()
    honest.expect_nothing()
    world.advance(60)
    honest.syn()
    world.turn()
    honest.expect("SA", seq=0, ack=1)
    honest.ack()
    honest.send(b"hello\n")
    world.turns(2)
    assert protocol.lines == [b"hello"]
    for attacker in attackers:
        attacker.take()
