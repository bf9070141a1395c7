"""An ordinary factory that decides about each connection request before its handshake (P08)."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import defer
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory
from twisted.protocols.policies import WrappingFactory
from twisted.python.components import registerAdapter
from zope.interface import implementer

from tests.reactor.conftest import Logged
from tests.reactor.test_client import outcome
from tests.reactor.world import Peer, Recorder, World
from xtcp_twisted.config import GroupOptions
from xtcp_twisted.reactor.groups import GroupProtocol
from xtcp_twisted.reactor.interfaces import IConnectionDecider, IGroupAcceptor
from xtcp_twisted.reactor.port import Binding

pytestmark = pytest.mark.feature("P08")


@implementer(IConnectionDecider)
class Door(Factory):
    """Answers each request by what a test says; keeps who has asked and who was let in."""

    noisy = False

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        self.answer = answer
        self.asked: list[Any] = []
        self.let_in: list[Recorder] = []

    def connectionRequested(self, address: Any) -> Any:
        self.asked.append(address)
        return self.answer(address)

    def buildProtocol(self, addr: Any) -> Recorder:
        self.let_in.append(Recorder())
        return self.let_in[-1]


class Hesitant(Door):
    """Answers when the test does."""

    def __init__(self) -> None:
        super().__init__(self.hesitate)
        self.answers: list[defer.Deferred[bool]] = []

    def hesitate(self, _: object) -> defer.Deferred[bool]:
        self.answers.append(defer.Deferred())
        return self.answers[-1]


def asking(world: World, port: Any, **behaviour: Any) -> Peer:
    """A client whose SYN has been seen by the reactor."""
    client = world.client(port, **behaviour)
    client.syn()
    world.turn()
    return client


def complete(world: World, client: Peer) -> None:
    client.expect("SA", seq=0, ack=1)
    client.ack()
    world.turn()


@pytest.mark.parametrize(
    "behaviour, address",
    [
        ({"ip": "198.51.100.7"}, IPv4Address),
        ({"ip": "2001:db8:9::7", "server": "2001:db8::1"}, IPv6Address),
    ],
)
def test_who_is_accepted_is_connected_in_the_same_turn(
    world: World, behaviour: dict[str, str], address: type
) -> None:
    door = Door(lambda _: True)
    client = asking(world, world.listen(door), **behaviour)
    complete(world, client)
    assert door.asked == [address("TCP", behaviour["ip"], client.sport)]
    (server,) = door.let_in
    assert server.transport.getPeer() == door.asked[0]


@pytest.mark.parametrize("answer", [False, None, 0])
def test_who_is_refused_is_reset_and_never_seen(world: World, answer: object) -> None:
    door = Door(lambda _: answer)
    client = asking(world, world.listen(door))
    client.expect_reset(seq=0)
    assert door.let_in == [] and world.engine.snapshot().half_open == 0


def test_a_refusal_may_be_silent(world: World) -> None:
    client = asking(world, world.listen(Door(lambda _: False), refuse="silent"))
    client.expect_nothing()


def test_each_is_decided_by_its_address(world: World) -> None:
    door = Door(lambda address: address.host == "198.51.100.8")
    port = world.listen(door)
    one, other = asking(world, port, ip="198.51.100.7"), asking(world, port, ip="198.51.100.8")
    one.expect_reset(seq=0)
    complete(world, other)
    assert [server.transport.getPeer().host for server in door.let_in] == ["198.51.100.8"]


def test_nothing_is_sent_before_a_deferred_answer(world: World) -> None:
    """And a SYN that comes again meanwhile is not asked about again."""
    door = Hesitant()
    port = world.listen(door)
    client, other = asking(world, port), asking(world, port)
    world.advance(0.5)
    client.syn()
    world.turn()
    for waiting in (client, other):
        waiting.expect_nothing()
    assert len(door.answers) == 2
    door.answers[0].callback(True)
    door.answers[1].callback(False)
    world.turn()
    complete(world, client)
    other.expect_reset(seq=0)
    assert len(door.let_in) == 1


def test_a_coroutine_may_decide(world: World) -> None:
    looked_up: defer.Deferred[str] = defer.Deferred()

    async def decide(address: Any) -> bool:
        return await looked_up == address.host

    door = Door(decide)
    client = asking(world, world.listen(door))
    client.expect_nothing()
    looked_up.callback("198.51.100.7")
    world.turn()
    complete(world, client)


def cancelled(door: Hesitant) -> list[bool]:
    return [answer.called for answer in door.answers]


def test_a_request_that_has_timed_out_cancels_its_decision(world: World) -> None:
    door = Hesitant()
    client = asking(world, world.listen(door))
    world.advance(0.5)
    world.reactor.advance(0.5)
    world.turn()
    assert cancelled(door) == [False]
    world.advance(0.5)
    client.expect_reset(seq=0)
    world.reactor.advance(0.2)
    assert cancelled(door) == [True]
    assert world.reactor.getDelayedCalls() == []


def test_a_peer_that_takes_its_request_back_cancels_the_decision(world: World) -> None:
    """Only that one, and what a coroutine waits for."""
    looked_up: list[defer.Deferred[bool]] = []

    async def decide(_: object) -> bool:
        looked_up.append(defer.Deferred())
        return await looked_up[-1]

    port = world.listen(Door(decide))
    gone, other = asking(world, port), asking(world, port)
    gone.rst(seq=1)
    world.turn()
    world.reactor.advance(0.2)
    assert [answer.called for answer in looked_up] == [True, False]
    looked_up[1].callback(True)
    world.turn()
    complete(world, other)
    world.reactor.advance(0.2)
    assert world.reactor.getDelayedCalls() == []


def test_more_decisions_than_are_looked_at_in_one_go(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xtcp_twisted.reactor.decisions.LOOKED_AT_ONCE", 2)
    door = Hesitant()
    port = world.listen(door)
    clients = [asking(world, port) for _ in range(5)]
    clients[4].rst(seq=1)
    world.turn()
    for _ in range(2):
        world.reactor.advance(0.1)
        assert not any(cancelled(door))
    world.reactor.advance(0.1)
    assert cancelled(door) == [False] * 4 + [True]


@pytest.mark.parametrize("wrong", [ZeroDivisionError, defer.CancelledError])
def test_what_a_cancellation_raises_costs_the_others_nothing(
    world: World, logged: Logged, wrong: type[Exception]
) -> None:
    def stubborn(_: object) -> None:
        raise wrong

    answers = [defer.Deferred[bool](stubborn), defer.Deferred[bool]()]
    waiting = iter(answers)
    port = world.listen(Door(lambda _: next(waiting)))
    for client in (asking(world, port), asking(world, port)):
        client.rst(seq=1)
    world.turn()
    world.reactor.advance(0.2)
    assert answers[1].called
    assert len(logged.take(wrong)) == 1


def test_the_end_of_the_stack_cancels_decisions(world: World) -> None:
    door = Hesitant()
    asking(world, world.listen(door))
    world.stack.stop()
    assert cancelled(door) == [True]
    assert world.reactor.getDelayedCalls() == []


@pytest.mark.parametrize("late", [True, False, ZeroDivisionError()])
def test_a_late_answer_does_no_harm(world: World, logged: Logged, late: Any) -> None:
    """The request is refused after `accept_timeout_ms`; its place may be another's by then."""
    door = Hesitant()
    port = world.listen(door)
    client = asking(world, port)
    world.advance(1.0)
    client.expect_reset(seq=0)
    again = asking(world, port)
    (door.answers[0].errback if isinstance(late, Exception) else door.answers[0].callback)(late)
    world.turn()
    again.expect_nothing()
    door.answers[1].callback(True)
    world.turn()
    complete(world, again)
    assert len(logged.take(ZeroDivisionError)) == isinstance(late, Exception)


