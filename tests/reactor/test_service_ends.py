"""How ``twistd xtcp`` ends: SIGTERM finishes what is in flight, a second one does not wait for it."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.reactor.test_service import ROOT, first_status, twistd
from xtcp_twisted.lab import Lab

CONFIG = """
[link]
name = "xtcp0"
addresses = ["10.77.0.1/16"]
[engine]
addresses = ["10.77.0.2"]
max_connections = 4096
arena_limit = "256 MiB"
[service]
drain_s = 600
[[pool]]
name = "im"
receive_buffer = "4 MiB"
[[group]]
name = "patient"
port = 7
protocol = "tests.reactor.servers.Patient"
arguments = {{ release = "{release}" }}
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as made:
        yield made


class Server:
    """A server with one client whose request is in flight, which has been told to end."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self.folder, self.log = lab, folder, folder / "log"
        (folder / "xtcp.toml").write_text(CONFIG.format(release=folder / "release"), "utf-8")
        arguments = ("--config", str(folder / "xtcp.toml"), "--namespace", lab.path)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                # A shell's job in the background ignores SIGINT, and so does whatever it starts.
                [
                    "env",
                    "--default-signal=INT",
                    *twistd(*arguments, "--status-socket", str(folder / "status")),
                ],
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        first_status(self.process, folder / "status")
        self.busy, self.idle = self.connect(), self.connect()
        self.busy.sendall(b"request")
        self.until(self.acknowledged)
        self.process.send_signal(signal.SIGTERM)
        self.until(self.refuses)

    def connect(self) -> socket.socket:
        made: socket.socket = self.lab.call(socket.create_connection, ("10.77.0.2", 7), 20)
        return made

    def acknowledged(self) -> bool:
        """Whether the server has the request: the kernel holds nothing of it any more."""
        return struct.unpack("i", fcntl.ioctl(self.busy, termios.TIOCOUTQ, bytes(4)))[0] == 0

    def refuses(self) -> bool:
        try:
            self.connect().close()
        except ConnectionRefusedError:
            return True
        return False

    def until(self, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not true():
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text("utf-8")
            time.sleep(0.02)


@pytest.fixture
def server(lab: Lab, tmp_path: Path) -> Iterator[Server]:
    made = Server(lab, tmp_path)
    yield made
    made.busy.close()
    made.idle.close()
    if made.process.poll() is None:
        made.process.kill()
        made.process.wait()


def test_sigterm_finishes_what_is_in_flight(server: Server) -> None:
    assert server.idle.recv(1) == b"", "who is in the middle of nothing is closed at once"
    (server.folder / "release").touch()
    assert server.busy.recv(100) == b"REQUEST"
    assert server.busy.recv(100) == b""
    server.busy.close()
    server.idle.close()
    assert server.process.wait(60) in (0, -signal.SIGTERM)
    assert "Traceback" not in server.log.read_text("utf-8")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(server: Server, number: int) -> None:
    os.kill(server.process.pid, number)
    assert server.process.wait(60) in (0, -signal.SIGTERM, -signal.SIGINT)
    assert server.busy.recv(100) == b""
    text = server.log.read_text("utf-8")
    assert "XTCP ends at once" in text
    assert "Traceback" not in text
