"""Endpoint strings in processes of their own, by other people's programs; kernel clients."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.console import TWISTD

from xtcp_twisted.lab import Lab

ROOT = Path(__file__).parents[2]
TWIST = (
    sys.executable,
    "-c",
    "import sys; from twisted.application.twist._twist import Twist; sys.argv[0] = 'twist'; Twist.main()",
)
TRIAL = (
    sys.executable,
    "-c",
    "import sys; from twisted.scripts.trial import run; sys.argv[0] = 'trial'; run()",
)

CONFIG = """
[link]
name = "{name}"
namespace = "{namespace}"
addresses = ["10.{net}.0.1/16", "fd{net}::1/64"]
[engine]
addresses = ["10.{net}.0.2", "fd{net}::2"]
max_connections = 4096
arena_limit = "256 MiB"
[[pool]]
name = "web"
receive_buffer = "4 MiB"
"""


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as made:
        yield made


@pytest.fixture
def folder(lab: Lab, tmp_path: Path) -> Path:
    """With the configuration of a stack in it, and pages to serve."""
    config = CONFIG.format(name="xtcp0", namespace=lab.path, net=77)
    (tmp_path / "xtcp.toml").write_text(config, "utf-8")
    pages = tmp_path / "pages"
    pages.mkdir(mode=0o755)
    (pages / "hello.txt").write_text("hello from afar\n", "utf-8")
    return tmp_path


class Running:
    """A process that serves, from its start to its end."""

    def __init__(self, lab: Lab, folder: Path, *command: str) -> None:
        self.lab = lab
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, stdout=log, stderr=subprocess.STDOUT, env=environment()
            )

    def connect(self, port: int, host: str = "10.77.0.2") -> socket.socket:
        """Connect a kernel socket, as soon as somebody listens."""
        deadline = time.monotonic() + 30
        while True:
            try:
                made: socket.socket = self.lab.call(socket.create_connection, (host, port), 20)
                return made
            except OSError:
                assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.05)

    def ask(self, port: int, request: bytes, host: str = "10.77.0.2") -> bytes:
        with self.connect(port, host) as connection, connection.makefile("rb") as answer:
            connection.sendall(request)
            return answer.read()

    def stop(self) -> str:
        """End it as `kill` does; returns its log."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        return self.log.read_text("utf-8")


GET = b"GET /hello.txt HTTP/1.0\r\n\r\n"


@pytest.mark.parametrize("host", ["10.77.0.2", "fd77::2"])
@pytest.mark.parametrize("program", [TWIST, (*TWISTD, "-n", "--pidfile=")], ids=["twist", "twistd"])
def test_twisted_web_serves_over_it(lab: Lab, folder: Path, program: tuple[str, ...], host: str) -> None:
    running = Running(lab, folder, *program, "web", "--listen", "xtcp:80:pool=web", "--path", "pages")
    answer = running.ask(80, GET, host)
    log = running.stop()
    assert answer.startswith((b"HTTP/1.0 200 OK", b"HTTP/1.1 200 OK"))
    assert answer.endswith(b"hello from afar\n")
    assert "Traceback" not in log