@pytest.mark.parametrize("how", ["raises", "fails"])
def test_an_exception_refuses_and_is_logged(world: World, logged: Logged, how: str) -> None:
    def decide(_: object) -> Any:
        if how == "raises":
            raise ZeroDivisionError
        return defer.fail(ZeroDivisionError())

    port = world.listen(Door(decide))
    asking(world, port).expect_reset(seq=0)
    assert len(logged.take(ZeroDivisionError)) == 1
    asking(world, port).expect_reset(seq=0)
    assert len(logged.take(ZeroDivisionError)) == 1


def test_a_port_that_closes_meanwhile_refuses(world: World) -> None:
    door = Hesitant()
    port = world.listen(door)
    client = asking(world, port)
    port.stopListening()
    world.turn()
    client.expect_reset(seq=0)
    door.answers[0].callback(True)
    world.turn()
    assert door.let_in == []


def test_the_decider_may_close_its_port_or_the_stack(world: World) -> None:
    def close(_: object) -> bool:
        port.stopListening()
        return True

    port = world.listen(Door(close))
    for client in (world.client(port), world.client(port)):
        client.syn()
    world.turn()

    def end(_: object) -> bool:
        world.stack.stop()
        return True

    last = world.listen(Door(end), port=8)
    for client in (world.client(last), world.client(last)):
        client.syn()
    world.turn()
    assert world.engine.closed


