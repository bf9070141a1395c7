"""Kernel clients of an application server that has only the calls of Fig. 4: Fig. 6a to 6i once more."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
import sys
import termios
import time
from collections.abc import Iterator

import pytest

from xtcp_twisted.api import (
    PF_INET,
    PF_INET6,
    SOCK_STREAM,
    ApplicationServer,
    sockaddr_in,
    sockaddr_in6,
    xtcp_cd,
    xtcp_set,
)
from xtcp_twisted.config import EngineConfig, GroupOptions, KiB, MiB
from xtcp_twisted.engine import Engine
from xtcp_twisted.lab import Lab

PORT = 7
HOSTS = {PF_INET: "10.77.0.2", PF_INET6: "fd77::2"}
PLACES = {PF_INET: sockaddr_in, PF_INET6: sockaddr_in6}
REQUEST, ANSWER = b"who is there?", b"nobody but us"
#: Longest wait for the kernel, seconds.
PATIENCE_S = 60.0


class World:
    """An application server over a TUN device, with one group, and sockets of the kernel that never block."""

    def __init__(self, lab: Lab, family: int) -> None:
        self.lab, self.family = lab, family
        config = EngineConfig(
            addresses=("10.77.0.2", "fd77::2"),
            max_connections=64,
            transmit_buffer=1 * MiB,
            arena_limit=256 * MiB,
        )
        self.engine = Engine(lab.link(), config)
        self.server = ApplicationServer(self.engine)
        assert self.server.xtcp_initialize(256 * KiB) == 0
        options = GroupOptions(ack_policy="application")
        self.gd = self.server.xtcp_open_group(family, SOCK_STREAM, 0, PORT, options=options)
        assert self.gd > 0, self.server.error

    def ready(self, *, accept: bool = False) -> bool:
        """Block in `xtcp_select` until the group is ready."""
        gds = xtcp_set([self.gd])
        sets = (None, gds) if accept else (gds, None)
        return self.server.xtcp_select(1, *sets, PATIENCE_S) == 1 and self.gd in gds

    def until_client(self, sock: socket.socket, *, writable: bool = False) -> None:
        """Serve the network until the kernel tells the client's application something."""
        deadline = time.monotonic() + PATIENCE_S
        while not any(select.select([] if writable else [sock], [sock] if writable else [], [], 0)):
            assert time.monotonic() < deadline
            assert self.server.xtcp_select(0, None, None, 0.01) == 0

    def client(self) -> socket.socket:
        """One that has begun to connect."""
        sock = self.lab.call(socket.socket, self.family)
        sock.setblocking(False)
        assert sock.connect_ex((HOSTS[self.family], PORT)) == errno.EINPROGRESS
        return sock


@pytest.fixture(params=HOSTS, ids=lambda family: socket.AddressFamily(family).name)
def world(request: pytest.FixtureRequest, lab: Lab) -> Iterator[World]:
    made = World(lab, request.param)
    yield made
    made.server.close()
    made.engine.close()


@pytest.mark.feature("P08", "P10", "P13", "P14", "P15", "P19", "P25", "P26", "P33")
def test_a_client_from_its_request_to_its_end(world: World) -> None:
    """Fig. 6c to 6g and 6i: notified, accepted, asked for its address, heard, answered, closed."""
    server, gd = world.server, world.gd
    sock = world.client()
    assert world.ready(accept=True)
    assert not select.select([], [sock], [], 0)[1], "the handshake waits for xtcp_accept"
    cd = server.xtcp_accept(gd)
    assert cd > 0, server.error
    world.until_client(sock, writable=True)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0

    assert sock.send(REQUEST) == len(REQUEST)
    assert world.ready()
    place, buf = xtcp_cd(), bytearray(100)
    assert server.xtcp_rcv(gd, place, buf) == len(REQUEST)
    assert (place.value, bytes(buf[: len(REQUEST)])) == (cd, REQUEST)
    peer = PLACES[world.family]()
    assert server.xtcp_pars(gd, cd, peer) == 0
    host, port = sock.getsockname()[:2]
    assert peer in (sockaddr_in(host, port), sockaddr_in6(host, port))

    assert server.xtcp_send(gd, cd, len(REQUEST), ANSWER) == len(ANSWER)
    world.until_client(sock)
    assert sock.recv(100) == ANSWER
    assert server.xtcp_close(gd, cd) == 0
    world.until_client(sock)
    assert sock.recv(100) == b""
    sock.close()
    assert server.xtcp_select(0, None, None, 0.1) == 0
    assert world.engine.snapshot().transmit_buffer.used == 0
    # One packet for the answer and its acknowledgement: Fig. 5a.
    assert world.engine.counters()["RetransSegs"] == 0


