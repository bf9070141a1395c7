"""Two worlds in which an application server uses the calls of Fig. 4, for tests that hold in both.

`Scripted` has peers on a MemoryLink and virtual time, and scapy judges each packet.
`Machine` is the real thing: a TUN device in a lab, sockets of its kernel, the
machine's clock.  In both, `xtcp_select` alone drives the engine.
"""

from __future__ import annotations

import array
import fcntl
import select
import socket
import termios
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from xtcp_twisted.api import PF_INET, SOCK_STREAM, ApplicationServer, xtcp_cd, xtcp_set
from xtcp_twisted.config import EngineConfig, GroupOptions, MiB
from xtcp_twisted.engine import Engine
from xtcp_twisted.lab import Lab
from xtcp_twisted.link import ImpairedLink

from .calls import Calls
from .descriptors import open_descriptors
from .net import Net
from .peer import Client

#: The longest wait for what has to come, seconds.
PATIENCE_S: Final = 60.0
#: One look at what has happened.
LOOK_S: Final = 0.01
HOST: Final = "10.77.0.2"


class End(ABC):
    """A client: an application on another machine, and its TCP."""

    address: tuple[str, int]

    @property
    @abstractmethod
    def connected(self) -> bool:
        """Whether its handshake is complete."""

    @property
    @abstractmethod
    def unacknowledged(self) -> int:
        """Bytes that it has sent and that nobody has acknowledged."""

    @property
    @abstractmethod
    def readable(self) -> bool: ...

    @abstractmethod
    def send(self, data: bytes) -> None: ...

    @abstractmethod
    def read(self) -> bytes:
        """What has come; its TCP acknowledges that."""


