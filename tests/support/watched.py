"""An engine, its peers and a model that samples it, on one clock that only the test moves.

watched = Watched(make_net())
group = watched.net.group(7)
watched.seconds(5)
assert watched.tick.group_count == 1
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet import task

from xtcp_console.figures import Event, Tick, View
from xtcp_console.model import Model, Usage
from xtcp_twisted.config import KiB
from xtcp_twisted.engine import Engine, Group, Pool
from xtcp_twisted.engine.snapshot import BufferSnapshot

from .net import Net
from .peer import Client

#: The Unix time at which the net's clock read 0.
EPOCH = 1_800_000_000.0
#: Payload bytes of one chunk of a receive buffer.
CHUNK = 244


class Watched:
    """A model and what it samples; also the model's `Source`.

    :ivar engine: what the source tells.
    :ivar failure: what the source tells.
    """

    def __init__(self, net: Net, *, seen: bool = True) -> None:
        """`seen`: whether the source tells of the net's engine from the start."""
        self.net = net
        self.engine: Engine | None = net.engine if seen else None
        self.failure: str | None = None
        self.reactor = task.Clock()
        self.usage = Usage(rss_bytes=50_000_000, descriptors=20, cpu_s=3.0)
        self.model = Model(
            self,
            self.reactor,
            clock=lambda: self.net.now,
            wall=lambda: EPOCH + self.net.now,
            usage=lambda: self.usage,
        )
        self.model.start()

    def seconds(self, n: int, each: Callable[[], object] = lambda: None) -> None:
        """Let `n` seconds pass; `each` runs early in each of them."""
        for _ in range(n):
            each()
            self.pass_by(1.0)

    def pass_by(self, seconds: float) -> None:
        """Let time pass for the engine, then for the reactor."""
        if self.net.engine.closed:
            self.net.stall(seconds)
        else:
            self.net.advance(seconds)
        self.reactor.advance(seconds)

    def count(self) -> None:
        """Let the census that is under way come to its end: a few turns of the reactor."""
        for _ in range(20):
            self.pass_by(0.0625)

    def restart(self, net: Net) -> None:
        """Another engine, on the same clock."""
        net.now = self.net.now
        self.net, self.engine, self.failure = net, net.engine, None
        net.turn()

    @property
    def view(self) -> View:
        assert self.model.view is not None, "there is no view yet"
        return self.model.view

    @property
    def tick(self) -> Tick:
        return self.view.tick

    def events(self, kind: str = "") -> list[Event]:
        """The events so far, or those of one kind."""
        return [event for event in self.view.events if not kind or event.kind == kind]

    def texts(self, kind: str = "") -> list[str]:
        return [event.text for event in self.events(kind)]


class Filler:
    """Clients that fill a pool of 64 KiB, 256 chunks, and an application that empties it."""

    def __init__(self, net: Net, name: str = "im", port: int = 7) -> None:
        self.net = net
        self.pool: Pool = net.engine.create_pool(64 * KiB, name=name)
        self.group: Group = net.group(port, pool=self.pool, weight=64, ack_policy="immediate")
        self.client: Client = net.client(self.group).established()
        #: A discarding pool takes data only of those who hold none.
        self.newcomers = [net.client(self.group).established() for _ in range(7)]

    @property
    def chunks(self) -> int:
        """In use now."""
        return self._buffer.used // 256

    @property
    def _buffer(self) -> BufferSnapshot:
        [buffer] = [p.receive_buffer for p in self.net.engine.snapshot().pools if p.row == self.pool.row]
        return buffer

    def _held(self, client: Client) -> int:
        """Bytes."""
        return self.group.info(client.cd).held

    def fill(self, chunks: int) -> None:
        """Until so many chunks are in use."""
        while (missing := chunks - self.chunks) > 0:
            sender = self.client
            if self._buffer.pressure.state == "discarding":
                sender = next(client for client in self.newcomers if not self._held(client))
            sender.send(b"r" * CHUNK * min(missing, 5))
            self.net.turn()
            sender.take()
            assert self.chunks > chunks - missing, f"the pool takes no more than {self.chunks} chunks"

    def drain(self, chunks: int) -> None:
        """The application acknowledges, the newcomers' first, all but so many chunks."""
        clients = [*self.newcomers, self.client]
        with self.net.in_turn():
            while self.group.recv(65_536):
                pass
            for client in clients:
                self.group.send(client.cd, b"", ackd=min(self._held(client), (self.chunks - chunks) * CHUNK))
        for client in clients:
            client.take()
