"""A reactor that a test turns by hand, with scripted TCP peers behind the engine.

`HandReactor` (`xtcp_twisted.testing`) does in one `turn` what every reactor of Twisted
does in one pass.  `World` puts a stack into it, on
a MemoryLink and with a clock that only the test moves.

    world = World()
    port = world.listen(factory)
    client = world.client(port).opened()
    client.send(b"hello")
    world.turn()
    client.expect("A", data=b"hello")
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from support.net import Net
from support.peer import ANY, Client
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure

from xtcp_twisted.config import EngineConfig, GroupOptions, MiB
from xtcp_twisted.link.base import Link
from xtcp_twisted.link.memory import MemoryLink
from xtcp_twisted.reactor.port import Binding, ListeningGroup
from xtcp_twisted.reactor.stack import XTCPStack
from xtcp_twisted.testing import HandReactor

__all__ = ["ANY", "HandReactor", "Peer", "Recorder", "World", "factoryOf"]


class Peer(Client):
    """A scripted peer whose handshake the port answers by itself."""

    def opened(self, **options: Any) -> Self:
        """Established, as far as the engine is concerned and the reactor has been told."""
        self.syn(**options)
        self.net.turn()
        self.expect("SA", seq=0, ack=1)
        self.ack()
        self.net.turn()
        return self


class World(Net):
    """A stack in a hand-turned reactor."""

    def __init__(self, *, link: Link | None = None, **config: Any) -> None:
        super().__init__()
        self.engine.close()
        self.reactor = HandReactor()
        self.link = link if link is not None else MemoryLink(self.mtu)  # type: ignore[assignment]
        settings: dict[str, Any] = {
            "addresses": ("192.0.2.1", "2001:db8::1"),
            "max_connections": 1_024,
            "max_half_open": 1_024,
            "max_time_wait": 1_024,
            "transmit_buffer": 4 * MiB,
            "arena_limit": 256 * MiB,
        }
        self.stack = XTCPStack(
            self.reactor, self.link, EngineConfig(**settings | config), clock=lambda: self.now
        )
        self.engine = self.stack.engine
        self.stack.createPool("im", 4 * MiB)
        self.stack.start()

    def listen(self, factory: Any, port: int = 7, *, interface: str = "", **options: Any) -> ListeningGroup:
        binding = Binding(port=port, interface=interface, options=GroupOptions(**options))
        return self.stack.listen(factory, binding)

    def client(self, port: ListeningGroup, **behaviour: Any) -> Peer:  # type: ignore[override]
        sport, self._next_sport = self._next_sport, self._next_sport + 1
        behaviour.setdefault("ip", "198.51.100.7")
        behaviour.setdefault("server", "192.0.2.1")
        return Peer(self, group=None, port=port.getHost().port, sport=sport, **behaviour)

    def turn(self) -> None:
        """One pass of the reactor, and the engine's packets to their peers."""
        self.reactor.turn()
        if not self.stack.stopped:
            self.collect()

    def turns(self, n: int) -> None:
        for _ in range(n):
            self.turn()

    def advance(self, seconds: float) -> None:
        """Let time pass; the reactor turns whenever the engine asks for it."""
        end = self.now + seconds
        while (due := self.engine.poll_at()) is not None and due <= end:
            self.now = max(self.now + 1e-3, due)
            self.turn()
        self.now = end
        self.turn()


class Recorder(Protocol):
    """Writes down what happens to it; tests set the hooks."""

    made: Callable[[Recorder], object] = staticmethod(lambda _: None)
    got: Callable[[Recorder, bytes], object] = staticmethod(lambda *_: None)
    lost: Callable[[Recorder], object] = staticmethod(lambda _: None)

    transport: Any

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.reasons: list[Failure] = []

    @property
    def data(self) -> bytes:
        return b"".join(self.chunks)

    def connectionMade(self) -> None:
        self.made(self)

    def dataReceived(self, data: bytes) -> None:
        self.chunks.append(data)
        self.got(self, data)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.reasons.append(reason)
        self.lost(self)


def factoryOf(*protocols: Protocol | None) -> Factory:
    """A factory that builds these, in this order."""
    left = list(protocols)
    factory = Factory()
    factory.noisy = False
    factory.buildProtocol = lambda addr: left.pop(0)  # type: ignore[method-assign]
    return factory


def connect(world: World, protocol: Protocol, **options: Any) -> Peer:
    """A peer whose connection `protocol` serves."""
    return world.client(world.listen(factoryOf(protocol), **options)).opened()
