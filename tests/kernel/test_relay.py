"""A server that is a client: kernel client, engine, kernel server, in one `twistd xtcp`."""

from __future__ import annotations

import os
import socket
import threading

import pytest
from support.capture import WRONG, tshark

from tests.kernel.conftest import PATIENCE_S, Served
from tests.kernel.test_clients import read_all

pytestmark = pytest.mark.feature("P09")

HOSTS = ["10.77.0.1", "fd77::1"]


def listener(served: Served, host: str) -> socket.socket:
    """A kernel server in the lab."""

    def make() -> socket.socket:
        made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        made.settimeout(60)
        made.bind((host, 0))
        made.listen()
        return made

    return served.lab.call(make)


def ask(connection: socket.socket, host: str, port: int, timeout: float = PATIENCE_S) -> bytes:
    """What becomes of a connection to there."""
    connection.sendall(f"{host} {port} {timeout}".encode())
    return connection.recv(100)


@pytest.mark.parametrize("host", HOSTS)
def test_five_megabytes_both_ways(served: Served, host: str) -> None:
    """Both ends of the relay are the engine's; whoever reads slowly holds the other up."""
    payload = os.urandom(5_000_000)
    with listener(served, host) as server, served.connect("relay") as client:
        assert ask(client, host, server.getsockname()[1]) == b"connected"
        behind, _ = server.accept()
        with behind:

            def echo() -> None:
                while part := behind.recv(1 << 16):
                    behind.sendall(part)

            threads = [
                threading.Thread(target=echo),
                threading.Thread(target=client.sendall, args=(payload,)),
            ]
            for thread in threads:
                thread.start()
            assert read_all(client, len(payload)) == payload
            client.shutdown(socket.SHUT_WR)
            for thread in threads:
                thread.join()
    assert tshark(served.stop(), WRONG) == []
    assert "Traceback" not in served.log()


@pytest.mark.parametrize("host", HOSTS)
def test_what_becomes_of_connections_that_are_not_made(served: Served, host: str) -> None:
    with listener(served, host) as gone:
        port = gone.getsockname()[1]
    for there, answer in [
        ((host, port), b"ConnectionRefusedError"),
        (("10.99.0.1", 80, 1.5), b"TimeoutError"),
        (("224.0.0.1", 80), b"ConnectError"),
    ]:
        with served.connect("relay") as client:
            assert ask(client, *there) == answer
            assert client.recv(1) == b""
    assert "Traceback" not in served.log()
