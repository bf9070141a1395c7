"""The event stream's rules on a clock of its own: no queue, newest figures first, nobody served for ever."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import views
from support.published import Published
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web import resource

from xtcp_console.figures import Tick
from xtcp_console.guard import Guard
from xtcp_console.sessions import Sessions
from xtcp_console.site import Root, Site
from xtcp_console.stream import IN_ALL, PER_SESSION, STALLED_S, EventStream

ROOT = Path(__file__).parents[2]
BOOT = "b007"


class Reactor(Clock):
    """Time, and calls from threads that happen at once."""

    def callFromThread(self, f: Callable[..., Any], *arguments: Any) -> None:
        f(*arguments)


class Wire(StringTransport):
    """A connection whose buffer a test fills."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


class World:
    """A stream with sessions and viewers."""

    def __init__(self, tick: Tick) -> None:
        self.reactor = Reactor()
        self.figures = Published(tick)
        self.sessions = Sessions(self.reactor.seconds)
        self.stream = EventStream(
            self.figures,
            lambda cookies: (cookies or "").removeprefix("sid=") or None,
            self.sessions,
            Guard(8088),
            BOOT,
            self.reactor,
        )
        self.site = Site(self.reactor)
        self.site.resource = Root({b"/stream": self.stream}, resource.Resource())  # type: ignore[arg-type]

    def sign_in(self) -> str:
        return self.sessions.open("token", "127.0.0.1").sid

    def view(self, sid: str, path: str = "/stream", method: str = "GET", **headers: str) -> Wire:
        """Ask for the stream."""
        channel: Any = self.site.buildProtocol(None)  # type: ignore[arg-type]
        wire = Wire()
        wire.protocol = channel  # type: ignore[attr-defined]
        channel.makeConnection(wire)
        named = {"Host": "127.0.0.1:8088", "Cookie": f"sid={sid}"}
        named |= {name.replace("_", "-").title(): value for name, value in headers.items()}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items()), "", ""]
        channel.dataReceived("\r\n".join(lines).encode("latin-1"))
        return wire


@pytest.fixture
def world() -> World:
    return World(views.tick())


def taken(wire: Wire) -> bytes:
    """What was written since the last time."""
    written = wire.value()
    wire.clear()
    return written


def status(wire: Wire) -> int:
    return int(wire.value().split()[1])


def kinds(written: bytes) -> list[str]:
    return re.findall(r"^event: (\w+)$", written.decode(), re.MULTILINE)


def serials(written: bytes) -> list[int]:
    return [
        json.loads(data)["serial"] for data in re.findall(rb'^data: (\{"t":.*"serial".*\})$', written, re.M)
    ]


# -- frames --------------------------------------------------------------------------------------


def test_the_current_figures_come_at_once_and_then_every_tick(world: World) -> None:
    world.figures.publish()
    wire = world.view(world.sign_in())
    written = taken(wire)
    assert written.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"text/event-stream" in written
    assert b"retry: 2000\n\n" in written
    assert serials(written) == [1]
    world.figures.publish()
    assert serials(taken(wire)) == [2]


def test_before_the_first_tick_there_is_nothing_to_send(world: World) -> None:
    wire = world.view(world.sign_in())
    assert kinds(taken(wire)) == []
    world.figures.publish()
    assert serials(taken(wire)) == [1]


def test_events_are_numbered_and_ticks_are_not(world: World) -> None:
    world.figures.publish()
    wire = world.view(world.sign_in())
    taken(wire)
    world.figures.publish("one", "two")
    written = taken(wire).decode()
    assert kinds(written.encode()) == ["tick", "event", "event"]
    assert re.findall(r"^id: (.+)$", written, re.MULTILINE) == [f"{BOOT}-1", f"{BOOT}-2"]
    assert re.search(r"^event: tick$", written, re.MULTILINE)
    assert not re.search(r"id: .*\nevent: tick", written)
    world.figures.publish("three")
    assert re.findall(r"^id: (.+)$", taken(wire).decode(), re.MULTILINE) == [f"{BOOT}-3"]


