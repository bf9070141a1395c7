"""Unix-socket groups on the net of virtual time, with clients that are sockets of the kernel."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.net import Net

from tests.reactor.conftest import logged
from xtcp_twisted.config import UNLIMITED, GroupOptions
from xtcp_twisted.engine import Pool
from xtcp_twisted.engine.kinds import EventKind
from xtcp_twisted.engine.unix_group import UnixGroup

#: A fixture of these tests, too.
__all__ = ["World", "got", "logged"]


class World:
    """An engine, folders for sockets, and clients."""

    def __init__(self, net: Net, folder: Path) -> None:
        self.net = net
        self.folder = folder
        self.path = str(folder / "s")
        self.clients: list[socket.socket] = []

    def group(
        self, path: str | None = None, *, pool: Pool | None = None, mode: int = 0o600, **options: Any
    ) -> UnixGroup:
        """A group that accepts by itself unless `accept_credits` says otherwise."""
        options.setdefault("accept_credits", UNLIMITED)
        return (pool or self.net.pool).open_group(
            0,
            domain=socket.AF_UNIX,
            path=self.path if path is None else path,
            mode=mode,
            options=GroupOptions(**options),
        )

    def client(self, group: UnixGroup) -> socket.socket:
        """A client whose connect the kernel has answered; the engine has not looked yet."""
        made = socket.socket(socket.AF_UNIX)
        made.setblocking(False)
        self.clients.append(made)
        made.connect(group.address)
        return made

    def connected(self, group: UnixGroup) -> tuple[socket.socket, int]:
        """A client and its connection id; the events so far are taken."""
        made = self.client(group)
        self.net.turn()
        ((_, _, cd, _),) = self.net.take_events(EventKind.ESTABLISHED)
        return made, cd

    def asked(self, client: socket.socket, data: bytes) -> None:
        """The client sends, and the engine has a turn."""
        client.sendall(data)
        self.net.turn()


def got(client: socket.socket, most: int = 1 << 20) -> bytes | None:
    """What the client finds; b"" at the end of the stream, None when there is nothing yet."""
    try:
        return client.recv(most)
    except BlockingIOError:
        return None


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name: the path of a socket has 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="xtcp") as made:
        yield Path(made)


@pytest.fixture
def world(net: Net, folder: Path) -> Iterator[World]:
    made = World(net, folder)
    yield made
    for client in made.clients:
        client.close()
