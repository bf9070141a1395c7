"""Options of a group that change while clients of the kernel are connected (P05)."""

from __future__ import annotations

import errno
import select
import socket
import struct
import time
from collections.abc import Callable

import pytest

from xtcp_twisted.config import ALL, UNLIMITED, EngineConfig, GroupOptions, KiB, MiB
from xtcp_twisted.engine import Engine, Group
from xtcp_twisted.lab import Lab

pytestmark = pytest.mark.feature("P05")

#: Longest wait for the kernel, seconds.
PATIENCE_S = 60.0


def unacknowledged(sock: socket.socket) -> int:
    """Segments of the client's kernel that nobody has acknowledged: TCP_INFO's tcpi_unacked."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return int(struct.unpack_from("=I", info, 24)[0])


def serve(engine: Engine, group: Group) -> None:
    """One turn, in which the application reads and answers."""
    select.select([engine.fileno()], [], [], 0.01)
    engine.poll(time.monotonic())
    engine.events()
    for cd, data in group.recv_batch(10):
        if data.endswith(b"acknowledge, please"):
            group.send(cd, b"done", ALL)
    engine.flush(time.monotonic())


def test_the_acknowledgement_policy_changes_under_a_client(lab: Lab) -> None:
    """Its kernel sees what waits for the application acknowledged as soon as the policy is another."""
    config = EngineConfig(
        addresses=("10.77.0.2",), max_connections=64, transmit_buffer=1 * MiB, arena_limit=256 * MiB
    )
    engine = Engine(lab.link(), config)
    options = GroupOptions(ack_policy="application", accept_credits=UNLIMITED)
    group = engine.create_pool(256 * KiB).open_group(7, options=options)
    sock = lab.call(socket.socket, socket.AF_INET)

    def until(happened: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not happened():
            assert time.monotonic() < deadline
            serve(engine, group)

    try:
        sock.setblocking(False)
        assert sock.connect_ex(("10.77.0.2", 7)) == errno.EINPROGRESS
        until(lambda: select.select([], [sock], [], 0)[1])
        sock.sendall(b"nobody acknowledges this")
        until(lambda: group.readable == 0 and unacknowledged(sock))
        for _ in range(20):
            serve(engine, group)
        assert unacknowledged(sock) == 1, "it waits for the application"
        group.set_options(ack_policy="immediate")
        until(lambda: unacknowledged(sock) == 0)
        group.set_options(ack_policy="application")
        sock.sendall(b"acknowledge, please")
        until(lambda: select.select([sock], [], [], 0)[0])
        assert sock.recv(100) == b"done"
    finally:
        sock.close()
        engine.close()
