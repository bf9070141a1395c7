"""Kernel clients and an application that decides about each of them before their handshake ends (P08)."""

from __future__ import annotations

import errno
import select
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from xtcp_twisted.config import ALL, EngineConfig, MiB
from xtcp_twisted.engine import Engine
from xtcp_twisted.engine.kinds import EventKind
from xtcp_twisted.lab import Lab

pytestmark = pytest.mark.feature("P08", "P33")

PORT = 7
HOSTS = {socket.AF_INET: "10.77.0.2", socket.AF_INET6: "fd77::2"}
families = pytest.mark.parametrize("family", HOSTS, ids=lambda family: socket.AddressFamily(family).name)


class Server:
    """An engine with one group; it serves while a test waits for something."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        config = EngineConfig(addresses=tuple(HOSTS.values()), max_connections=64, arena_limit=256 * MiB)
        self.engine = Engine(lab.link(), config)
        self.pool = self.engine.create_pool(1 * MiB)
        self.group = self.pool.open_group(PORT, domain=socket.AF_UNSPEC)
        self.kinds: list[EventKind] = []

    def until(self, true: Callable[[], object], seconds: float = 60) -> None:
        """Serve until it is so."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, self.engine.counters()
            select.select([self.engine.fileno()], [], [], 0.01)
            self.engine.poll(time.monotonic())
            self.kinds += [event[0] for event in self.engine.events()]
            self.engine.flush(time.monotonic())

    def client(self, family: int) -> socket.socket:
        """A socket that has begun to connect."""
        made = self.lab.call(socket.socket, family)
        made.setblocking(False)
        assert made.connect_ex((HOSTS[family], PORT)) == errno.EINPROGRESS
        return made

    def asking(self, family: int) -> socket.socket:
        """A client whose request the application sees."""
        made = self.client(family)
        self.until(self.group.pending)
        return made


def decided(client: socket.socket) -> Callable[[], object]:
    """Whether the client's connect has come to an end."""
    return lambda: select.select([], [client], [], 0)[1]


@pytest.fixture
def server(lab: Lab) -> Iterator[Server]:
    made = Server(lab)
    yield made
    made.engine.close()


@families
def test_a_client_is_connected_when_it_is_accepted_and_not_before(server: Server, family: int) -> None:
    with server.asking(family) as client:
        [(pending_id, peer)] = server.group.pending()
        assert peer == client.getsockname()[:2]
        assert not decided(client)()
        sent = dict(server.engine.counters())["OutSegs"]
        cd = server.group.accept(pending_id)
        server.until(lambda: EventKind.ESTABLISHED in server.kinds)
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        assert (sent, server.group.peer(cd)) == (0, client.getsockname()[:2])
        client.sendall(b"who am I?")
        server.until(lambda: server.group.readable)
        assert server.group.recv(100) == (cd, b"who am I?")
        server.group.send(cd, b"accepted", ALL)
        server.until(lambda: select.select([client], [], [], 0)[0])
        assert client.recv(100) == b"accepted"


@families
def test_a_client_joins_the_group_that_the_application_names(server: Server, family: int) -> None:
    """Known by its address, before anything was answered."""
    guests = server.pool.open_group(PORT + 1, domain=socket.AF_UNSPEC)
    with server.asking(family) as client:
        [(pending_id, peer)] = server.group.pending()
        assert peer == client.getsockname()[:2]
        cd = server.group.accept(pending_id, into=guests)
        server.until(lambda: EventKind.ESTABLISHED in server.kinds)
        client.sendall(b"hello")
        server.until(lambda: guests.readable)
        assert guests.recv(100) == (cd, b"hello")
        assert (len(server.group), len(guests)) == (0, 1)


@families
def test_a_client_that_is_refused_is_told(server: Server, family: int) -> None:
    with server.asking(family) as client:
        server.group.refuse(server.group.pending()[0][0])
        server.until(decided(client))
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED


@families
def test_a_client_that_nobody_accepts_in_time_is_told(server: Server, family: int) -> None:
    """900 ms after the application could have seen it: before the client would ask again."""
    with server.asking(family) as client:
        server.until(decided(client))
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED
        assert server.group.pending() == []
    assert dict(server.engine.counters())["OutRsts"] == 1