@pytest.mark.parametrize(
    "headers, path, expected",
    [
        ({"last_event_id": f"{BOOT}-1"}, "/stream", ["two", "three"]),
        ({"last_event_id": f"{BOOT}-1"}, "/stream?after=3", ["two", "three"]),
        ({}, "/stream?after=2", ["three"]),
        ({}, "/stream?after=0", ["one", "two", "three"]),
        ({}, "/stream?after=9", []),
        ({}, "/stream", []),
        ({"last_event_id": "0ld-57"}, "/stream", ["one", "two", "three"]),
        ({"last_event_id": f"{BOOT}-x"}, "/stream", []),
        ({"last_event_id": "\xff\xfe"}, "/stream", ["one", "two", "three"]),
        ({}, "/stream?after=%00%ff", []),
        ({}, "/stream?after=" + "9" * 5_000, []),
    ],
)
def test_missed_events_are_sent_again(
    world: World, headers: dict[str, str], path: str, expected: list[str]
) -> None:
    world.figures.publish("one", "two", "three")
    written = taken(world.view(world.sign_in(), path, **headers))
    assert re.findall(r'"text":"(\w+)"', written.decode("latin-1")) == expected


# -- slow viewers --------------------------------------------------------------------------------


def test_a_paused_viewer_gets_the_newest_tick_and_every_event(world: World) -> None:
    world.figures.publish()
    wire = world.view(world.sign_in())
    taken(wire)
    wire.producer.pauseProducing()
    for number in range(500):
        world.figures.publish(f"e{number}")
    assert taken(wire) == b""
    wire.producer.resumeProducing()
    written = taken(wire)
    assert serials(written) == [501]
    assert kinds(written).count("event") == 500
    world.figures.publish()
    assert serials(taken(wire)) == [502]


def test_one_that_never_reads_is_cut_off(world: World) -> None:
    world.figures.publish()
    slow, good = world.view(world.sign_in()), world.view(world.sign_in())
    taken(slow)
    slow.producer.pauseProducing()
    for _ in range(int(STALLED_S)):
        assert not slow.aborted
        world.reactor.advance(1)
        world.figures.publish()
    assert (slow.aborted, good.aborted) == (True, False)
    assert taken(slow) == b""


def test_reading_now_and_then_is_enough(world: World) -> None:
    world.figures.publish()
    wire = world.view(world.sign_in())
    for _ in range(5):
        wire.producer.pauseProducing()
        world.reactor.advance(STALLED_S - 1)
        world.figures.publish()
        wire.producer.resumeProducing()
    assert not wire.aborted


#: Publishes 200 MB; says its port, and how much it has grown in the end.
BUSY = """
import dataclasses, sys
sys.path.insert(0, "tests")
from support import views
from support.published import Published
from twisted.internet import reactor, task
from twisted.web.resource import Resource
from xtcp_console.guard import Guard
from xtcp_console.sessions import Sessions
from xtcp_console.site import Root, Site
from xtcp_console.stream import EventStream
from xtcp_twisted.reactor import process

published, sessions, site = Published(views.tick()), Sessions(), Site(reactor)
sid = sessions.open("token", "").sid
port = reactor.listenTCP(0, site, interface="127.0.0.1").getHost().port
stream = EventStream(published, lambda cookies: sid, sessions, Guard(port), "b", reactor)
site.resource = Root({b"/stream": stream}, Resource())

def publish():
    published.tick = dataclasses.replace(published.tick, counters={"x" * 1_000_000: 1})
    published.publish()
    if not stream._viewers:
        return
    global left, before
    before = before or process.rss_bytes()
    left -= 1
    if not left:
        print(process.rss_bytes() - before, flush=True)
        reactor.stop()

left, before = 200, 0
task.LoopingCall(publish).start(0.01)
print(port, flush=True)
reactor.run()
"""