def test_a_factory_that_is_wrapped_is_asked(world: World) -> None:
    """As by TLS and the policies of Twisted; a proxy's address is the one that can be known by then."""
    door = Door(lambda address: address.port != 1)
    listening = serverFromString(world.reactor, "haproxy:xtcp:7").listen(WrappingFactory(door))
    port = outcome(listening)
    client = asking(world, port)
    complete(world, client)
    assert door.asked == [IPv4Address("TCP", "198.51.100.7", client.sport)]


def test_a_factory_may_be_adapted(world: World) -> None:
    class Plain(Factory):
        noisy = False

    @implementer(IConnectionDecider)
    class Shut:
        def __init__(self, factory: Plain) -> None:
            pass

        def connectionRequested(self, address: Any) -> bool:
            return False

    registerAdapter(Shut, Plain, IConnectionDecider)
    asking(world, world.listen(Plain())).expect_reset(seq=0)


def test_credits_are_spent_without_asking(world: World) -> None:
    door = Door(lambda _: False)
    port = world.listen(door, accept_credits=1)
    complete(world, asking(world, port))
    asking(world, port).expect_reset(seq=0)
    assert len(door.asked) == len(door.let_in) == 1


@pytest.mark.feature("P06")
@pytest.mark.parametrize("beside", [Factory, GroupProtocol])
def test_it_decides_for_those_that_share_its_port(world: World, beside: Callable[[], Any]) -> None:
    door = Door(lambda address: address.host != "198.51.100.9")
    for factory in (beside(), door):
        port = world.stack.listen(factory, Binding(port=7, share=True))
    complete(world, asking(world, port))
    asking(world, port, ip="198.51.100.9").expect_reset(seq=0)
    assert len(door.let_in) == 1


@pytest.mark.feature("P31")
def test_a_client_of_a_unix_socket_is_decided_about_too(world: World, tmp_path: Path) -> None:
    door = Door(lambda _: len(door.asked) == 2)
    world.stack.listen(door, Binding(path=str(tmp_path / "s"), options=GroupOptions()))
    for expected in (0, 1):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "s"))
            world.turns(4)
            assert len(door.let_in) == expected
    assert door.asked == [UNIXAddress(None), UNIXAddress(None)]


@implementer(IGroupAcceptor)
class Undecided(GroupProtocol):
    """Keeps what it is asked; answers when the test does."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, tuple[str, int]]] = []

    def connectionsPending(self, requests: list[tuple[int, tuple[str, int]]]) -> None:
        self.asked += requests


def test_a_group_protocol_is_asked_once_about_each(world: World) -> None:
    """Who begins a look-up for each request must not begin it again with each that comes later."""
    group = Undecided()
    port = world.listen(group)
    clients = [asking(world, port) for _ in range(3)]
    assert [place for _, place in group.asked] == [(client.ip, client.sport) for client in clients]
    group.group.accept(group.asked[0][0])
    group.group.refuse(group.asked[1][0])
    world.turn()
    complete(world, clients[0])
    clients[1].expect_reset(seq=0)
    asking(world, port)
    assert len(group.asked) == 4


def test_a_request_decided_by_who_shares_the_port_is_no_error(world: World) -> None:
    """The group protocol next door has no say, and hears of it after the decision."""
    everyone = [GroupProtocol(), GroupProtocol()]
    for protocol in everyone:
        world.stack.listen(protocol, Binding(port=9, share=True, options=GroupOptions()))
    ports: Any = list(world.stack.stage.ports)
    client = asking(world, ports[0])
    complete(world, client)
    assert sum(len(port.factory.group) for port in ports) == 1