class World(ABC):
    """An engine with one application server, and clients.

    :ivar server: the application server.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.server = self.another_server()
        # The engine's own, which no group is counted for.
        engine.fileno()

    # --- the application server's side ---------------------------------------------

    @abstractmethod
    def another_server(self) -> ApplicationServer:
        """One more on the same engine."""

    def open(self, port: int, server: ApplicationServer | None = None, **options: Any) -> int:
        """A group; its descriptor."""
        server = server or self.server
        gd = server.xtcp_open_group(PF_INET, SOCK_STREAM, 0, port, options=GroupOptions(**options))
        assert gd > 0, server.error
        return gd

    def ready(
        self,
        read: list[int] | None = None,
        accept: list[int] | None = None,
        server: ApplicationServer | None = None,
    ) -> tuple[list[int], list[int]]:
        """Block in `xtcp_select` until a group is ready, or nothing has happened for long."""
        server = server or self.server
        readgds, acceptgds = xtcp_set(read or ()), xtcp_set(accept or ())
        count = server.xtcp_select(len(readgds) + len(acceptgds), readgds, acceptgds, PATIENCE_S)
        assert count == len(readgds) + len(acceptgds), server.error
        return list(readgds), list(acceptgds)

    def receive(self, gd: int, server: ApplicationServer | None = None) -> tuple[int, bytes]:
        """Wait for the group, then `xtcp_recv`."""
        server = server or self.server
        assert self.ready([gd], server=server) == ([gd], [])
        cd, buf = xtcp_cd(), bytearray(65_536)
        count = server.xtcp_recv(gd, cd, buf)
        assert count >= 0, server.error
        return cd.value, bytes(buf[:count])

    def asks(self, gd: int, server: ApplicationServer | None = None) -> End:
        """A client that has begun to connect; the application server is notified of its request."""
        server = server or self.server
        end = self._client(server.group(gd))
        assert self.ready(accept=[gd], server=server) == ([], [gd])
        return end

    def connect(self, gd: int, server: ApplicationServer | None = None) -> tuple[End, int]:
        """A client that was accepted, and the connection's id."""
        server = server or self.server
        end = self.asks(gd, server)
        cd = server.xtcp_accept(gd)
        assert cd > 0, server.error
        self.until(lambda: end.connected)
        return end, cd

    # --- time ------------------------------------------------------------------------

    def look(self) -> None:
        """Let the engine do what is due, for a moment."""
        self.server.xtcp_select(0, None, None, LOOK_S)

    def until(self, true: Callable[[], object]) -> None:
        """Let time pass until it is so."""
        end = self.now + PATIENCE_S
        while not true():
            assert self.now < end, dict(self.engine.counters())
            self.look()

    def pass_by(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.look()

    # --- what there is to see ----------------------------------------------------------

    def counter(self, name: str) -> int:
        return int(dict(self.engine.counters())[name])

    @property
    def cached(self) -> int:
        """Bytes of the transmit buffer in use."""
        return int(self.engine.snapshot().transmit_buffer.used)

    @property
    def buffers(self) -> list[int]:
        """Bytes in use of each pool's receive buffer, in the order of their making."""
        return [pool.receive_buffer.used for pool in self.engine.snapshot().pools]

    def held(self, gd: int) -> int:
        """Bytes that one group has of its pool's buffer."""
        name = self.server.group(gd).name
        [held] = [
            group.held for pool in self.engine.snapshot().pools for group in pool.groups if group.name == name
        ]
        return int(held)

    # --- what differs --------------------------------------------------------------------

    @property
    @abstractmethod
    def now(self) -> float: ...

    @abstractmethod
    def descriptors(self) -> int:
        """Open descriptors of the server's side."""

    @abstractmethod
    def _client(self, group: Any) -> End:
        """One that has begun to connect."""

    @abstractmethod
    def silence(self) -> Any:
        """What clients send in this context does not arrive."""

    @abstractmethod
    def answer_is_lost(self) -> Any:
        """What is sent to clients in this context is lost, but for what a request that comes again brings.

        In this context, time passes until such a request has come.
        """

    @abstractmethod
    def resend(self, end: End) -> None:
        """The client's TCP sends its request again, and the engine has taken that in."""


class Peer(End):
    """A scripted client."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.address = client.key
        self._read = 0
        self._connected = False

    @property
    def connected(self) -> bool:
        if not self._connected and self.client.inbox:
            self.client.expect("SA", seq=0, ack=1)
            self.client.ack()
            self._connected = True
            return False
        return self._connected

    @property
    def unacknowledged(self) -> int:
        return self.client.seq - self.client.judge.last_ack

    @property
    def readable(self) -> bool:
        return self.client.rcv_nxt > 1 + self._read

    def send(self, data: bytes) -> None:
        self.client.send(data)

    def read(self) -> bytes:
        data = self.client.received[self._read : self.client.rcv_nxt - 1]
        self._read += len(data)
        self.client.take()
        self.client.ack()
        return data


class Scripted(World):
    """Peers that do what they are told, virtual time."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self._peers: list[Peer] = []
        super().__init__(net.engine)

    def another_server(self) -> ApplicationServer:
        return Calls(self.net, pool=0)

    def look(self) -> None:
        super().look()
        self.net.collect()

    @property
    def now(self) -> float:
        return self.net.now

    def descriptors(self) -> int:
        return open_descriptors()

    def _client(self, group: Any) -> End:
        client = self.net.client(group)
        client.syn()
        self._peers.append(Peer(client))
        return self._peers[-1]

    @contextmanager
    def silence(self) -> Iterator[None]:
        """They say nothing unless a test has them."""
        yield

    @contextmanager
    def answer_is_lost(self) -> Iterator[None]:
        [peer] = self._peers
        with peer.client.losing():
            yield
            self.look()
        self.pass_by(0.1)
        self.resend(peer)

    def resend(self, end: End) -> None:
        assert isinstance(end, Peer)
        self.pass_by(0.05)
        end.client.send(REQUEST, seq=end.client.seq - len(REQUEST))
        self.look()


#: What a client asks in most tests; the one that `resend` sends again.
REQUEST: Final = b"what is the capital of Finland?"


class Socket(End):
    """A socket of the kernel."""

    def __init__(self, made: socket.socket, port: int) -> None:
        self.sock = made
        made.setblocking(False)
        made.connect_ex((HOST, port))
        self.address = made.getsockname()[:2]

    @property
    def connected(self) -> bool:
        return bool(select.select([], [self.sock], [], 0)[1])

    @property
    def unacknowledged(self) -> int:
        number = array.array("i", [0])
        fcntl.ioctl(self.sock, termios.TIOCOUTQ, number)
        return number[0]

    @property
    def readable(self) -> bool:
        return bool(select.select([self.sock], [], [], 0)[0])

    def send(self, data: bytes) -> None:
        assert self.sock.send(data) == len(data)

    def read(self) -> bytes:
        return self.sock.recv(65_536)


class Machine(World):
    """The machine that the tests run on, with the instructions that enable it to be what is claimed."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.link = ImpairedLink(lab.link())
        self._replays: int | None = None
        self._sockets: list[Socket] = []
        config = EngineConfig(
            addresses=(HOST,), max_connections=64, transmit_buffer=1 * MiB, arena_limit=256 * MiB
        )
        super().__init__(Engine(self.link, config))

    def close(self) -> None:
        self.engine.close()
        for made in self._sockets:
            made.sock.close()

    def another_server(self) -> ApplicationServer:
        return ApplicationServer(self.engine, clock=self._clock)

    def _clock(self) -> float:
        """Asked between poll and flush, too, when nothing is queued but what has come again has brought."""
        if self._replays is not None and self.counter("AnswersReplayed") > self._replays:
            self._replays = None
            self.link.outbound.change(loss=0.0)
        return time.monotonic()

    @property
    def now(self) -> float:
        return time.monotonic()

    def descriptors(self) -> int:
        return open_descriptors() - len(self._sockets)

    def _client(self, group: Any) -> End:
        made = self.lab.call(socket.socket)
        self._sockets.append(Socket(made, group.port))
        return self._sockets[-1]

    @contextmanager
    def silence(self) -> Iterator[None]:
        self.link.inbound.change(loss=1.0)
        yield
        self.link.inbound.change(loss=0.0)

    @contextmanager
    def answer_is_lost(self) -> Iterator[None]:
        self._replays = self.counter("AnswersReplayed")
        self.link.outbound.change(loss=1.0)
        yield
        self.until(lambda: self._replays is None)

    def resend(self, end: End) -> None:
        before = self.counter("InSegs")
        self.until(lambda: self.counter("InSegs") > before)
