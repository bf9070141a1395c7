"""Echo servers with faults, on kernel TCP inside a lab."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from benchmarks.loadgen import LoadGenerator
from xtcp_twisted.lab import Lab

HOST = "127.0.0.1"

#: What a peer does with a request: (number of the connection, request) -> answer, None to hang up.
Behaviour = Callable[[int, bytes], bytes | None]


class Peer:
    """A server that answers whole requests as its `behaviour` says, and counts them."""

    def __init__(self, listener: socket.socket, size: int, behaviour: Behaviour) -> None:
        self.port: int = listener.getsockname()[1]
        self.size = size
        self.behaviour = behaviour
        #: Requests by connection, in the order in which they came.
        self.requests: list[list[bytes]] = []
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._selector.register(listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def target(self) -> str:
        """As the generator wants it."""
        return f"{HOST}:{self.port}"

    @property
    def served(self) -> int:
        """All requests that came."""
        return sum(map(len, self.requests))

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._woken:
                    return
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    with contextlib.suppress(ConnectionError):
                        self._read(key.fileobj, *key.data)

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        self._selector.register(connection, selectors.EVENT_READ, (len(self.requests), bytearray()))
        self.requests.append([])

    def _read(self, connection: socket.socket, number: int, partial_request: bytearray) -> None:
        try:
            data = connection.recv(65_536)
        except ConnectionResetError:
            data = b""
        partial_request += data
        if not data:
            self._drop(connection)
        elif len(partial_request) >= self.size:
            request = bytes(partial_request)
            partial_request.clear()
            self.requests[number].append(request)
            answer = self.behaviour(number, request)
            if answer is None:
                self._drop(connection)
            else:
                connection.sendall(answer)

    def _drop(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        connection.close()

    def close(self) -> None:
        """Stop serving; every connection is closed.  Harmless when it is closed already."""
        self._wake.close()
        self._thread.join()
        for key in list((self._selector.get_map() or {}).values()):
            key.fileobj.close()
        self._selector.close()


def faithful(number: int, request: bytes) -> bytes:
    return request


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@pytest.fixture
def serve(lab: Lab) -> Iterator[Callable[..., Peer]]:
    """Start a peer: ``serve(behaviour, size=100)``."""
    peers: list[Peer] = []

    def start(behaviour: Behaviour = faithful, size: int = 100) -> Peer:
        listener = lab.call(socket.create_server, (HOST, 0), backlog=1_024)
        peers.append(Peer(listener, size, behaviour))
        return peers[-1]

    yield start
    for peer in peers:
        peer.close()


@pytest.fixture
def generator(lab: Lab) -> Callable[..., LoadGenerator]:
    """A load generator inside the lab: ``with generator(target, workers=2) as client:``."""
    return partial(LoadGenerator, popen=lab.popen)
