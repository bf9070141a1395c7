"""The notification settings of a group, with clients of the kernel (P05)."""

from __future__ import annotations

import errno
import select
import socket
import time
from collections.abc import Callable

import pytest

from xtcp_twisted.config import ALL, UNLIMITED, EngineConfig, GroupOptions, KiB, MiB
from xtcp_twisted.engine import Engine
from xtcp_twisted.engine.kinds import EventKind
from xtcp_twisted.lab import Lab

pytestmark = pytest.mark.feature("P05")

#: Longest wait for the kernel, seconds.
PATIENCE_S = 60.0


def test_clients_are_told_of_together(lab: Lab) -> None:
    """Two of three have written: nothing is told; the third makes the descriptor readable for all."""
    config = EngineConfig(
        addresses=("10.77.0.2",), max_connections=64, transmit_buffer=1 * MiB, arena_limit=256 * MiB
    )
    engine = Engine(lab.link(), config)
    options = GroupOptions(accept_credits=UNLIMITED, notify_connections=3, notify_delay_ms=9_000)
    group = engine.create_pool(256 * KiB).open_group(7, options=options)
    socks = [lab.call(socket.socket, socket.AF_INET) for _ in range(3)]
    seen: list[int] = []

    def until(happened: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not happened():
            assert time.monotonic() < deadline
            select.select([engine.fileno()], [], [], 0.01)
            engine.poll(time.monotonic())
            seen.extend(cd for kind, _, cd, _ in engine.events() if kind == EventKind.DATA)
            engine.flush(time.monotonic())

    def is_told() -> bool:
        return bool(select.select([group.fileno()], [], [], 0)[0])

    try:
        for sock in socks:
            sock.setblocking(False)
            assert sock.connect_ex(("10.77.0.2", 7)) == errno.EINPROGRESS
        until(lambda: len(select.select([], socks, [], 0)[1]) == 3)
        for sock in socks[:2]:
            sock.sendall(b"question")
        until(lambda: group.readable == 2)
        assert not is_told()
        assert seen == []
        socks[2].sendall(b"question")
        until(is_told)
        batch = group.recv_batch(10)
        assert sorted(seen) == sorted(cd for cd, _ in batch)
        assert [data for _, data in batch] == [b"question"] * 3
        for cd, _ in batch:
            group.send(cd, b"answer", ALL)
        assert not is_told()
        until(lambda: len(select.select(socks, [], [], 0)[0]) == 3)
        assert [sock.recv(100) for sock in socks] == [b"answer"] * 3
    finally:
        for sock in socks:
            sock.close()
        engine.close()