def test_one_that_never_reads_costs_no_memory() -> None:
    command = [sys.executable, "-c", BUSY]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(f"GET /stream HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            assert int(process.stdout.readline()) < 20_000_000
        assert process.wait(60) == 0


# -- who may watch -------------------------------------------------------------------------------


def test_without_a_session_there_is_nothing(world: World) -> None:
    world.figures.publish("secret")
    wire = world.view("nobody")
    assert status(wire) == 401
    assert wire.value().partition(b"\r\n\r\n")[2] == b""


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:8088", "169.254.169.254", "127.0.0.1:8089", "\xff"]
)
def test_a_foreign_host_is_refused(world: World, host: str) -> None:
    assert status(world.view(world.sign_in(), host=host)) == 421


@pytest.mark.parametrize("site", ["same-site", "cross-site"])
def test_a_foreign_page_is_refused(world: World, site: str) -> None:
    assert status(world.view(world.sign_in(), sec_fetch_site=site)) == 403


def test_bytes_that_are_no_text_are_no_cookie(world: World) -> None:
    assert status(world.view("", cookie="sid=\xff\xfe")) == 401


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_it_can_only_be_read(world: World, method: str) -> None:
    assert status(world.view(world.sign_in(), method=method)) == 405


def test_head_says_what_it_is_and_ends(world: World) -> None:
    wire = world.view(world.sign_in(), method="HEAD")
    head, _, body = wire.value().partition(b"\r\n\r\n")
    assert b"text/event-stream" in head
    assert body == b""
    assert status(world.view("nobody", method="HEAD")) == 401


def test_four_streams_a_session(world: World) -> None:
    sid = world.sign_in()
    wires = [world.view(sid) for _ in range(PER_SESSION)]
    assert {status(wire) for wire in wires} == {200}
    fifth = world.view(sid)
    assert status(fifth) == 503
    assert b"\r\nRetry-After: 5\r\n" in fifth.value()
    assert status(world.view(world.sign_in())) == 200
    wires[0].protocol.connectionLost(Failure(ConnectionDone()))  # type: ignore[attr-defined]
    assert status(world.view(sid)) == 200


def test_thirty_two_streams_in_all(world: World) -> None:
    for _ in range(IN_ALL // PER_SESSION):
        sid = world.sign_in()
        for _ in range(PER_SESSION):
            assert status(world.view(sid)) == 200
    assert status(world.view(world.sign_in())) == 503


# -- the end -------------------------------------------------------------------------------------


def test_signing_out_ends_the_sessions_streams_at_once(world: World) -> None:
    mine, other = world.sign_in(), world.sign_in()
    first, second, third = world.view(mine), world.view(mine), world.view(other)
    for wire in (first, second, third):
        taken(wire)
    world.sessions.end(mine)
    for wire in (first, second):
        assert b'event: bye\ndata: {"reason": "signed out"}\n\n' in taken(wire)
    assert taken(third) == b""
    world.figures.publish()
    assert (taken(first), kinds(taken(third))) == (b"", ["tick"])


def test_watching_is_no_use_of_a_session(world: World) -> None:
    """An open page alone must not keep anybody signed in."""
    world.figures.publish()
    wire = world.view(world.sign_in())
    for _ in range(29):
        world.reactor.advance(60)
        world.figures.publish()
    assert "bye" not in kinds(taken(wire))
    world.reactor.advance(60)
    world.figures.publish()
    assert kinds(taken(wire)) == ["bye"]


def test_closing_says_goodbye_and_takes_nobody_any_more(world: World) -> None:
    sid = world.sign_in()
    wire = world.view(sid)
    taken(wire)
    world.stream.close()
    assert b'event: bye\ndata: {"reason": "stopping"}\n\n' in taken(wire)
    assert status(world.view(sid)) == 503
