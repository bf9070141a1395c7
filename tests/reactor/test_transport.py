"""What Twisted's own TCP transports do, ordinary protocols get here, in the same order."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet import error

from tests.reactor.conftest import Logged
from tests.reactor.world import Peer, Recorder, World, connect, factoryOf

# -- delivery ------------------------------------------------------------------------------


@pytest.mark.feature("P15", "P24")
def test_the_acknowledgement_rides_on_the_answer(world: World) -> None:
    server = Recorder()
    server.got = lambda p, data: p.transport.write(data.upper())
    client = connect(world, server)
    client.send(b"hello")
    world.turn()
    client.expect("A", ack=6, data=b"HELLO")
    client.expect_nothing()


@pytest.mark.feature("P14")
def test_the_acknowledgement_waits_for_an_answer_that_comes_later(world: World) -> None:
    server = Recorder()
    server.got = lambda p, data: world.reactor.callLater(0.02, p.transport.write, data.upper())
    client = connect(world, server)
    client.send(b"hello")
    world.turn()
    client.expect_nothing()
    world.now += 0.02
    world.reactor.advance(0.02)
    world.turn()
    client.expect("A", ack=6, data=b"HELLO")
    client.ack()
    world.advance(0.1)
    client.expect_nothing()


@pytest.mark.feature("P14")
def test_what_is_not_answered_is_acknowledged_when_the_bound_is_over(world: World) -> None:
    server = Recorder()
    client = connect(world, server)
    client.send(b"hello")
    world.turn()
    client.expect_nothing()
    world.advance(0.041)
    client.expect("A", ack=6)
    assert world.receive_used == 0


def test_no_data_in_the_turn_of_connection_made(world: World) -> None:
    """ClientCreator, hence FTP, relies on a pass over the delayed calls between the two."""
    order: list[str] = []
    server = Recorder()
    server.made = lambda p: world.reactor.callLater(0, order.append, "callLater")
    server.got = lambda p, data: order.append("data")
    client = world.client(world.listen(factoryOf(server)))
    client.syn()
    world.turn()
    client.expect("SA")
    client.ack()
    client.send(b"one")
    world.turn()
    assert order == []
    world.turn()
    assert order == ["callLater", "data"]
    assert server.data == b"one"


def test_data_and_end_of_the_first_turn_keep_their_order(world: World) -> None:
    server = Recorder()
    client = world.client(world.listen(factoryOf(server)))
    client.syn()
    world.turn()
    client.expect("SA")
    client.ack()
    client.fin(b"last words")
    world.turns(4)
    assert server.data == b"last words"
    server.reasons[0].trap(error.ConnectionDone)


def held(world: World, server: Recorder) -> Peer:
    """A client of which 280,000 bytes wait until `server` resumes its transport."""
    client = connect(world, server, weight=8)  # that one connection may hold so much
    server.transport.pauseProducing()
    for _ in range(200):
        client.send(b"x" * 1400)
        world.turn()
        client.take()
    return client


def test_a_delivery_is_no_longer_than_twisteds(world: World) -> None:
    """And a turn has four of them at most for each connection."""
    server = Recorder()
    held(world, server)
    server.transport.resumeProducing()
    world.turn()
    assert list(map(len, server.chunks)) == [65_536] * 4
    world.turns(3)
    assert list(map(len, server.chunks)) == [65_536] * 4 + [200 * 1400 - 262_144]


@pytest.mark.parametrize("how", ["pauseProducing", "loseConnection", "abortConnection"])
def test_what_follows_a_piece_is_not_delivered_after(world: World, how: str) -> None:
    server = Recorder()
    held(world, server)
    server.got = lambda p, data: getattr(p.transport, how)()
    server.transport.resumeProducing()
    world.turns(4)
    assert list(map(len, server.chunks)) == [65_536]


def test_an_exception_in_a_piece_ends_the_rest(world: World, logged: Logged) -> None:
    server = Recorder()
    held(world, server)
    server.got = lambda p, data: 1 / (2 - len(server.chunks))
    server.transport.resumeProducing()
    world.turns(4)
    assert len(server.chunks) == 2
    server.reasons[0].trap(ZeroDivisionError)
    assert len(logged.take(ZeroDivisionError)) == 1


def test_the_end_of_the_stack_in_a_piece_ends_the_rest(world: World) -> None:
    server = Recorder()
    held(world, server)
    server.got = lambda p, data: world.stack.stop()
    server.transport.resumeProducing()
    world.turn()
    assert len(server.chunks) == 1


def test_what_follows_a_piece_may_be_the_end(world: World) -> None:
    """The end is a turn of its own, as every end."""
    server = Recorder()
    client = connect(world, server, weight=8)
    server.transport.pauseProducing()
    for _ in range(64):
        client.send(b"x" * 1_024)
        world.turn()
    client.fin()
    server.transport.resumeProducing()
    world.turn()
    assert (list(map(len, server.chunks)), server.reasons) == ([65_536], [])
    world.turns(3)
    server.reasons[0].trap(error.ConnectionDone)


def test_nothing_is_delivered_while_paused(world: World) -> None:
    server = Recorder()
    server.got = lambda p, data: p.transport.pauseProducing()
    client = connect(world, server)
    client.send(b"one")
    world.turn()
    client.send(b"two")
    world.turns(3)
    assert server.data == b"one"
    server.transport.resumeProducing()
    world.turn()
    assert server.data == b"onetwo"


def test_a_neighbour_may_pause_it_within_the_batch(world: World) -> None:
    """A proxy pauses the other side from its own dataReceived; that must hold at once."""
    one, two = Recorder(), Recorder()
    port = world.listen(factoryOf(one, two))
    clients = [world.client(port).opened() for _ in range(2)]
    one.got = lambda p, data: two.transport.pauseProducing()
    two.got = lambda p, data: one.transport.pauseProducing()
    for client in clients:
        client.send(b"x")
    world.turns(3)
    assert sorted([one.data, two.data]) == [b"", b"x"]
    one.transport.resumeProducing()
    two.transport.resumeProducing()
    world.turns(2)
    assert (one.data, two.data) == (b"x", b"x")


def test_nothing_is_delivered_after_lose_connection(world: World) -> None:
    server = Recorder()
    server.got = lambda p, data: p.transport.loseConnection()
    client = connect(world, server)
    client.send(b"one")
    world.turn()
    client.send(b"two")
    world.turns(3)
    assert server.chunks == [b"one"]


# -- writing ---------------------------------------------------------------------------------


def test_what_is_written_between_lose_connection_and_the_flush_is_sent(world: World) -> None:
    server = Recorder()

    def made(p: Recorder) -> None:
        p.transport.write(b"one ")
        p.transport.loseConnection()
        p.transport.write(b"two")

    server.made = made
    client = connect(world, server)
    world.turns(2)
    assert client.received == b"one two"
    server.reasons[0].trap(error.ConnectionDone)


def test_a_large_write_arrives_as_the_peer_makes_room(world: World) -> None:
    server = Recorder()
    client = connect(world, server)
    payload = bytes(range(256)) * 12_000
    server.transport.write(payload)
    server.transport.loseConnection()
    for _ in range(20_000):
        world.turn()
        if client.inbox:
            client.take()
            client.ack()
        elif server.reasons:
            break
    world.turns(2)
    assert client.received == payload
    server.reasons[0].trap(error.ConnectionDone)


def test_write_sequence(world: World) -> None:
    server = Recorder()
    client = connect(world, server)
    server.transport.writeSequence([b"a", b"", b"bc"])
    world.turn()
    client.expect("A", data=b"abc")


@pytest.mark.parametrize("bad", ["text", bytearray(b"x"), memoryview(b"x"), None, 1])
def test_only_bytes_can_be_written(world: World, bad: Any) -> None:
    server = Recorder()
    connect(world, server)
    with pytest.raises(TypeError, match="Data must be bytes"):
        server.transport.write(bad)
    with pytest.raises(TypeError, match="Data must be bytes"):
        server.transport.writeSequence([b"x", bad])


def test_writing_in_connection_lost_is_ignored(world: World) -> None:
    server = Recorder()

    def lost(p: Recorder) -> None:
        p.transport.write(b"x")
        p.transport.loseConnection()
        p.transport.abortConnection()

    server.made = lambda p: p.transport.loseConnection()
    server.lost = lost
    client = connect(world, server)
    world.turns(4)
    assert len(server.reasons) == 1
    assert client.received == b""


# -- exceptions -----------------------------------------------------------------------------------


def fail(*_: object) -> None:
    raise ZeroDivisionError


def test_an_exception_in_data_received_costs_that_connection(world: World, logged: Logged) -> None:
    bad, good = Recorder(), Recorder()
    bad.got = fail
    good.got = lambda p, data: p.transport.write(data)
    port = world.listen(factoryOf(bad, good))
    clients = [world.client(port).opened() for _ in range(2)]
    for client in clients:
        client.send(b"x")
    world.turns(2)
    bad.reasons[0].trap(ZeroDivisionError)
    assert len(logged.take(ZeroDivisionError)) == 1
    assert good.reasons == []
    clients[1].expect("A", data=b"x")


def test_an_exception_acknowledges_nothing_under_the_application_policy(world: World, logged: Logged) -> None:
    server = Recorder()
    server.got = fail
    client = connect(world, server, ack_policy="application")
    client.send(b"order")
    world.turns(2)
    client.expect_reset(seq=1)
    assert len(logged.take(ZeroDivisionError)) == 1


def test_an_exception_in_connection_made_leaves_the_connection(world: World, logged: Logged) -> None:
    """As twisted.internet.tcp.Port does: logged, no more."""
    server = Recorder()
    server.made = fail
    client = connect(world, server)
    assert len(logged.take(ZeroDivisionError)) == 1
    client.send(b"x")
    world.turn()
    assert server.data == b"x"


def test_an_exception_in_connection_lost_is_logged(world: World, logged: Logged) -> None:
    server = Recorder()
    server.lost = fail
    client = connect(world, server)
    client.fin()
    world.turns(2)
    assert len(logged.take(ZeroDivisionError)) == 1
    assert "F" in client.take()[-1].flags
