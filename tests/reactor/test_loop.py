"""A client endpoint that connects to a port of its own stack: both ends are protocols of one process."""

from __future__ import annotations

import subprocess
import sys

import pytest
from twisted.internet import error
from twisted.protocols.wire import Echo

from tests.reactor.test_client import outcome
from tests.reactor.world import Recorder, World, factoryOf
from xtcp_twisted.reactor.endpoints import XTCPClientEndpoint

pytestmark = pytest.mark.feature("P09")


@pytest.mark.parametrize("host, interface", [("192.0.2.1", ""), ("2001:db8::1", "::")])
def test_an_endpoint_and_a_port_of_one_stack(world: World, host: str, interface: str) -> None:
    world.listen(factoryOf(Echo()), 7, interface=interface)
    near = Recorder()
    made = XTCPClientEndpoint(world.stack, host, 7).connect(factoryOf(near))
    world.turns(6)
    assert outcome(made) is near
    assert near.transport is not None
    near.transport.write(b"who is there?")
    world.turns(6)
    assert near.data == b"who is there?"
    near.transport.loseConnection()
    world.turns(10)
    assert [reason.type for reason in near.reasons] == [error.ConnectionDone]
    world.expect_nothing()


def test_where_nobody_listens(world: World) -> None:
    made = XTCPClientEndpoint(world.stack, "192.0.2.1", 9).connect(factoryOf(Recorder()))
    world.turns(4)
    assert outcome(made).check(error.ConnectionRefusedError)


def test_the_port_stops_and_the_stack_ends(world: World) -> None:
    """Protocols on both ends hear of it once."""
    near, far = Recorder(), Recorder()
    port = world.listen(factoryOf(far), 7)
    XTCPClientEndpoint(world.stack, "192.0.2.1", 7).connect(factoryOf(near))
    world.turns(6)
    port.stopListening()
    world.turns(2)
    assert near.transport is not None
    near.transport.abortConnection()  # type: ignore[attr-defined]
    world.turns(6)
    assert [reason.type for reason in near.reasons] == [error.ConnectionAborted]
    assert [reason.type for reason in far.reasons] == [error.ConnectionLost]


RUN = """
from twisted.internet import reactor, task
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.wire import Echo
from xtcp_twisted.config import EngineConfig, MiB
from xtcp_twisted.link.memory import MemoryLink
from xtcp_twisted.reactor.endpoints import XTCPClientEndpoint
from xtcp_twisted.reactor.port import Binding
from xtcp_twisted.reactor.stack import XTCPStack

config = EngineConfig(addresses=("192.0.2.1",), max_connections=64, arena_limit=256 * MiB)
stack = XTCPStack(reactor, MemoryLink(), config)
stack.createPool("im", 4 * MiB)
stack.start()
stack.listen(Factory.forProtocol(Echo), Binding(port=7))

class Talker(Protocol):
    rounds = ticks = 0
    def connectionMade(self):
        task.LoopingCall(self.tick).start(0.001)
        self.transport.write(b"x")
    def tick(self):
        self.ticks += 1
    def dataReceived(self, data):
        self.rounds += 1
        if self.rounds < 2_000:
            self.transport.write(b"x")
        else:
            print(self.rounds, self.ticks)
            reactor.stop()

XTCPClientEndpoint(stack, "192.0.2.1", 7).connect(Factory.forProtocol(Talker))
reactor.callLater(30, reactor.stop)
reactor.run()
"""


def test_a_long_talk_starves_no_reactor() -> None:
    """Twisted's own reactor: 2,000 round trips, and its other calls come in between."""
    done = subprocess.run(
        [sys.executable, "-c", RUN], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    rounds, ticks = map(int, done.stdout.split())
    assert rounds == 2_000 and ticks > 20
