"""A port that tests reserve is nobody else's, and listens for the server that names it."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

import pytest
from support.live import reserved_port

from xtcp_twisted.lab import Lab

LOOPBACK = "127.0.0.1"


def server(port: int) -> socket.socket:
    """As Twisted's servers listen."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((LOOPBACK, port))
    made.listen()
    return made


def given() -> int:
    """The port that whoever binds to any is given, while nobody who binds or connects is given another."""
    with socket.socket() as first, socket.socket() as binds, socket.socket() as connects:
        first.bind((LOOPBACK, 0))
        with pytest.raises(OSError) as nothing:
            binds.bind((LOOPBACK, 0))
        assert nothing.value.errno == errno.EADDRINUSE
        assert connects.connect_ex((LOOPBACK, 50_000)) == errno.EADDRNOTAVAIL
        port: int = first.getsockname()[1]
        return port


def test_it_is_kept_until_the_server_takes_it(lab: Lab) -> None:
    def check() -> None:
        """In a namespace that has two ports to give."""
        with server(50_000):
            Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("40000 40001")
            with reserved_port() as port:
                for _ in range(3):  # a server that starts again
                    assert given() == 80_001 - port
                    server(port).close()

    lab.call(check)
