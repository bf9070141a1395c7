"""The programs of README.md are run as a reader would run them."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

import pytest
from support.pages import ROOT, blocks

from xtcp_twisted.lab import Lab

PROGRAMS = blocks("README.md", "python")


def serve(lab: Lab, program: str) -> subprocess.Popen[bytes]:
    return lab.popen([sys.executable, "-c", program], cwd=ROOT)


def connect(lab: Lab, server: subprocess.Popen[bytes]) -> socket.socket:
    """A kernel client, once the program serves."""
    deadline = time.monotonic() + 60
    while True:
        try:
            connection = lab.call(socket.create_connection, ("10.77.0.2", 5222), 2)
            connection.settimeout(60)
            return connection
        except OSError:
            assert server.poll() is None, "the program ended"
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@pytest.fixture
def lab():
    with Lab() as lab:
        yield lab


def test_the_protocol(lab: Lab) -> None:
    server = serve(lab, PROGRAMS[0])
    with connect(lab, server) as client:
        client.sendall(b"hello")
        assert client.recv(100) == b"HELLO"
    server.terminate()
    assert server.wait(60) in (0, -15)


def test_the_group_protocol(lab: Lab) -> None:
    """The first program, serving what the second one defines."""
    program = PROGRAMS[0].replace("Factory.forProtocol(Shout)", "Board()")
    server = serve(lab, PROGRAMS[1] + program)
    with connect(lab, server) as one, connect(lab, server) as two:
        assert one.recv(100).startswith(b"1 are here\n")
        assert two.recv(100) == b"2 are here\n"
        two.sendall(b"news\n")
        answer = b""
        while not answer.endswith(b"news\n"):
            answer += two.recv(100)
        assert answer == b"thank you\nnews\n"
    server.terminate()
    assert server.wait(60) in (0, -15)
