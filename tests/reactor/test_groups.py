"""Group protocols: batches, acknowledgement, ends, and what an exception costs."""

from __future__ import annotations

import errno

import pytest
from twisted.internet import error
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.reactor.conftest import Logged
from tests.reactor.recorders import Recorder, Upper, opened
from tests.reactor.world import World
from xtcp_twisted.config import ALL
from xtcp_twisted.errors import StaleConnection
from xtcp_twisted.reactor.groups import GroupPort
from xtcp_twisted.reactor.interfaces import IGroupAcceptor, IGroupProtocol, IGroupSignals, IGroupTransport


def test_interfaces(world: World) -> None:
    protocol = Recorder()
    world.listen(protocol)
    assert verifyObject(IGroupProtocol, protocol)
    assert verifyObject(IGroupTransport, protocol.group)


@pytest.mark.feature("P13", "P15", "P24")
def test_a_batch_comes_in_one_call_and_answers_carry_the_acknowledgements(world: World) -> None:
    protocol = Upper()
    clients = opened(world, protocol, 3)
    for i, client in enumerate(clients):
        client.send(b"hello %d" % i)
    world.turn()
    assert len(protocol.messages) == 1
    assert sorted(protocol.data) == [b"hello 0", b"hello 1", b"hello 2"]
    for i, client in enumerate(clients):
        client.expect("A", ack=8, data=b"HELLO %d" % i)
        client.expect_nothing()
    assert world.receive_used == 0


def test_connections_are_made_in_a_batch_before_their_data(world: World) -> None:
    protocol = Recorder()
    port = world.listen(protocol)
    clients = [world.client(port) for _ in range(3)]
    for client in clients:
        client.syn()
    world.turn()
    for client in clients:
        client.expect("SA")
        client.ack()
        client.send(b"x")
    world.turn()
    assert len(protocol.made) == 1
    assert len(protocol.cds) == 3
    assert protocol.data == [b"x"] * 3


@pytest.mark.feature("P34")
def test_no_python_object_per_connection(world: World) -> None:
    protocol = Recorder()
    opened(world, protocol, 5)
    assert world.stack._stage.table.rows == []
    assert len(protocol.group) == 5


@pytest.mark.feature("P14")
def test_the_protocol_acknowledges_by_itself_if_it_wants(world: World) -> None:
    class Careful(Recorder):
        autoAcknowledge = False

        def messageReceived(self, cd: int, data: bytes) -> None:
            whole = data.rfind(b"\n") + 1
            if whole:
                self.group.send(cd, b"ok\n", whole)
            self.group.need(cd, len(data) - whole + 1)

    protocol = Careful()
    (client,) = opened(world, protocol)
    client.send(b"one\ntw")
    world.turn()
    client.expect("A", data=b"ok\n")
    assert world.engine.pools()[0].groups()[0].info(protocol.cds[0]).held == 2
    client.ack()
    client.send(b"o\n")
    world.turns(2)
    assert protocol.data[-1] == b"two\n"
    client.expect("A", ack=9, data=b"ok\n")
    assert protocol.data.count(b"one\ntw") == 1


@pytest.mark.feature("P14")
def test_under_the_application_policy_nothing_is_acknowledged_by_itself(world: World) -> None:
    protocol = Recorder()
    (client,) = opened(world, protocol, ack_policy="application")
    client.send(b"order")
    world.turns(3)
    client.expect_nothing()
    protocol.group.send(protocol.cds[0], b"done", ALL)
    world.turn()
    client.expect("A", ack=6, data=b"done")


# -- ends --------------------------------------------------------------------------------------


def test_a_fin_is_answered_with_a_fin_and_reported_once(world: World) -> None:
    protocol = Recorder()
    (client,) = opened(world, protocol)
    client.fin(b"bye")
    world.turns(3)
    assert protocol.data == [b"bye"]
    ((cd, reason),) = protocol.losses
    assert cd == protocol.cds[0]
    reason.trap(error.ConnectionDone)
    assert "F" in client.take()[-1].flags


def test_a_protocol_may_go_on_after_the_peer_has_closed(world: World) -> None:
    class Late(Recorder):
        def connectionsHalfClosed(self, cds: list[int]) -> None:
            for cd in cds:
                self.group.send(cd, b"last word")
                self.group.finish(cd)

    protocol = Late()
    (client,) = opened(world, protocol)
    client.fin()
    world.turns(2)
    assert client.received == b"last word"


def test_a_reset_is_reported(world: World) -> None:
    protocol = Recorder()
    (client,) = opened(world, protocol)
    client.rst()
    world.turn()
    ((_, reason),) = protocol.losses
    reason.trap(error.ConnectionLost)


