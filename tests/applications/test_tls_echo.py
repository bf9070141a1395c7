"""TLS endpoints: Twisted's echo with the TLS of Python's clients, and a client of ours at a kernel server."""

from __future__ import annotations

import os
import select
import socket
import ssl
import sys
from pathlib import Path

import pytest
from support.patience import PATIENCE_S, until

from xtcp_twisted.lab import Lab

from . import amp_sums, echo
from .conftest import HOST, Application, Start, configured

pytestmark = pytest.mark.feature("P33")


def secured(server: Application) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(server.folder / "ca.pem"))
    return context.wrap_socket(server.connect(7), server_hostname=HOST)


def read(connection: socket.socket, size: int) -> bytes:
    heard = bytearray()
    while len(heard) < size and (part := connection.recv(1 << 16)):
        heard += part
    return bytes(heard)


def both_ways(connection: ssl.SSLSocket, payload: bytes) -> bytes:
    """Send, and receive as much meanwhile; in one thread, since OpenSSL's connections are for one."""
    connection.setblocking(False)
    left, heard = memoryview(payload), bytearray()
    while len(heard) < len(payload):
        waits = 0
        try:
            left = left[connection.send(left[: 1 << 16]) :] if left else left
        except ssl.SSLWantWriteError:
            waits = 1
        try:
            part = connection.recv(1 << 16)
            assert part, f"the end, after {len(heard)} bytes of {len(payload)}"
            heard += part
        except ssl.SSLWantReadError:
            if waits or not left:
                ready = select.select([connection], [connection] if left else [], [], PATIENCE_S)
                assert any(ready), f"{len(heard)} bytes of {len(payload)} came back"
    connection.settimeout(PATIENCE_S)
    return bytes(heard)


def test_ten_megabytes_there_and_back(start: Start, certificates: Path) -> None:
    server = start(echo.__file__, f"xtcp:7:tls={certificates}")
    payload = os.urandom(10_000_000)
    with secured(server) as connection:
        assert both_ways(connection, payload) == payload
        connection.unwrap()
    server.stop()


def test_clients_that_die(start: Start, certificates: Path) -> None:
    """One with data on the way in both directions, one that says nothing at all; another is served."""
    server = start(echo.__file__, f"xtcp:7:tls={certificates}", capture=True)
    rude = secured(server)
    rude.sendall(os.urandom(100_000))
    assert read(rude, 1)
    server.reset(rude)
    server.reset(server.connect(7))
    with secured(server) as connection:
        connection.sendall(b"still there?")
        assert read(connection, 12) == b"still there?"
    server.stop()


@pytest.mark.feature("P09")
def test_a_client_of_the_engine_and_a_tls_server_of_the_kernel(
    lab: Lab, tmp_path: Path, certificates: Path
) -> None:
    """The client's endpoint is Twisted's for TLS, around ours."""
    pem = certificates / "xtcp.pem"
    program = (sys.executable, amp_sums.__file__)
    server = lab.popen([*program, "server", f"ssl:443:privateKey={pem}:certKey={pem}"])

    def listens() -> bool:
        assert server.poll() is None
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", 443)) == 0

    until(lambda: lab.call(listens), "the server does not listen")
    endpoint = rf"tls:xtcp.example:443:trustRoots={tmp_path}:endpoint=xtcp\:10.77.0.1\:443"
    client = lab.run(
        [*program, "client", endpoint],
        env=configured(tmp_path),
        cwd=tmp_path,
        timeout=PATIENCE_S,
        capture_output=True,
        text=True,
    )
    assert client.stdout.splitlines() == ["refused: 1001", "150 echoes"], client.stderr
