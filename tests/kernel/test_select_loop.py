"""examples/select_loop.py as it stands: a server without Twisted, and kernel clients."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from xtcp_twisted.lab import Lab

pytestmark = pytest.mark.feature("P25", "P26", "P33")

ROOT = Path(__file__).parents[2]
PLACE = ("10.77.0.2", 7)


@pytest.fixture
def program(lab: Lab) -> Iterator[subprocess.Popen[bytes]]:
    """The example, which makes its device in the lab; it answers."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    started = lab.popen(
        [sys.executable, "-m", "examples.select_loop"], cwd=ROOT, env={**os.environ, "PYTHONPATH": path}
    )
    end = time.monotonic() + 60
    while True:
        assert started.poll() is None and time.monotonic() < end
        try:
            lab.call(socket.create_connection, PLACE, timeout=1).close()
            break
        except OSError:
            time.sleep(0.05)
    yield started
    assert started.poll() is None, "it goes on serving"
    started.kill()
    started.wait()


def test_clients_are_echoed(lab: Lab, program: subprocess.Popen[bytes]) -> None:
    """A megabyte each: more than a connection may queue, so that sends are short.  Then they half-close."""
    assert program.pid
    payloads = [os.urandom(1 << 20) for _ in range(3)]
    sockets = [lab.call(socket.create_connection, PLACE, timeout=60) for _ in payloads]
    senders = [
        threading.Thread(target=sock.sendall, args=(payload,))
        for sock, payload in zip(sockets, payloads, strict=True)
    ]
    for sender in senders:
        sender.start()
    for sock, payload in zip(sockets, payloads, strict=True):
        got = b""
        while len(got) < len(payload):
            got += sock.recv(1 << 20)
        assert got == payload
    for sender, sock in zip(senders, sockets, strict=True):
        sender.join()
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""
        sock.close()


def test_a_client_that_resets_costs_nobody_else(lab: Lab, program: subprocess.Popen[bytes]) -> None:
    assert program.pid
    with lab.call(socket.create_connection, PLACE, timeout=60) as rude:
        rude.sendall(b"x" * 10_000)
        rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    with lab.call(socket.create_connection, PLACE, timeout=60) as polite:
        polite.sendall(b"still there?")
        assert polite.recv(100) == b"still there?"
