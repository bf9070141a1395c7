"""Workers in threads of their own answer kernel clients, while the main thread waits in `xtcp_select`."""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
from collections.abc import Iterator

import pytest

from xtcp_twisted.api import PF_INET, SOCK_STREAM, XTCP_ALL, ApplicationServer, xtcp_cd
from xtcp_twisted.config import EngineConfig, GroupOptions, KiB, MiB
from xtcp_twisted.engine import Engine
from xtcp_twisted.lab import Lab

pytestmark = pytest.mark.feature("P15", "P26")

CLIENTS, ROUNDS, WORKERS = 20, 400, 3
#: Longest wait for the kernel, seconds.
PATIENCE_S = 60


@pytest.fixture
def server(lab: Lab) -> Iterator[ApplicationServer]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # so that threads meet as often as can be
    config = EngineConfig(
        addresses=("10.77.0.2",), max_connections=64, transmit_buffer=MiB, arena_limit=256 * MiB
    )
    with Engine(lab.link(), config) as engine:
        yield ApplicationServer(engine)
    sys.setswitchinterval(interval)


def echo(server: ApplicationServer, gd: int, over: threading.Event, failures: list[str]) -> None:
    """What a worker does."""
    cd, buf = xtcp_cd(), bytearray(64 * KiB)
    while not over.is_set():
        size = server.xtcp_recv(gd, cd, buf)
        if size > 0:
            if server.xtcp_send(gd, cd.value, XTCP_ALL, buf, size) != size:
                failures.append(server.error)
        elif size == -errno.EAGAIN:
            over.wait(0.001)
        elif size < 0:
            failures.append(server.error)


def ask(lab: Lab, failures: list[str]) -> None:
    """What a client does."""
    try:
        with lab.call(socket.create_connection, ("10.77.0.2", 7), PATIENCE_S) as sock:
            for _ in range(ROUNDS):
                request = os.urandom(500)
                sock.sendall(request)
                if sock.recv(500, socket.MSG_WAITALL) != request:
                    failures.append("another answer")
    except OSError as error:
        failures.append(str(error))


def test_workers_answer_while_the_main_thread_waits(lab: Lab, server: ApplicationServer) -> None:
    """Every answer is right, and wakes who waits: nothing lies until some time is up."""
    assert server.xtcp_initialize(MiB) == 0
    gd = server.xtcp_open_group(PF_INET, SOCK_STREAM, 0, 7, options=GroupOptions(accept_credits=CLIENTS))
    over, failures = threading.Event(), list[str]()
    workers = [threading.Thread(target=echo, args=(server, gd, over, failures)) for _ in range(WORKERS)]
    clients = [threading.Thread(target=ask, args=(lab, failures)) for _ in range(CLIENTS)]
    for thread in clients:
        thread.start()
    for thread in workers:
        thread.start()
    try:
        while any(thread.is_alive() for thread in clients) and not failures:
            assert server.xtcp_select(0, None, None, 0.1) == 0, server.error
    finally:
        over.set()
        for thread in workers:
            thread.join(PATIENCE_S)
    assert failures == []
    server.close()
