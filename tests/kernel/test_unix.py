"""Local clients of a server that has clients by TCP, too: real processes on both sides (P31)."""

from __future__ import annotations

import hashlib
import os
import selectors
import signal
import socket
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from xtcp_twisted.lab import Lab
from xtcp_twisted.lab.server import Server, ServerDied

pytestmark = pytest.mark.feature("P31")

ROOT = Path(__file__).parents[2]

CONFIG = """
[link]
name = "xtcp0"
addresses = ["10.77.0.1/16"]
[engine]
addresses = ["10.77.0.2"]
max_connections = 4096
transmit_buffer = "8 MiB"
arena_limit = "512 MiB"
[[pool]]
name = "im"
receive_buffer = "8 MiB"
[[group]]
name = "tcp"
port = 7
protocol = "examples.echo.Echo"
[[group]]
name = "echo"
path = "{folder}/echo"
mode = 0o666
protocol = "examples.echo.Echo"
[[group]]
name = "plain"
path = "{folder}/plain"
protocol = "examples.plain_echo.PlainEcho"
[[group]]
name = "fails"
path = "{folder}/fails"
protocol = "tests.kernel.applications.GroupFails"
[[group]]
name = "keeps"
path = "{folder}/keeps"
protocol = "tests.kernel.applications.Keeps"
options = {{ ack_policy = "application" }}
"""


class Local:
    """A ``twistd xtcp`` with paths in a folder of its own."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.folder = folder
        config = folder / "xtcp.toml"
        config.write_text(CONFIG.format(folder=folder), "utf-8")
        self.server = Server(lab, config, imports=[ROOT])
        self.server.start()

    def connect(self, group: str) -> socket.socket:
        made = socket.socket(socket.AF_UNIX)
        made.settimeout(60)
        made.connect(str(self.folder / group))
        return made

    def group(self, name: str) -> dict[str, object]:
        status = self.server.status(60)
        assert status is not None
        (found,) = [group for group in status["snapshot"]["pools"][0]["groups"] if group["name"] == name]
        return dict(found)


@pytest.fixture
def local(lab: Lab) -> Iterator[Local]:
    with tempfile.TemporaryDirectory(prefix="xtcp") as folder:
        yield Local(lab, Path(folder))


def whole(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        assert piece, "the stream ended early"
        data += piece
    return data


def died(server: Server) -> bool:
    try:
        server.check()
    except ServerDied:
        return True
    return False


@pytest.mark.parametrize("group", ["echo", "plain"])
def test_netcat(local: Local, group: str) -> None:
    """As a person would try it."""
    path = str(local.folder / group)
    answer = subprocess.run(
        ["nc", "-N", "-U", path], input=b"hello\nworld\n", capture_output=True, check=True, timeout=20
    )
    assert answer.stdout == b"hello\nworld\n"
    assert stat.S_IMODE(os.stat(path).st_mode) == (0o666 if group == "echo" else 0o600)


def test_beside_tcp(local: Local) -> None:
    """One application, two ways to it."""

    def tcp() -> socket.socket:
        made = socket.create_connection(("10.77.0.2", 7), timeout=60)
        made.sendall(b"by tcp")
        return made

    with local.lab.call(tcp) as remote, local.connect("echo") as near:
        near.sendall(b"by path")
        assert (whole(remote, 6), whole(near, 7)) == (b"by tcp", b"by path")
        assert (local.group("tcp")["connections"], local.group("echo")["connections"]) == (1, 1)


@pytest.mark.parametrize("group", ["echo", "plain"])
def test_streams_come_back_whole(local: Local, group: str) -> None:
    """More than all buffers hold together, both ways at once."""
    data = os.urandom(1 << 20) * 24
    sent, received = 0, hashlib.sha256()
    count = 0
    with local.connect(group) as connection, selectors.DefaultSelector() as selector:
        connection.setblocking(False)
        selector.register(connection, selectors.EVENT_READ | selectors.EVENT_WRITE)
        while count < len(data):
            ((_, events),) = selector.select(20)
            if events & selectors.EVENT_WRITE:
                try:
                    sent += connection.send(data[sent : sent + 100_000])
                except BlockingIOError:
                    pass
                if sent == len(data):
                    selector.modify(connection, selectors.EVENT_READ)
            if events & selectors.EVENT_READ:
                piece = connection.recv(1 << 20)
                received.update(piece)
                count += len(piece)
    assert received.digest() == hashlib.sha256(data).digest()


def test_many_clients(local: Local) -> None:
    """Two thousand, each with requests of its own."""
    clients = [local.connect("echo") for _ in range(2_000)]
    try:
        for turn in range(3):
            for i, client in enumerate(clients):
                client.sendall(b"%d of %d" % (turn, i))
            for i, client in enumerate(clients):
                expected = b"%d of %d" % (turn, i)
                assert whole(client, len(expected)) == expected
        assert local.group("echo")["connections"] == 2_000
    finally:
        for client in clients:
            client.close()


def test_who_does_not_read_costs_only_itself(local: Local) -> None:
    with local.connect("echo") as lazy, local.connect("echo") as eager:
        lazy.setblocking(False)
        try:
            while True:
                lazy.send(bytes(50_000))
        except BlockingIOError:
            pass
        for i in range(100):
            eager.sendall(b"%03d" % i)
            assert whole(eager, 3) == b"%03d" % i


def test_an_exception_costs_its_connection(local: Local) -> None:
    with local.connect("fails") as bad, local.connect("fails") as good:
        bad.sendall(b"fail, please")
        with pytest.raises(ConnectionResetError):
            bad.recv(1)
        good.sendall(b"hello")
        assert whole(good, 5) == b"hello"


@pytest.mark.feature("P14")
def test_a_server_that_dies_loses_no_request_silently(
    local: Local, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    """The client of a request that was seen and not acknowledged is told; the path serves again."""
    with local.connect("keeps") as connection:
        connection.sendall(b"important")
        assert whole(connection, 4) == b"seen"
        os.kill(local.server.pid, signal.SIGKILL)
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    eventually(lambda: died(local.server))
    assert (local.folder / "keeps").exists()
    local.server.start()
    with local.connect("keeps") as connection:
        connection.sendall(b"important")
        assert whole(connection, 4) == b"seen"
    local.server.stop()
    assert sorted(os.listdir(local.folder)) == ["xtcp.toml"]
