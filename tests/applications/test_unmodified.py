"""Services that Twisted brings, by ``twistd --reactor=xtcp`` or by one string, with clients of the kernel."""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.patience import PATIENCE_S
from twisted.names import dns

from xtcp_twisted.lab import Lab

from . import pb_shop
from .conftest import HOST, Application, Start

pytestmark = pytest.mark.feature("P33")

#: The host's side of the device, where the servers are to which connections are relayed.
OUTSIDE, ECHO = "10.77.0.1", 7_777


ZONE = """zone = [
    SOA("example.org", mname="ns.example.org", rname="root.example.org", serial=1,
        refresh="1H", retry="1H", expire="1H", minimum="1H"),
    A("example.org", "192.0.2.7"),
]"""


def served(start: Start, service: str, *options: str) -> Application:
    return start("twistd", "-n", "--pidfile=", "--reactor=xtcp", service, *options)


def exactly(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        more = connection.recv(size - len(data))
        assert more, f"it has ended after {len(data)} bytes"
        data += more
    return bytes(data)


@contextmanager
def kernel_echo(lab: Lab) -> Iterator[None]:
    """A server of the kernel's for one connection."""

    def echo() -> None:
        connection, _ = server.accept()
        with connection:
            while data := connection.recv(65_536):
                connection.sendall(data)

    with lab.call(socket.create_server, (OUTSIDE, ECHO)) as server:
        server.settimeout(PATIENCE_S)
        thread = threading.Thread(target=echo)
        thread.start()
        yield
        thread.join(PATIENCE_S)


def echoes(connection: socket.socket, size: int) -> None:
    """What is sent comes back."""
    data = os.urandom(size)
    sending = threading.Thread(target=connection.sendall, args=(data,))
    sending.start()
    assert exactly(connection, size) == data
    sending.join(PATIENCE_S)


def test_names_by_tcp(start: Start, tmp_path: Path) -> None:
    """Five queries sent ahead on one connection."""

    def ask(number: int) -> bytes:
        question = dns.Message(id=number)
        question.queries = [dns.Query(b"example.org", dns.A)]
        return struct.pack("!H", len(question.toStr())) + question.toStr()

    def answer(connection: socket.socket) -> tuple[int, str]:
        (size,) = struct.unpack("!H", exactly(connection, 2))
        message = dns.Message()
        message.fromStr(exactly(connection, size))
        return message.id, message.answers[0].payload.dottedQuad()

    (tmp_path / "zone.py").write_text(ZONE)
    server = served(start, "dns", "--port=53", "--pyzone=zone.py")
    with server.connect(53) as connection:
        connection.sendall(b"".join(map(ask, range(1, 6))))
        assert [answer(connection) for _ in range(5)] == [(n, "192.0.2.7") for n in range(1, 6)]
    server.stop()


def test_a_port_forwarder(start: Start, lab: Lab) -> None:
    """Both sides are the engine's: it accepts the one connection and opens the other."""
    server = served(start, "portforward", "--port=tcp:9000", f"--host={OUTSIDE}", f"--dest_port={ECHO}")
    with kernel_echo(lab), server.connect(9000) as connection:
        echoes(connection, 4 << 20)
    with server.connect(9000) as connection:
        assert connection.recv(1) == b"", "nobody listens there any more"
    server.stop()


def test_a_proxy(start: Start, lab: Lab) -> None:
    """SOCKS 4: to a server of the kernel's, and to nobody."""
    server = served(start, "socks", "--port=1080", "--interface=0.0.0.0")

    def ask(connection: socket.socket, port: int) -> int:
        connection.sendall(struct.pack("!BBH", 4, 1, port) + socket.inet_aton(OUTSIDE) + b"me\0")
        return exactly(connection, 8)[1]

    with kernel_echo(lab), server.connect(1080) as connection:
        assert ask(connection, ECHO) == 90
        echoes(connection, 4 << 20)
    with server.connect(1080) as connection:
        assert ask(connection, 1) == 91
        assert connection.recv(1) == b""
    server.stop()


def test_perspective_broker(start: Start) -> None:
    server = start(pb_shop.__file__, "server", "xtcp:8787")
    seen = server.run(sys.executable, pb_shop.__file__, "client", f"tcp:{HOST}:8787", text=True)
    assert seen.stdout.splitlines()[:3] == ["500000", "1225", "HELLO"]
    assert "sold out" in seen.stdout.splitlines()[3]
    server.stop()