@pytest.mark.parametrize("end, kind", [("finish", error.ConnectionDone), ("abort", error.ConnectionAborted)])
def test_an_end_of_its_own_is_reported_in_a_later_turn(world: World, end: str, kind: type) -> None:
    class Closer(Recorder):
        def messageReceived(self, cd: int, data: bytes) -> None:
            getattr(self.group, end)(cd)
            assert self.losses == []
            with pytest.raises(StaleConnection):
                self.group.send(cd, b"x")

    protocol = Closer()
    (client,) = opened(world, protocol)
    client.send(b"x")
    world.turns(2)
    ((_, reason),) = protocol.losses
    assert reason.check(kind)
    world.turns(3)
    assert len(protocol.losses) == 1


def test_a_group_that_stopped_listening_closes_with_its_last_connection(world: World) -> None:
    protocol = Upper()
    port = world.listen(protocol)
    client = world.client(port).opened()
    port.stopListening()
    world.turns(2)
    client.send(b"x")
    world.turn()
    client.expect("A", data=b"X")
    client.ack()
    assert protocol.closed == []
    client.fin()
    world.turns(4)
    client.ack()
    world.turns(2)
    assert len(protocol.losses) == 1
    protocol.closed[0].trap(error.ConnectionDone)


def test_the_end_of_the_stack_is_told_once(world: World) -> None:
    protocol = Recorder()
    opened(world, protocol, 3)
    world.stack.stop()
    (reason,) = protocol.closed
    reason.trap(error.ConnectionLost)
    assert protocol.losses == []


# -- exceptions ----------------------------------------------------------------------------------


def test_an_exception_costs_the_connection_that_was_served(world: World, logged: Logged) -> None:
    protocol = Upper()
    clients = opened(world, protocol, 3)
    for client, data in zip(clients, [b"a", b"fail", b"c"], strict=True):
        client.send(data)
    world.turns(2)
    clients[0].expect("A", data=b"A")
    clients[1].expect_reset(seq=1)
    clients[2].expect("A", data=b"C")
    assert len(logged.take(ZeroDivisionError)) == 1
    ((cd, reason),) = protocol.losses
    assert cd == protocol.cds[1]
    reason.trap(error.ConnectionAborted)
    # The rest was offered as a batch of its own, and nobody was served twice.
    assert sorted(protocol.data).count(b"a") == 1


def test_an_exception_outside_of_the_loop_costs_the_batch(world: World, logged: Logged) -> None:
    class Sloppy(Recorder):
        def messagesReceived(self, messages: list[tuple[int, bytes]]) -> None:
            for _ in messages:
                pass
            raise ZeroDivisionError

    protocol = Sloppy()
    clients = opened(world, protocol, 2)
    for client in clients:
        client.send(b"x")
    world.turns(2)
    for client in clients:
        client.expect_reset(seq=1)
    assert len(protocol.losses) == 2
    assert len(logged.take(ZeroDivisionError)) == 1


def test_an_exception_about_new_connections_costs_only_the_known_one(world: World, logged: Logged) -> None:
    class Picky(Recorder):
        def connectionsMade(self, cds: list[int]) -> None:
            super().connectionsMade(cds)
            if len(self.made) == 1:
                raise ZeroDivisionError

    protocol = Picky()
    clients = opened(world, protocol, 2)
    assert len(logged.take(ZeroDivisionError)) == 1
    for client in clients:
        client.expect_nothing()
    assert len(protocol.group) == 2


def test_an_exception_in_connections_lost_is_logged(world: World, logged: Logged) -> None:
    class Bad(Recorder):
        def connectionsLost(self, losses: list[tuple[int, Failure]]) -> None:
            for loss in losses:
                self.losses.append(loss)
                raise ZeroDivisionError

    protocol = Bad()
    clients = opened(world, protocol, 2)
    for client in clients:
        client.rst()
    world.turns(2)
    assert len(protocol.losses) == 2
    assert len(logged.take(ZeroDivisionError)) == 2


# -- the decision before the handshake -----------------------------------------------------------


@implementer(IGroupAcceptor)
class Doorkeeper(Upper):
    """Lets in whom it likes."""

    def __init__(self, *ports: int) -> None:
        super().__init__()
        self.ports = ports

    def connectionsPending(self, requests: list[tuple[int, tuple[str, int]]]) -> None:
        for pendingId, (_, port) in requests:
            if port in self.ports:
                self.group.accept(pendingId)
            else:
                self.group.refuse(pendingId)


@pytest.mark.feature("P08")
def test_an_acceptor_decides_before_the_handshake(world: World) -> None:
    protocol = Doorkeeper(40_000)
    port = world.listen(protocol)
    good, bad = world.client(port), world.client(port)
    assert (good.sport, bad.sport) == (40_000, 40_001)
    good.syn()
    bad.syn()
    world.turn()
    good.expect("SA", seq=0, ack=1)
    bad.expect_reset(seq=0)


