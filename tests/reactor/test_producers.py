"""Producers are paused, told to go on and stopped when Twisted's own transports would do it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet import error

from tests.reactor.conftest import Logged
from tests.reactor.world import Recorder, World, connect
from xtcp_twisted.reactor.producing import ROUNDS

KIB = 1_024
#: Of transports that are to be full soon, bytes.
BOUND = 1_000


def fail(*_: object) -> None:
    raise ZeroDivisionError


class Producer:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")

    def stopProducing(self) -> None:
        self.calls.append("stop")


def test_a_streaming_producer_is_paused_past_64_kib_and_resumed_when_empty(world: World) -> None:
    server = Recorder()
    client = connect(world, server)
    producer = Producer()
    server.transport.registerProducer(producer, True)
    with pytest.raises(RuntimeError, match="never unregistered"):
        server.transport.registerProducer(Producer(), True)
    server.transport.write(b"x" * 65_536)
    assert producer.calls == []
    server.transport.write(b"x")
    assert producer.calls == ["pause"]
    for _ in range(400):
        world.turn()
        if client.inbox:
            client.take()
            client.ack()
    assert producer.calls == ["pause", "resume"]
    assert len(client.received) == 65_537


def test_a_producer_that_writes_to_a_connection_that_has_ended_is_paused(world: World) -> None:
    """Else one that writes until it is paused would do so for ever."""
    server = Recorder()
    client = connect(world, server)
    producer = Producer()
    server.transport.registerProducer(producer, True)
    client.rst()
    world.turn()
    assert server.reasons == []
    server.transport.write(b"x")
    assert producer.calls == ["pause"]
    world.turn()
    assert producer.calls == ["pause", "stop"]


def test_a_pull_producer_is_asked_whenever_the_buffer_is_empty(world: World) -> None:
    server = Recorder()
    client = connect(world, server)

    class Pull(Producer):
        def resumeProducing(self) -> None:
            super().resumeProducing()
            if len(self.calls) == 4:
                server.transport.unregisterProducer()
                server.transport.loseConnection()
            else:
                server.transport.write(b"%d" % len(self.calls))

    producer = Pull()
    server.transport.registerProducer(producer, False)
    world.turns(6)
    assert producer.calls == ["resume"] * 4
    assert client.received == b"123"
    server.reasons[0].trap(error.ConnectionDone)


def test_lose_connection_waits_for_a_paused_producer(world: World) -> None:
    server = Recorder()
    client = connect(world, server, port=9)
    producer = Producer()
    server.transport.registerProducer(producer, False)
    server.transport.loseConnection()
    world.turns(3)
    assert server.reasons == []
    server.transport.write(b"late")
    server.transport.unregisterProducer()
    world.turns(3)
    assert client.received == b"late"
    server.reasons[0].trap(error.ConnectionDone)


def test_a_producer_is_stopped_when_the_connection_is_lost(world: World) -> None:
    server = Recorder()
    client = connect(world, server)
    producer, late = Producer(), Producer()
    server.transport.registerProducer(producer, True)
    client.rst()
    world.turns(2)
    assert producer.calls == ["stop"]
    server.transport.registerProducer(late, True)
    assert late.calls == ["stop"]


def test_an_exception_in_a_producer_costs_that_connection(world: World, logged: Logged) -> None:
    server = Recorder()
    client = connect(world, server)

    class Bad:
        resumeProducing = staticmethod(fail)
        stopProducing = staticmethod(lambda: None)
        pauseProducing = staticmethod(lambda: None)

    server.transport.registerProducer(Bad(), True)
    server.transport.write(b"x" * 65_537)
    while client.rcv_nxt <= 65_537:
        client.ack()
        world.turn()
    world.turn()
    server.reasons[0].trap(ZeroDivisionError)
    assert len(logged.take(ZeroDivisionError)) == 1


# -- what counts as buffered --------------------------------------------------------------------------


def test_what_has_left_counts_no_more_a_turn_later(world: World) -> None:
    server = Recorder()
    connect(world, server)
    producer = Producer()
    server.transport.bufferSize = BOUND
    server.transport.registerProducer(producer, True)
    for _ in range(3):
        server.transport.write(b"x" * BOUND)
        world.turn()
    assert producer.calls == []


def test_what_the_engine_has_no_room_for_counts_until_it_has(world: World) -> None:
    server = Recorder()
    client = connect(world, server)
    producer = Producer()
    transport = server.transport
    while not transport.writing:
        transport.write(b"x" * KIB)
    transport.write(b"x" * 60 * KIB)
    transport.registerProducer(producer, True)
    world.turns(3)
    transport.write(b"x" * 3 * KIB)
    assert producer.calls == []
    transport.write(b"x" * 2 * KIB)
    assert producer.calls == ["pause"]
    while producer.calls == ["pause"]:
        client.take()
        client.ack()
        world.turn()
    assert producer.calls == ["pause", "resume"]


def test_the_bound_of_a_transport_may_be_set(world: World) -> None:
    server = Recorder()
    connect(world, server)
    producer = Producer()
    server.transport.bufferSize = BOUND
    server.transport.registerProducer(producer, True)
    server.transport.write(b"x" * BOUND)
    assert producer.calls == []
    server.transport.write(b"x")
    assert producer.calls == ["pause"]


# -- several times in a turn --------------------------------------------------------------------------


class Eager(Producer):
    """Writes `piece` whenever it may, until `left` are written."""

    def __init__(self, transport: Any, piece: bytes, left: int) -> None:
        super().__init__()
        transport.bufferSize = BOUND
        self.transport, self.piece, self.left = transport, piece, left

    def resumeProducing(self) -> None:
        super().resumeProducing()
        if self.left:
            self.left -= 1
            self.transport.write(self.piece)
        else:
            self.transport.unregisterProducer()


def test_a_producer_goes_on_within_the_turn_and_no_more_often_than_bounded(world: World) -> None:
    server = Recorder()
    connect(world, server)
    producer = Eager(server.transport, b"x" * (BOUND + 1), 9)
    server.transport.registerProducer(producer, True)
    producer.resumeProducing()
    assert producer.calls == ["resume", "pause"]
    world.turn()
    assert producer.calls == ["resume", "pause"] * (1 + ROUNDS)


def test_a_pull_producer_is_asked_as_often(world: World) -> None:
    server = Recorder()
    connect(world, server)
    producer = Eager(server.transport, b"x", 100)
    server.transport.registerProducer(producer, False)
    assert len(producer.calls) == 1
    world.turn()
    assert len(producer.calls) == 1 + ROUNDS


def test_a_pull_producer_that_writes_nothing_is_not_asked_again(world: World) -> None:
    server = Recorder()
    connect(world, server)
    producer = Eager(server.transport, b"", 100)
    server.transport.registerProducer(producer, False)
    world.turns(5)
    assert len(producer.calls) == 2
    server.transport.write(b"x")
    world.turn()
    assert len(producer.calls) == 3


def test_a_producer_whose_connection_has_no_room_waits_for_room(world: World) -> None:
    """And goes on in the turn in which there is some, as with a socket that has become writable."""
    server = Recorder()
    client = connect(world, server)
    producer = Eager(server.transport, b"x" * 100 * KIB, 1_000)
    server.transport.registerProducer(producer, True)
    producer.resumeProducing()
    world.turns(20)
    written = producer.left
    world.turns(5)
    assert producer.left == written > 0
    before = len(client.received)
    while producer.left == written:
        client.take()
        client.ack()
        world.turn()
    assert len(client.received) > before
    assert producer.calls[-1] == "pause"


@pytest.mark.parametrize("end", ["abortConnection", "unregisterProducer", "stopConsuming"])
def test_a_producer_that_ends_itself_is_not_asked_again(world: World, end: str) -> None:
    server = Recorder()
    connect(world, server)

    class Ending(Eager):
        def resumeProducing(self) -> None:
            super().resumeProducing()
            ends: Callable[[], None] = getattr(self.transport, end)
            ends()

    producer = Ending(server.transport, b"x" * (BOUND + 1), 9)
    server.transport.registerProducer(producer, True)
    server.transport.write(b"x" * (BOUND + 1))
    world.turns(4)
    assert producer.calls[:2] == ["pause", "resume"]
    assert producer.calls.count("resume") == 1


def test_delayed_calls_run_between_rounds_of_different_turns(world: World) -> None:
    server = Recorder()
    connect(world, server)
    order: list[str] = []

    class Calling(Eager):
        def pauseProducing(self) -> None:
            super().pauseProducing()
            order.append("pause")
            world.reactor.callLater(0, order.append, "callLater")

    producer = Calling(server.transport, b"x" * (BOUND + 1), 3 * ROUNDS)
    server.transport.registerProducer(producer, True)
    producer.resumeProducing()
    world.turns(2)
    assert order == ["pause", "callLater", *["pause"] * ROUNDS, *["callLater"] * ROUNDS, *["pause"] * ROUNDS]
