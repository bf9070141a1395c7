"""How a server ends: SIGTERM finishes what is in flight; a second one, or a lost device, ends it at once."""

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
from typing import Self

import pytest
from support.console import TWISTD

from xtcp_twisted.lab import Lab

ROOT = Path(__file__).parents[2]
IMPORTS = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])

CONFIG = """
[link]
name = "xtcp0"
namespace = "{namespace}"
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
"""
GROUP = """
[[group]]
name = "patient"
port = 7
protocol = "tests.reactor.servers.Patient"
arguments = {{ release = "{release}" }}
"""

#: The same with a stack that an endpoint string starts.
PROGRAM = """
from functools import partial
from twisted.application import service, strports
from twisted.internet.protocol import Factory
from tests.reactor.servers import Patient

application = service.Application("patient")
factory = Factory.forProtocol(partial(Patient, {release!r}))
strports.service("xtcp:7", factory).setServiceParent(application)
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as made:
        yield made


class Server:
    """A server with two clients, of which one has a request in flight.

    :param program: of twistd: "xtcp", or "strings" for one that names its port by an endpoint string.
    """

    def __init__(self, lab: Lab, folder: Path, program: str) -> None:
        self.lab, self.folder, self.log = lab, folder, folder / "log"
        release = str(folder / "release")
        config = CONFIG + (GROUP if program == "xtcp" else "")
        (folder / "xtcp.toml").write_text(config.format(release=release, namespace=lab.path), "utf-8")
        (folder / "program.tac").write_text(PROGRAM.format(release=release), "utf-8")
        arguments = ["xtcp"] if program == "xtcp" else ["--python", str(folder / "program.tac")]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                # A shell's job in the background ignores SIGINT, and so does whatever it starts.
                ["env", "--default-signal=INT", *TWISTD, "--nodaemon", "--pidfile=", *arguments],
                cwd=ROOT,
                env=os.environ | {"XTCP_CONFIG": str(folder / "xtcp.toml"), "PYTHONPATH": IMPORTS},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.until(self.accepts)  # by its reactor, which handles signals, too
        self.busy, self.idle = self.connect(), self.connect()
        self.busy.sendall(b"request")
        self.until(self.acknowledged)

    def told_to_end(self) -> Self:
        """SIGTERM; it is at it when this returns."""
        self.process.send_signal(signal.SIGTERM)
        self.until(self.refuses)
        return self

    def connect(self) -> socket.socket:
        made: socket.socket = self.lab.call(socket.create_connection, ("10.77.0.2", 7), 20)
        return made

    def acknowledged(self) -> bool:
        """Whether the server has the request: the kernel holds nothing of it any more."""
        return struct.unpack("i", fcntl.ioctl(self.busy, termios.TIOCOUTQ, bytes(4)))[0] == 0

    def accepts(self) -> bool:
        try:
            self.connect().close()
        except OSError:
            return False
        return True

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


@pytest.fixture(params=["xtcp", "strings"])
def server(request: pytest.FixtureRequest, lab: Lab, tmp_path: Path) -> Iterator[Server]:
    made = Server(lab, tmp_path, request.param)
    yield made
    made.busy.close()
    made.idle.close()
    if made.process.poll() is None:
        made.process.kill()
        made.process.wait()


def test_sigterm_finishes_what_is_in_flight(server: Server) -> None:
    server.told_to_end()
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
    server.told_to_end()
    os.kill(server.process.pid, number)
    assert server.process.wait(60) in (0, -signal.SIGTERM, -signal.SIGINT)
    assert server.busy.recv(100) == b""
    text = server.log.read_text("utf-8")
    assert "XTCP ends at once" in text
    assert "Traceback" not in text


@pytest.mark.parametrize("server", ["xtcp"], indirect=True)
def test_without_its_device_it_fails(server: Server) -> None:
    """What serves nobody and lives on would never be started again."""
    server.lab.run(["ip", "link", "delete", "xtcp0"], check=True)
    assert server.process.wait(60) == 1
    text = server.log.read_text("utf-8")
    assert "XTCP has stopped: xtcp0: the device has gone away" in text
    assert "The process ends with status 1" in text
    assert "Traceback" not in text


def test_without_its_device_it_waits_for_nobody(server: Server) -> None:
    server.told_to_end()
    server.lab.run(["ip", "link", "delete", "xtcp0"], check=True)
    assert server.process.wait(60) in (0, -signal.SIGTERM)
    text = server.log.read_text("utf-8")
    assert "XTCP has stopped: xtcp0: the device has gone away" in text
    assert "status 1" not in text
    assert "Traceback" not in text
