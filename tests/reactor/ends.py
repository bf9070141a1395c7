"""Conversations that end in many ways, over Twisted's own TCP and over a stack; prints what both sides saw.

    python -m tests.reactor.ends kernel
    python -m tests.reactor.ends xtcp the_server_aborts

All of them where none is named.  Prints JSON: for each conversation the calls that
server and client got, in order.
How data is cut into pieces is left out; how much came until the end is not.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet import defer, interfaces, reactor, task
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from zope.interface import implementer

from tests.reactor.test_tls import HOST, client_options, server_options
from xtcp_twisted.config import EngineConfig, MiB
from xtcp_twisted.link.memory import MemoryLink
from xtcp_twisted.reactor.port import Binding
from xtcp_twisted.reactor.stack import XTCPStack

clock: Any = reactor
#: What one side does at an event: ``made``, ``data``, ``read lost``.
Script = Callable[["Side", str], object]
CONVERSATIONS: dict[str, tuple[type[Side], Script, Script]] = {}


class Side(Protocol):
    """One end of a conversation, which its script plays."""

    transport: Any

    def __init__(self, script: Script) -> None:
        self.script = script
        self.calls: list[str] = []
        self.received = 0
        self.over: defer.Deferred[None] = defer.Deferred()

    def hears(self, event: str) -> None:
        self.calls.append(event)
        self.script(self, event)

    def connectionMade(self) -> None:
        self.hears("made")

    def dataReceived(self, data: bytes) -> None:
        self.received += len(data)
        self.script(self, "data")

    def connectionLost(self, reason: Any) -> None:  # type: ignore[override]
        self.hears(f"lost {reason.type.__name__} after {self.received} bytes")
        self.over.callback(None)


@implementer(interfaces.IHalfCloseableProtocol)
class HalfSide(Side):
    def readConnectionLost(self) -> None:
        self.hears("read lost")

    def writeConnectionLost(self) -> None:
        self.hears("write lost")


class Push:
    """A push producer of so many thousand bytes."""

    def __init__(self, side: Side, thousands: int) -> None:
        self.side, self.left, self.paused = side, thousands, False

    def go(self) -> None:
        while self.left and not self.paused:
            self.left -= 1
            self.side.transport.write(b"x" * 1_000)
        if not self.left:
            self.side.calls.append("unregistered")
            self.side.transport.unregisterProducer()

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False
        clock.callLater(0, self.go)

    def stopProducing(self) -> None:
        self.left, self.paused = 0, True
        self.side.calls.append("producer stopped")


class Pull(Push):
    """The same, asked for each thousand."""

    def resumeProducing(self) -> None:
        if self.left:
            self.left -= 1
            self.side.transport.write(b"x" * 1_000)
        if not self.left:
            self.side.calls.append("unregistered")
            self.side.transport.unregisterProducer()


def conversation(kind: type[Side] = Side) -> Callable[[Callable[[], tuple[Script, Script]]], None]:
    def entered(scripts: Callable[[], tuple[Script, Script]]) -> None:
        CONVERSATIONS[scripts.__name__] = (kind, *scripts())

    return entered


def at(event: str, *steps: Callable[[Side], object]) -> Script:
    """A script of one event."""

    def script(side: Side, now: str) -> None:
        if now == event:
            for step in steps:
                step(side)

    return script


def write(data: bytes) -> Callable[[Side], None]:
    return lambda side: side.transport.write(data)


def lose(side: Side) -> None:
    side.transport.loseConnection()


def lose_write(side: Side) -> None:
    side.transport.loseWriteConnection()


def abort(side: Side) -> None:
    side.transport.abortConnection()


def tls(side: Side) -> None:
    server = side.transport.getHost().port == side.factory.port  # type: ignore[union-attr]
    side.transport.startTLS(server_options() if server else client_options())


def fail(side: Side) -> None:
    raise ZeroDivisionError


def push(thousands: int) -> Callable[[Side], None]:
    def start(side: Side) -> None:
        producer = Push(side, thousands)
        side.transport.registerProducer(producer, True)
        clock.callLater(0, producer.go)

    return start


def pull(thousands: int) -> Callable[[Side], None]:
    return lambda side: side.transport.registerProducer(Pull(side, thousands), False)


def pause_a_moment(side: Side) -> None:
    side.transport.pauseProducing()
    clock.callLater(0.1, side.transport.resumeProducing)


silent: Script = at("nothing")


@conversation()
def the_server_answers_and_closes() -> tuple[Script, Script]:
    return at("data", write(b"answer"), lose, write(b"late")), at("made", write(b"question"))


@conversation()
def the_client_closes_while_the_server_is_paused() -> tuple[Script, Script]:
    return at("made", pause_a_moment), at("made", write(b"question"), lose)


@conversation()
def the_server_aborts() -> tuple[Script, Script]:
    return at("data", abort, abort, lose, write(b"late")), at("made", write(b"question"))


@conversation()
def data_make_the_server_fail() -> tuple[Script, Script]:
    return at("data", fail), at("made", write(b"question"))


@conversation()
def a_close_waits_for_the_producer() -> tuple[Script, Script]:
    return at("made", push(3_000), lose), silent


@conversation()
def a_close_waits_for_a_pull_producer() -> tuple[Script, Script]:
    return at("made", pull(500), lose), silent


@conversation()
def a_close_stops_consuming() -> tuple[Script, Script]:
    return at("made", push(3), write(b"abc"), lambda side: side.transport.stopConsuming()), silent


@conversation(HalfSide)
def the_client_closes_its_half_first() -> tuple[Script, Script]:
    def client(side: Side, event: str) -> None:
        at("made", write(b"question"), lose_write)(side, event)
        at("read lost", lose)(side, event)

    return at("read lost", write(b"after"), lose), client


@conversation(HalfSide)
def the_server_fails_at_the_end_of_reading() -> tuple[Script, Script]:
    def client(side: Side, event: str) -> None:
        at("made", lose_write)(side, event)
        at("read lost", lose)(side, event)

    return at("read lost", fail), client


def server_of(producer: Callable[[Side], None]) -> Script:
    def server(side: Side, event: str) -> None:
        at("made", tls)(side, event)
        at("data", producer)(side, event)

    return server


def client_of(size: int) -> Script:
    """Asks over TLS, and closes when so many bytes have come."""

    def client(side: Side, event: str) -> None:
        at("made", tls, write(b"question"))(side, event)
        if event == "data" and side.received == size:
            lose(side)

    return client


@conversation()
def tls_answers_and_closes() -> tuple[Script, Script]:
    def server(side: Side, event: str) -> None:
        at("made", tls)(side, event)
        at("data", write(b"answer"), lose, write(b"late"))(side, event)

    return server, at("made", tls, write(b"question"))


@conversation()
def tls_closes_at_once() -> tuple[Script, Script]:
    return at("made", tls, lose), at("made", tls, write(b"question"))


@conversation()
def tls_writes_and_closes_at_once() -> tuple[Script, Script]:
    return at("made", tls, write(b"greeting"), lose), at("made", tls)


@conversation()
def tls_aborts_in_its_handshake() -> tuple[Script, Script]:
    return at("made", tls, abort), at("made", tls, write(b"question"))


@conversation()
def tls_with_who_does_not_speak_it() -> tuple[Script, Script]:
    return at("made", tls), at("made", write(b"GET / HTTP/1.0\r\n\r\n"))


@conversation()
def tls_of_a_producer() -> tuple[Script, Script]:
    # Twisted's TLS may lose what a producer wrote last, if it was told to close before: the client closes.
    return server_of(push(3_000)), client_of(3_000_000)


@conversation()
def tls_of_a_pull_producer() -> tuple[Script, Script]:
    # Twisted's TLS may lose what a producer wrote last, if it was told to close before: the client closes.
    return server_of(pull(500)), client_of(500_000)


@conversation()
def tls_begins_under_a_pull_producer() -> tuple[Script, Script]:
    # The first thousand is in the clear: the client has TLS from then on.
    def client(side: Side, event: str) -> None:
        if event == "data" and side.received == 1_000:
            tls(side)
        if side.received == 50_000:
            side.transport.write(b"thanks")

    def server(side: Side, event: str) -> None:
        at("made", pull(50), tls)(side, event)
        at("data", lose)(side, event)

    return server, client


async def play(name: str, stack: XTCPStack | None) -> list[list[str]]:
    """What both sides saw, once both have ended."""
    kind, *scripts = CONVERSATIONS[name]
    server, client = sides = [kind(script) for script in scripts]
    serving, calling = Factory(), ClientFactory()
    for factory, side in ((serving, server), (calling, client)):
        factory.noisy = False
        side.factory = factory
        factory.buildProtocol = lambda _, side=side: side  # type: ignore[method-assign, misc]
    if stack is None:
        port = clock.listenTCP(0, serving, interface="127.0.0.1")
    else:
        port = stack.listen(serving, Binding())
    serving.port = calling.port = number = port.getHost().port  # type: ignore[attr-defined]
    if stack is None:
        clock.connectTCP("127.0.0.1", number, calling)
    else:
        stack.connect(HOST, number, calling)
    for side in sides:
        await side.over
    await port.stopListening()
    return [side.calls for side in sides]


def started() -> XTCPStack:
    config = EngineConfig(addresses=(HOST,), max_connections=1_024, arena_limit=256 * MiB)
    stack = XTCPStack(clock, MemoryLink(), config)
    stack.createPool("im", 8 * MiB)
    stack.start()
    return stack


async def main(_: Any, kind: str, *names: str) -> None:
    stack = started() if kind == "xtcp" else None
    print(json.dumps({name: await play(name, stack) for name in names or CONVERSATIONS}))


if __name__ == "__main__":
    task.react(main, sys.argv[1:])
