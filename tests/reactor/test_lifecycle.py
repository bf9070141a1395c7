"""An `XTCPService` among others: start, stop, start again, two of them in one reactor."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest
from support.descriptors import open_descriptors
from twisted.application.service import MultiService
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory
from twisted.protocols.wire import Echo
from twisted.python.failure import Failure
from twisted.python.log import textFromEventDict

from tests.reactor.conftest import Logged
from tests.reactor.test_client import Witness, outcome
from tests.reactor.world import HandReactor, Recorder
from xtcp_twisted.errors import LocalError
from xtcp_twisted.reactor.loading import structure
from xtcp_twisted.reactor.service import XTCPService
from xtcp_twisted.reactor.settings import ServiceSettings, Settings
from xtcp_twisted.reactor.stack import running, stackFor

SETTINGS = structure(
    {
        "link": {"kind": "memory"},
        "engine": {
            "addresses": ["192.0.2.1"],
            "max_connections": 1024,
            "transmit_buffer": "4 MiB",
            "arena_limit": "256 MiB",
        },
        "pool": [{"name": "im", "receive_buffer": "4 MiB"}],
        "group": [{"name": "echo", "port": 7, "protocol": "twisted.protocols.wire.Echo"}],
    }
)


@pytest.fixture
def reactor(logged: Logged) -> Iterator[HandReactor]:
    made = HandReactor()
    yield made
    made.fireShutdown()


def turn(reactor: HandReactor) -> None:
    """A pass, when the engine has something to do or has waited long enough for its clock to move."""
    select.select(reactor.readers, [], [], 0.01)
    reactor.turn()
    reactor.advance(0.02)


def until(reactor: HandReactor, true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        turn(reactor)


def made(reactor: HandReactor, settings: Settings = SETTINGS, name: str = "default") -> XTCPService:
    return XTCPService(settings, reactor=reactor, stackName=name)


def begun(reactor: HandReactor, *services: Any) -> MultiService:
    """Started as twistd does."""
    top: Any = MultiService()
    for service in services:
        service.setServiceParent(top)
    top.privilegedStartService()
    top.startService()
    return top  # type: ignore[no-any-return]


def ended(reactor: HandReactor, service: Any) -> None:
    stopping: list[object] = []
    service.stopService().addBoth(stopping.append)
    until(reactor, lambda: stopping)
    assert not isinstance(stopping[0], Failure)


def talk(reactor: HandReactor, stack: str = "default", port: int = 7) -> Recorder:
    """A client whose first words were echoed."""
    client = Recorder()
    text = f"xtcp:192.0.2.1:{port}:stack={stack}"
    clientFromString(reactor, text).connect(Witness(client)).addErrback(client.reasons.append)
    until(reactor, lambda: client.connected or client.reasons)
    assert client.reasons == []
    client.transport.write(b"hello")
    until(reactor, lambda: client.data == b"hello")
    return client


def test_it_may_start_again_after_it_has_stopped(reactor: HandReactor) -> None:
    service = made(reactor)
    top = begun(reactor, service)
    stopped, started = [], []
    for _ in range(3):
        client = talk(reactor)
        stack = service.stack
        ended(reactor, top)
        assert stack is not None and stack.stopped and service.stack is None and running(reactor) is None
        assert len(client.reasons) == 1
        stopped.append(open_descriptors())
        top.startService()
        started.append(open_descriptors())
    ended(reactor, top)
    assert stopped == [stopped[0]] * 3 and started == [started[0]] * 3
    assert stopped[0] < started[0]


def test_what_has_only_its_rights_is_stopped_too(reactor: HandReactor) -> None:
    service = made(reactor)
    before = open_descriptors()
    service.privilegedStartService()
    ended(reactor, service)
    assert running(reactor) is None
    assert open_descriptors() == before


def test_what_was_never_started_stops_at_once(reactor: HandReactor) -> None:
    assert outcome(made(reactor).stopService()) is None


def test_it_cannot_start_while_it_stops(reactor: HandReactor) -> None:
    service = made(reactor)
    begun(reactor, service)
    talk(reactor)
    stopping: list[object] = []
    service.stopService().addBoth(stopping.append)
    with pytest.raises(LocalError, match="still stopping; start it when the Deferred"):
        service.startService()
    until(reactor, lambda: stopping)
    service.startService()
    ended(reactor, service)


def waits(reactor: HandReactor, settings: Settings) -> tuple[XTCPService, Recorder, Recorder]:
    """A service with a request in flight, and both its ends."""
    service = made(reactor, settings)
    begun(reactor, service)
    factory, server, client = Factory(), Recorder(), Recorder()
    factory.buildProtocol = lambda addr: server  # type: ignore[method-assign]
    outcome(serverFromString(reactor, "xtcp:8").listen(factory))
    clientFromString(reactor, "xtcp:192.0.2.1:8").connect(Witness(client))
    until(reactor, lambda: client.connected)
    client.transport.write(b"request")
    until(reactor, lambda: server.data == b"request")
    return service, server, client


def test_it_stops_when_what_is_in_flight_is_finished(reactor: HandReactor) -> None:
    service, server, client = waits(reactor, SETTINGS)
    done: list[object] = []
    service.stopService().addCallback(done.append)
    for _ in range(20):
        turn(reactor)
    assert done == [] and client.reasons == []
    assert service.engine is not None, "whoever looks at it still sees it"
    server.transport.write(b"answer")
    until(reactor, lambda: done)
    assert done == [None] and client.data == b"answer"
    assert service.engine is None


def test_a_second_stop_waits_for_nothing(reactor: HandReactor) -> None:
    service, server, client = waits(reactor, SETTINGS)
    stopping: list[object] = []
    for _ in range(2):
        service.stopService().addBoth(stopping.append)
    until(reactor, lambda: len(stopping) == 2)
    assert stopping == [None, None]
    assert len(server.reasons) == len(client.reasons) == 1


def test_it_waits_no_longer_than_the_limit(reactor: HandReactor) -> None:
    service, server, _ = waits(reactor, attrs.evolve(SETTINGS, service=ServiceSettings(drain_s=1.0)))
    done: list[object] = []
    service.stopService().addCallback(done.append)
    for _ in range(30):  # 0.6 s of the reactor
        turn(reactor)
    assert server.reasons == [] and done == []
    reactor.advance(0.5)
    assert len(server.reasons) == 1
    until(reactor, lambda: done)


def test_without_a_limit_it_does_not_drain(reactor: HandReactor) -> None:
    service, server, _ = waits(reactor, attrs.evolve(SETTINGS, service=ServiceSettings(drain_s=0)))
    done: list[object] = []
    service.stopService().addBoth(done.append)
    assert len(server.reasons) == 1
    until(reactor, lambda: done)


def test_two_engines_live_side_by_side(reactor: HandReactor) -> None:
    """The same address and port twice, and nothing in common; one ends, the other goes on."""
    blue, green = made(reactor, name="blue"), made(reactor, name="green")
    begun(reactor, blue, green)
    in_blue, in_green = talk(reactor, "blue"), talk(reactor, "green")
    assert [stackFor(reactor, name).engine.snapshot().connections for name in ("blue", "green")] == [2, 2]
    ended(reactor, blue)
    assert len(in_blue.reasons) == 1 and in_green.reasons == []
    in_green.transport.write(b" again")
    until(reactor, lambda: in_green.data == b"hello again")
    ended(reactor, green)


def test_a_name_is_taken_once(reactor: HandReactor, logged: Logged) -> None:
    begun(reactor, made(reactor))
    with pytest.raises(LocalError, match="has an XTCP stack called 'default' already"):
        made(reactor).privilegedStartService()
    talk(reactor)


def test_before_a_reactor_runs_what_stands_in_the_way_ends_the_process(
    reactor: HandReactor, logged: Logged
) -> None:
    begun(reactor, made(reactor))
    reactor.running = False
    with pytest.raises(SystemExit):
        made(reactor).privilegedStartService()
    (event,) = logged.events
    logged.events.clear()
    assert "XTCP cannot start: this reactor has an XTCP stack called 'default'" in textFromEventDict(event)


def test_a_start_that_fails_leaves_nothing(reactor: HandReactor) -> None:
    """The second group has no port; what was opened for the first is closed, and it may be tried again."""
    group = SETTINGS.group[0]
    both = attrs.evolve(SETTINGS, group=(group, attrs.evolve(group, name="again")))
    service = made(reactor, both)
    before = open_descriptors()
    with pytest.raises(CannotListenError):
        service.startService()
    assert not service.running and service.stack is None and running(reactor) is None
    assert open_descriptors() == before
    service.settings = SETTINGS
    service.startService()
    talk(reactor)
    ended(reactor, service)


def test_services_of_strings_beside_it_share_its_stack(reactor: HandReactor) -> None:
    from twisted.application import strports

    strings: Any = strports.service("xtcp:9", Factory.forProtocol(Echo), reactor)
    top = begun(reactor, made(reactor), strings)
    talk(reactor, port=9)
    ended(reactor, top)
    assert running(reactor) is None
