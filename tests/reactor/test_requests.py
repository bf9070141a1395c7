"""Request and answer: Deferreds, coroutines, their order, their bound, their failures."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet import defer, error, task
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from tests.reactor.conftest import Logged
from tests.reactor.recorders import drain, opened
from tests.reactor.world import World
from xtcp_twisted.config import ACK_POLICIES
from xtcp_twisted.reactor.interfaces import IRequestGroupProtocol
from xtcp_twisted.reactor.requests import (
    LengthPrefixedRequestGroupProtocol,
    LineRequestGroupProtocol,
    RequestGroupProtocol,
)

policies = pytest.mark.parametrize("policy", ACK_POLICIES)


class Waits(LineRequestGroupProtocol):
    """Answers what begins with "now" at once, says nothing to "note", and to others when told to."""

    delimiter = b"\n"

    def __init__(self) -> None:
        self.cds: list[int] = []
        self.asked: list[tuple[int, bytes]] = []
        self.waiting: list[defer.Deferred[Any]] = []
        self.cancelled: list[bytes] = []
        self.losses: list[Failure] = []

    def connectionMade(self, cd: int) -> None:
        self.cds.append(cd)

    def connectionLost(self, cd: int, reason: Failure) -> None:
        self.losses.append(reason)

    def messageReceived(self, cd: int, data: bytes) -> Any:
        self.asked.append((cd, data))
        if data.startswith(b"now"):
            return data.upper()
        if data == b"note":
            return None
        if data == b"fail":
            raise ZeroDivisionError
        if data == b"text":
            return "text"
        if data == b"quit":
            self.group.finish(cd)
            return b"bye"
        self.waiting.append(defer.Deferred(lambda _: self.cancelled.append(data)))
        return self.waiting[-1]

    @property
    def requests(self) -> list[bytes]:
        return [data for _, data in self.asked]


def test_interface(world: World) -> None:
    protocol = Waits()
    world.listen(protocol)
    assert verifyObject(IRequestGroupProtocol, protocol)


@pytest.mark.feature("P15")
@policies
def test_an_answer_at_once(world: World, policy: str) -> None:
    protocol = Waits()
    (client,) = opened(world, protocol, ack_policy=policy)
    client.send(b"now\n")
    world.turn()
    client.expect("A", ack=5, data=b"NOW\n")
    client.expect_nothing()
    assert world.receive_used == 0


@pytest.mark.feature("P14", "P15")
@policies
def test_an_answer_later_carries_the_acknowledgement(world: World, policy: str) -> None:
    """As far as the policy lets it; the request is kept until then under each."""
    protocol = Waits()
    (client,) = opened(world, protocol, ack_policy=policy)
    client.send(b"ask\n")
    world.turn()
    world.advance(1)
    acks = [segment.ack for segment in client.take()]
    assert acks == ([] if policy == "application" else [acks[0]])
    assert protocol.group.info(protocol.cds[0]).held == 4
    protocol.waiting[0].callback(b"answer")
    world.turn()
    client.expect("A", ack=5, data=b"answer\n")
    assert world.receive_used == 0
    assert protocol._awaited == {}


@policies
def test_nothing_to_answer(world: World, policy: str) -> None:
    protocol = Waits()
    (client,) = opened(world, protocol, ack_policy=policy)
    client.send(b"note\nnote\nask\n")
    world.turn()
    assert protocol.group.info(protocol.cds[0]).rcv_ackd == protocol.group.info(protocol.cds[0]).rcv_nxt - 4
    protocol.waiting[0].callback(None)
    world.advance(1)
    assert client.take()[-1].ack == client.iss + 15
    assert client.received == b""
    assert world.receive_used == 0


@pytest.mark.feature("P24")
@policies
def test_requests_sent_ahead_wait_their_turn_in_the_receive_buffer(world: World, policy: str) -> None:
    protocol = Waits()
    (client,) = opened(world, protocol, ack_policy=policy)
    client.send(b"now1\none\ntwo\nnow2\nthr")
    world.turn()
    assert protocol.requests == [b"now1", b"one"]
    client.ack()
    client.send(b"ee\n")
    world.turns(2)
    assert protocol.requests == [b"now1", b"one"]
    assert protocol.group.info(protocol.cds[0]).held == 19
    protocol.waiting[0].callback(b"1")
    world.turns(2)
    assert protocol.requests[2:] == [b"two"]
    protocol.waiting[1].callback(b"2")
    world.turns(2)
    protocol.waiting[2].callback(b"3")
    world.turns(2)
    assert protocol.requests[2:] == [b"two", b"now2", b"three"]
    client.take()
    assert client.received == b"NOW1\n1\n2\nNOW2\n3\n"
    assert world.receive_used == 0


def test_other_connections_do_not_wait(world: World) -> None:
    protocol = Waits()
    one, two = opened(world, protocol, 2)
    one.send(b"ask\nnow\n")
    two.send(b"ask\nnow\n")
    world.turn()
    protocol.waiting[1].callback(b"2")
    world.turns(2)
    two.take()
    assert two.received == b"2\nNOW\n"
    assert one.received == b""
    one.take()


@pytest.mark.feature("P12")
def test_who_sends_ahead_without_end_has_one_deferred_and_a_closed_window(world: World) -> None:
    protocol = Waits()
    (client,) = opened(world, protocol)
    request, sent = b"a" * 999 + b"\n", 0
    while client.judge.edge - client.seq >= len(request):
        client.send(request)
        sent += 1
        world.turn()
        client.take()
    world.advance(1)
    assert len(protocol.waiting) == 1
    whole = (client.judge.last_ack - 1) // len(request)
    assert 50 < whole <= sent < 100
    for i in range(whole):
        protocol.waiting[i].callback(b"%d" % i)
        world.turns(2)
        client.take()
        client.ack()
    assert len(protocol.waiting) == whole
    assert client.received == b"".join(b"%d\n" % i for i in range(whole))
    assert client.judge.edge - client.seq > 50_000


def test_a_deferred_that_has_fired_is_an_answer(world: World) -> None:
    class Quick(Waits):
        def messageReceived(self, cd: int, data: bytes) -> Any:
            return defer.succeed(data.upper())

    (client,) = opened(world, Quick())
    client.send(b"a\nb\n")
    world.turn()
    client.expect("A", ack=5, data=b"A\nB\n")
    client.expect_nothing()


def test_a_coroutine_is_awaited(world: World) -> None:
    class Sleeps(LengthPrefixedRequestGroupProtocol):
        structFormat = "!B"

        async def messageReceived(self, cd: int, data: bytes) -> bytes:  # type: ignore[override]
            await task.deferLater(world.reactor, 1.0)
            return data.upper()

    (client,) = opened(world, Sleeps())
    client.send(b"\1a\2bc")
    world.turn()
    world.reactor.advance(1.0)
    world.turns(2)
    world.reactor.advance(1.0)
    world.turns(2)
    client.take()
    assert client.received == b"\1A\2BC"


def test_without_a_framing_a_message_is_a_request(world: World) -> None:
    class Plain(RequestGroupProtocol):
        def messageReceived(self, cd: int, data: bytes) -> bytes:
            return data.upper()

    (client,) = opened(world, Plain())
    client.send(b"hello\nyou")
    world.turn()
    client.expect("A", ack=10, data=b"HELLO\nYOU")


# -- failures ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["raise", "errback", "text", "later text"])
def test_a_failure_is_logged_and_costs_its_connection(world: World, logged: Logged, how: str) -> None:
    protocol = Waits()
    client, other = opened(world, protocol, 2)
    client.send({"raise": b"fail\n", "text": b"text\n"}.get(how, b"ask\n"))
    other.send(b"now\n")
    world.turn()
    if how == "errback":
        protocol.waiting[0].errback(ZeroDivisionError())
    elif how == "later text":
        protocol.waiting[0].callback("text")
    world.turns(2)
    assert "R" in client.take()[-1].flags
    assert len(logged.take(TypeError if "text" in how else ZeroDivisionError)) == 1
    assert [reason.type for reason in protocol.losses] == [error.ConnectionAborted]
    other.expect("A", data=b"NOW\n")


@pytest.mark.parametrize("later", [False, True])
def test_a_failure_may_be_answered(world: World, later: bool) -> None:
    class Sorry(Waits):
        def requestFailed(self, cd: int, failure: Failure) -> bytes:
            return b"sorry " + failure.type.__name__.encode()

    protocol = Sorry()
    (client,) = opened(world, protocol)
    client.send(b"ask\nnow\n" if later else b"fail\nnow\n")
    world.turn()
    if later:
        protocol.waiting[0].errback(ZeroDivisionError())
        world.turns(2)
    client.take()
    assert client.received == b"sorry ZeroDivisionError\nNOW\n"


def test_an_exception_about_a_failure_is_logged_too(world: World, logged: Logged) -> None:
    class Worse(Waits):
        def requestFailed(self, cd: int, failure: Failure) -> bytes:
            raise KeyError

    (client,) = opened(world, Worse())
    client.send(b"fail\n")
    world.turns(2)
    client.expect_reset(seq=1)
    assert len(logged.take(KeyError)) == 1


# -- ends --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["reset", "abort", "finish", "stack"])
def test_the_end_of_a_connection_cancels_what_is_awaited(world: World, end: str) -> None:
    protocol = Waits()
    (client,) = opened(world, protocol)
    client.send(b"ask\n")
    world.turn()
    if end == "reset":
        client.rst()
    elif end == "stack":
        world.stack.stop()
    else:
        getattr(protocol.group, end)(protocol.cds[0])
    if end != "stack":
        world.turns(2)
        client.take()
    assert protocol.cancelled == [b"ask"]
    assert protocol._awaited == {}


def test_an_answer_between_the_end_and_its_notice_is_dropped(world: World) -> None:
    protocol = Waits()
    (client,) = opened(world, protocol)
    client.send(b"ask\n")
    world.turn()
    protocol.group.abort(protocol.cds[0])
    protocol.waiting[0].callback(b"too late")
    world.turns(2)
    assert client.received == b""
    client.take()
    assert len(protocol.losses) == 1


def test_a_handler_may_close_and_what_it_returns_then_is_dropped(world: World) -> None:
    protocol = Waits()
    (client,) = opened(world, protocol)
    client.send(b"now\nquit\nnow\n")
    world.turns(3)
    assert protocol.requests == [b"now", b"quit"]
    assert client.received == b"NOW\n"
    assert "F" in client.take()[-1].flags


@policies
def test_a_client_that_has_said_all_still_gets_its_answers(world: World, policy: str) -> None:
    protocol = Waits()
    (client,) = opened(world, protocol, ack_policy=policy)
    client.fin(b"ask\nask\nhalf")
    world.turns(3)
    for i in range(2):
        protocol.waiting[i].callback(b"%d" % i)
        world.turns(3)
        client.ack()
    world.turns(2)
    assert client.received == b"0\n1\n"
    assert "F" in client.take()[-1].flags
    assert [reason.type for reason in protocol.losses] == [error.ConnectionDone]


@policies
def test_a_slow_client_loses_nothing(world: World, policy: str) -> None:
    """An answer that finds no room is kept; the next request waits for it."""
    big = b"x" * (1 << 20)

    class Big(Waits):
        def messageReceived(self, cd: int, data: bytes) -> Any:
            self.asked.append((cd, data))
            return big if data == b"big" else super().messageReceived(cd, data)

    protocol = Big()
    (client,) = opened(world, protocol, ack_policy=policy)
    client.send(b"big\nask\nbig\n")
    world.turns(3)
    assert protocol.requests == [b"big"]
    drain(world, client)
    assert client.received == big + b"\n"
    protocol.waiting[0].callback(big)
    world.turns(2)
    drain(world, client)
    assert client.received == (big + b"\n") * 3
    assert world.receive_used == 0


def test_an_answer_waits_behind_what_was_sent_without_being_asked(world: World) -> None:
    protocol = Waits()
    (client,) = opened(world, protocol)
    (cd,) = protocol.cds
    client.send(b"ask\nnow\n")
    world.turn()
    big = b"x" * (1 << 20)
    assert not protocol.sendFrame(cd, big)
    drain(world, client)
    assert protocol.requests == [b"ask"], "there is room again, but the answer is still awaited"
    assert not protocol.sendFrame(cd, big)
    protocol.waiting[0].callback(b"answer")
    world.turns(2)
    drain(world, client)
    assert client.received == (big + b"\n") * 2 + b"answer\nNOW\n"


def test_a_line_that_is_too_long_comes_after_those_before_it(world: World) -> None:
    protocol = Waits()
    (client,) = opened(world, protocol)
    client.send(b"ask\n" + b"x" * 1_100)
    world.turns(2)
    assert protocol.losses == []
    protocol.waiting[0].callback(b"1")
    world.turns(3)
    assert "R" in client.take()[-1].flags
    assert [reason.type for reason in protocol.losses] == [error.ConnectionAborted]