@pytest.mark.feature("P08", "P26")
@pytest.mark.parametrize("refused", [True, False], ids=["refused", "not accepted in time"])
def test_a_client_that_is_rejected(world: World, refused: bool) -> None:
    """Fig. 6c, block 630: its connect fails."""
    sock = world.client()
    assert world.ready(accept=True)
    if refused:
        assert world.server.xtcp_refuse(world.gd) == 0
    world.until_client(sock, writable=True)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED
    assert world.server.xtcp_accept(world.gd) == -errno.EAGAIN
    sock.close()


def unacknowledged(sock: socket.socket) -> int:
    """Bytes that the client's kernel keeps because nobody has acknowledged them (SIOCOUTQ)."""
    answer = fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4))
    return int.from_bytes(answer, sys.byteorder)


@pytest.mark.feature("P16", "P17", "P26")
def test_a_client_keeps_what_was_acknowledged_wrongly(world: World) -> None:
    """Too much, too little, no number, or another group's: no answer leaves, and no acknowledgement."""
    server, gd = world.server, world.gd
    sock = world.client()
    assert world.ready(accept=True)
    cd = server.xtcp_accept(gd)
    world.until_client(sock, writable=True)
    assert sock.send(REQUEST) == len(REQUEST)
    assert world.ready()
    assert server.xtcp_recv(gd, xtcp_cd(), bytearray(100), 5) == 5
    other = server.xtcp_open_group(world.family, SOCK_STREAM, 0, 0)
    for ackd in (6, len(REQUEST), len(REQUEST) + 1, -1, 1 << 40, 5.0, "5", None):
        assert server.xtcp_send(gd, cd, ackd, ANSWER) == -errno.EINVAL, ackd  # type: ignore[arg-type]
    assert server.xtcp_send(other, cd, 5, ANSWER) == -errno.EBADF
    assert server.xtcp_send(gd, cd + 1, 5, ANSWER) == -errno.EBADF
    assert server.xtcp_select(0, None, None, 0.05) == 0
    assert unacknowledged(sock) == len(REQUEST)
    assert not select.select([sock], [], [], 0)[0]

    assert server.xtcp_send(gd, cd, 5, None, 0) == 0
    deadline = time.monotonic() + PATIENCE_S
    while unacknowledged(sock) != len(REQUEST) - 5:
        assert time.monotonic() < deadline
        assert server.xtcp_select(0, None, None, 0.01) == 0
    assert not select.select([sock], [], [], 0)[0]
    sock.close()


@pytest.mark.feature("P02", "P07", "P26")
def test_a_pool_that_is_torn_down_takes_its_clients_along(world: World) -> None:
    """Fig. 6a, block 604: they read the end, and the descriptor is gone."""
    sock = world.client()
    assert world.ready(accept=True)
    assert world.server.xtcp_accept(world.gd) > 0
    world.until_client(sock, writable=True)
    assert world.server.xtcp_finalize() == 0
    world.until_client(sock)
    assert sock.recv(100) == b""
    sock.close()
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        os.fstat(world.gd)
