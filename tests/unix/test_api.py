"""The calls of Fig. 4 for local clients, blocking on a real descriptor (P25, P26, P31)."""

from __future__ import annotations

import errno
import socket
import threading
from pathlib import Path

import pytest

from tests.unix.conftest import World
from xtcp_twisted.api import (
    PF_UNIX,
    SOCK_STREAM,
    XTCP_ISSET,
    XTCP_SET,
    XTCP_ZERO,
    ApplicationServer,
    sockaddr_in,
    sockaddr_un,
    xtcp_cd,
    xtcp_set,
)

pytestmark = pytest.mark.feature("P25", "P26", "P31")


@pytest.fixture
def server(world: World) -> ApplicationServer:
    """On the engine of `world`, in real time."""
    made = ApplicationServer(world.net.engine)
    assert made.xtcp_initialize(1 << 20) == 0
    return made


def opened(server: ApplicationServer, path: str) -> int:
    gd = server.xtcp_open_group(PF_UNIX, SOCK_STREAM, 0, path)
    assert gd > 0, server.error
    return gd


def chosen(server: ApplicationServer, *gds: int) -> xtcp_set:
    made = xtcp_set()
    XTCP_ZERO(made)
    for gd in gds:
        XTCP_SET(gd, made)
    return made


def test_a_whole_conversation(world: World, server: ApplicationServer) -> None:
    gd = opened(server, world.path)
    client = socket.socket(socket.AF_UNIX)
    world.clients.append(client)

    def talk() -> None:
        client.connect(world.path)
        client.sendall(b"hello")

    thread = threading.Timer(0.05, talk)
    thread.start()
    asked = chosen(server, gd)
    assert server.xtcp_select(1, None, asked, 20) == 1
    assert XTCP_ISSET(gd, asked)
    cd = server.xtcp_accept(gd)
    assert cd > 0
    assert server.xtcp_select(1, chosen(server, gd), None, 20) == 1
    thread.join()
    buf, who = bytearray(100), xtcp_cd()
    assert server.xtcp_recv(gd, who, buf, 100) == 5
    assert (who.value, bytes(buf[:5])) == (cd, b"hello")
    assert server.xtcp_recv(gd, who, buf, 100) == -errno.EAGAIN
    assert server.xtcp_send(gd, cd, 6, b"too much", 8) == -errno.EINVAL
    assert server.xtcp_send(gd, cd, 5, b"world", 5) == 5
    assert server.xtcp_select(1, chosen(server, gd), None, 0.01) == 0
    client.settimeout(60)
    assert client.recv(100) == b"world"
    here, there = sockaddr_un(), sockaddr_un()
    assert server.xtcp_pars(gd, cd, there, here) == 0
    assert (here.sun_path, there.sun_path) == (world.path, "")
    assert server.xtcp_pars(gd, cd, sockaddr_in()) == -errno.EAFNOSUPPORT
    client.shutdown(socket.SHUT_WR)
    assert server.xtcp_select(1, chosen(server, gd), None, 20) == 1
    assert (server.xtcp_recv(gd, who, buf, 100), who.value) == (0, cd)
    assert server.xtcp_close(gd, cd) == 0
    assert server.xtcp_send(gd, cd, 0, b"x", 1) == -errno.EBADF
    assert server.xtcp_select(1, chosen(server, gd), None, 0.01) == 0
    assert client.recv(100) == b""
    assert server.xtcp_close_group(gd) == 0
    assert not Path(world.path).exists()


def test_a_client_that_breaks_off_is_told_of(world: World, server: ApplicationServer) -> None:
    gd = opened(server, world.path)
    client = socket.socket(socket.AF_UNIX)
    client.connect(world.path)
    assert server.xtcp_select(1, None, chosen(server, gd), 20) == 1
    cd = server.xtcp_accept(gd)
    assert server.xtcp_send(gd, cd, 0, b"unread", 6) == 6
    assert server.xtcp_select(1, chosen(server, gd), None, 0.01) == 0
    client.close()
    assert server.xtcp_select(1, chosen(server, gd), None, 20) == 1
    buf, who = bytearray(100), xtcp_cd()
    told = []
    while (status := server.xtcp_recv(gd, who, buf, 100)) != -errno.EAGAIN:
        told.append((status, who.value))
        server.xtcp_select(1, chosen(server, gd), None, 0.01)
    assert told[-1] == (-errno.ECONNRESET, cd)
    assert server.xtcp_close(gd, cd) == -errno.EBADF


def test_what_is_wrong_is_told(world: World, server: ApplicationServer) -> None:
    gd = opened(server, world.path)
    assert server.xtcp_open_group(PF_UNIX, SOCK_STREAM, 0, world.path) == -errno.EADDRINUSE
    assert "is taken" in server.error
    assert server.xtcp_open_group(PF_UNIX, SOCK_STREAM, 0, "/no/such/folder") == -errno.ENOENT
    assert server.xtcp_open_group(PF_UNIX, SOCK_STREAM, 0, "/" + 200 * "x") == -errno.EINVAL
    assert server.xtcp_open_group(PF_UNIX, SOCK_STREAM, 0, 7) == -errno.EINVAL
    assert server.xtcp_accept(gd) == -errno.EAGAIN
    other = ApplicationServer(world.net.engine)
    assert other.xtcp_initialize(1 << 20) == 0
    assert other.xtcp_accept(gd) == -errno.EBADF
    assert server.xtcp_finalize() == 0
    assert not Path(world.path).exists()
    assert server.xtcp_accept(gd) == -errno.EBADF


@pytest.mark.feature("P09")
def test_a_connection_to_somebody_elses_socket(world: World, server: ApplicationServer) -> None:
    """`xtcp_connect` of a Unix-socket group takes its address, and no other; nobody there is told, too."""
    gd = opened(server, world.path)
    listener = socket.socket(socket.AF_UNIX)
    world.clients.append(listener)
    elsewhere = f"{world.path}-other"
    listener.bind(elsewhere)
    listener.listen()
    assert server.xtcp_connect(gd, sockaddr_in("198.51.100.1", 7)) == -errno.EAFNOSUPPORT
    assert "give sockaddr_un()" in server.error
    assert server.xtcp_connect(gd, sockaddr_un("")) == -errno.EINVAL
    cd, place, writegds = server.xtcp_connect(gd, sockaddr_un(elsewhere)), xtcp_cd(), chosen(server, gd)
    assert cd > 0, server.error
    assert server.xtcp_select(1, None, None, 20, writegds=writegds) == 1
    assert (server.xtcp_writable(gd, place), place.value) == (0, cd)
    there, _ = listener.accept()
    world.clients.append(there)
    there.settimeout(60)
    assert server.xtcp_send(gd, cd, 0, b"it is me") == 8
    assert server.xtcp_select(0, None, None, 0.01) == 0
    assert there.recv(100) == b"it is me"
    peer = sockaddr_un()
    assert (server.xtcp_pars(gd, cd, peer), peer.sun_path) == (0, elsewhere)
    Path(elsewhere).unlink()
    nobody = server.xtcp_connect(gd, sockaddr_un(elsewhere))
    assert nobody > 0
    assert server.xtcp_select(1, chosen(server, gd), None, 20) == 1
    assert server.xtcp_recv(gd, place, bytearray(1)) == -errno.ENOENT
    assert place.value == nobody