@pytest.mark.feature("P08")
def test_a_connection_that_its_acceptor_closes_before_the_handshake_was_never_made(world: World) -> None:
    class Fickle(Doorkeeper):
        def connectionsPending(self, requests: list[tuple[int, tuple[str, int]]]) -> None:
            for pendingId, _ in requests:
                self.group.abort(self.group.accept(pendingId))

    protocol = Fickle()
    client = world.client(world.listen(protocol))
    client.syn()
    world.turns(3)
    client.expect("SA", ack=1)
    client.expect_reset(seq=1)
    assert protocol.cds == []
    assert protocol.losses == []
    assert len(protocol.group) == 0


def test_promises_that_came_to_nothing_are_forgotten(world: World) -> None:
    """Nobody reports a handshake that fails, so they are sought out when they are many."""
    protocol = Doorkeeper(*range(40_000, 50_000))
    port = world.listen(protocol)
    assert isinstance(port, GroupPort)
    port._mostPromised = 10
    for _ in range(30):
        client = world.client(port)
        client.syn()
        world.turn()
        client.rst(seq=1)
        world.turn()
    assert len(port._promised) < 20
    assert len(protocol.group) == 0


@implementer(IGroupSignals)
class Attentive(Upper):
    """Wants to hear of what needs no answer; cannot stand urgent data of 13 bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[str, int, int]] = []

    def connectionsUrgent(self, announcements: list[tuple[int, int]]) -> None:
        for cd, length in announcements:
            assert length != 13
            self.heard.append(("urgent", cd, length))

    def connectionsTroubled(self, troubles: list[tuple[int, int]]) -> None:
        self.heard += [("troubled", cd, number) for cd, number in troubles]


@pytest.mark.requirement("RFC 9293 MUST-32", "RFC 9293 MUST-33", "RFC 9293 SHLD-9")
def test_urgent_data_and_trouble_are_told_to_who_wants_to_hear(world: World) -> None:
    protocol = Attentive()
    assert verifyObject(IGroupSignals, protocol)
    clients = opened(world, protocol, 2)
    clients[0].send(b"abc", "AU", urgent=3)
    clients[1].send(b"abc", "AU", urgent=70)
    world.turn()
    first, second = protocol.cds
    assert protocol.heard == [("urgent", first, 3), ("urgent", second, 70)]
    clients[0].ack()
    world.advance(10)
    assert protocol.heard[2:] == [("troubled", second, errno.ETIMEDOUT)]


def test_an_exception_about_urgent_data_costs_its_connection(world: World, logged: Logged) -> None:
    protocol = Attentive()
    clients = opened(world, protocol, 2)
    clients[0].send(b"abc", "AU", urgent=13)
    clients[1].send(b"abc", "AU", urgent=3)
    world.turn()
    assert "R" in clients[0].take()[-1].flags
    clients[1].expect("A", data=b"ABC")
    assert len(logged.take(AssertionError)) == 1


def test_preferences_of_one_connection(world: World) -> None:
    protocol = Upper()
    opened(world, protocol, user_timeout_s=50)
    [cd] = protocol.cds
    assert not protocol.group.info(cd).nagle, "whole messages are not held back"
    protocol.group.setNoDelay(cd, False)
    protocol.group.setKeepAlive(cd, True)
    assert (protocol.group.info(cd).nagle, protocol.group.info(cd).keepalive) == (True, True)
    protocol.group.setUserTimeout(cd, 3)
    protocol.group.send(cd, b"into the void")
    world.advance(4)
    assert [lost for lost, _ in protocol.losses] == [cd]


@pytest.mark.feature("P05", "P13")
def test_batches_come_after_so_many_connections_or_after_the_delay(world: World) -> None:
    """New connections and further data do not deliver early what the group holds back."""
    protocol = Upper()
    port = world.listen(protocol, notify_connections=2, notify_delay_ms=50)
    clients = [world.client(port).opened() for _ in range(3)]
    clients[0].send(b"one")
    world.turn()
    clients[0].send(b" more")
    world.client(port).opened()
    world.turns(3)
    assert len(protocol.cds) == 4
    assert protocol.messages == []
    clients[1].send(b"two")
    world.turn()
    assert [sorted(data for _, data in batch) for batch in protocol.messages] == [[b"one more", b"two"]]
    protocol.messages.clear()
    clients[2].send(b"three")
    world.turn()
    world.advance(0.049)
    assert protocol.messages == []
    world.advance(0.001)
    assert protocol.data == [b"three"]
