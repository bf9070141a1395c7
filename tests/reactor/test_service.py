"""``twistd xtcp`` whole: real kernel clients in a lab, and every way it may refuse to start."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.console import TWISTD

from xtcp_twisted.lab import Lab
from xtcp_twisted.link.tun import TunLink

ROOT = Path(__file__).parents[2]

CONFIG = """
[link]
name = "xtcp0"
addresses = ["10.77.0.1/16", "fd77::1/64"]
[engine]
addresses = ["10.77.0.2", "fd77::2"]
max_connections = 4096
arena_limit = "256 MiB"
[[pool]]
name = "im"
receive_buffer = "4 MiB"
[[group]]
name = "echo"
port = 7
protocol = "examples.echo.Echo"
[[group]]
name = "chat"
port = 5222
protocol = "examples.chat.Chat"
[[group]]
name = "plain"
port = 8
protocol = "examples.plain_echo.PlainEcho"
"""


def twistd(*arguments: str) -> list[str]:
    return [*TWISTD, "--nodaemon", "--pidfile=", "xtcp", *arguments]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as made:
        yield made


def status_at(path: Path) -> dict[str, Any]:
    """What a server says of itself; it answers when its reactor runs, and with it signals."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(str(path))
        with connection.makefile("rb") as answer:
            status: dict[str, Any] = json.loads(answer.read())
    return status


def first_status(process: subprocess.Popen[bytes], path: Path) -> dict[str, Any]:
    """The same of a server that has just been started."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return status_at(path)
        except (FileNotFoundError, ConnectionRefusedError):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)


class Served:
    """A running ``twistd xtcp`` beside a lab."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.status_path = folder / "status"
        config = folder / "xtcp.toml"
        config.write_text(CONFIG, "utf-8")
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                twistd(
                    "--config", str(config), "--namespace", lab.path, "--status-socket", str(self.status_path)
                ),
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        first_status(self.process, self.status_path)

    def connect(self, port: int, host: str = "10.77.0.2") -> socket.socket:
        connection: socket.socket = self.lab.call(socket.create_connection, (host, port), 60)
        return connection

    def status(self) -> dict[str, Any]:
        return status_at(self.status_path)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@pytest.fixture(scope="module")
def served(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    made = Served(lab, tmp_path_factory.mktemp("served"))
    yield made
    made.stop()


@pytest.mark.feature("P33")
@pytest.mark.parametrize("host", ["10.77.0.2", "fd77::2"])
@pytest.mark.parametrize("port", [7, 8])
def test_kernel_clients_are_echoed(served: Served, port: int, host: str) -> None:
    payload = os.urandom(300_000)
    with served.connect(port, host) as connection, connection.makefile("rb") as answer:
        for start in range(0, len(payload), 10_000):
            connection.sendall(payload[start : start + 10_000])
            assert answer.read(10_000) == payload[start : start + 10_000]
        connection.shutdown(socket.SHUT_WR)
        assert answer.read() == b""


def test_kernel_clients_chat(served: Served) -> None:
    with served.connect(5222) as one, served.connect(5222) as two:
        ada, bob = one.makefile("rw", newline="\r\n"), two.makefile("rw", newline="\r\n")
        for user, nick in ((ada, "ada"), (bob, "bob")):
            assert user.readline().startswith("* Welcome")
            user.write(f"/nick {nick}\r\n")
            user.flush()
            assert user.readline() == f"* you are {nick}\r\n"
            assert user.readline().startswith("  should the connection break: /nick")
            assert user.readline().startswith("* you are in #lobby with")
        assert ada.readline() == "* bob has joined #lobby\r\n"
        bob.write("hello\r\n")
        bob.flush()
        assert bob.readline() == "* said to 1\r\n"
        assert ada.readline() == "#lobby <bob> hello\r\n"


@pytest.mark.feature("P04")
def test_many_connections_cost_no_descriptor(served: Served) -> None:
    before = served.status()["descriptors"]
    connections = [served.connect(7) for _ in range(200)]
    status = served.status()
    assert status["descriptors"] == before
    assert before < 40
    assert status["snapshot"]["connections"] >= 200
    for connection in connections:
        connection.close()


def test_the_status_socket_is_for_its_owner(served: Served) -> None:
    assert stat.S_IMODE(served.status_path.stat().st_mode) == 0o600
    assert served.status()["pid"] == served.process.pid


def test_a_port_that_nobody_serves_refuses(served: Served) -> None:
    with pytest.raises(ConnectionRefusedError):
        served.connect(9)


def test_it_stops_in_order(served: Served) -> None:
    """SIGTERM: clients see the end of the stream, the device and the socket go."""
    with served.connect(7) as connection:
        # To a client a connection is there before the server knows of it; this one is to be a whole one.
        connection.sendall(b"x")
        assert connection.recv(1) == b"x"
        assert served.stop() in (0, -signal.SIGTERM)
        connection.settimeout(60)
        assert connection.recv(1) == b""
    assert not served.status_path.exists()
    assert "Traceback" not in served.log.read_text()


# -- refusals ------------------------------------------------------------------------------------


def run(folder: Path, *arguments: str, config: str = CONFIG) -> subprocess.CompletedProcess[str]:
    file = folder / "xtcp.toml"
    file.write_text(config, "utf-8")
    return subprocess.run(
        twistd("--config", str(file), *arguments),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_missing_namespace_is_said_in_one_line(tmp_path: Path) -> None:
    done = run(tmp_path, "--namespace", str(tmp_path / "none"))
    assert done.returncode == 1
    assert "XTCP cannot start:" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_device_in_use_is_said_in_one_line(tmp_path: Path, lab: Lab) -> None:
    folder = tmp_path / "first"
    folder.mkdir()
    first = Served(lab, folder)
    try:
        done = run(tmp_path, "--namespace", lab.path)
    finally:
        first.stop()
    assert done.returncode == 1
    assert "XTCP cannot start: xtcp0" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_bad_configuration_has_no_traceback(tmp_path: Path) -> None:
    done = run(tmp_path, config=CONFIG.replace("port = 8", "port = 7"))
    text = done.stdout + done.stderr
    assert "group[2].port: 7 is taken by the group 'echo'" in text
    assert "Traceback" not in text


def test_without_a_device_a_configuration_can_be_tried(tmp_path: Path) -> None:
    """link.kind = "memory" runs without any right."""
    status = tmp_path / "status"
    file = tmp_path / "xtcp.toml"
    file.write_text(CONFIG, "utf-8")
    arguments = ["--config", str(file), "--set", "link.kind=memory", "--status-socket", str(status)]
    with subprocess.Popen(twistd(*arguments), cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        try:
            assert first_status(process, status)["pid"] == process.pid
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == -signal.SIGTERM
        finally:
            process.kill()


def test_an_engine_address_that_the_host_has_itself_is_refused(tmp_path: Path) -> None:
    """The configuration cannot know of it: the device was there before, with addresses of its own."""
    with Lab() as lab:
        lab.call(TunLink, "xtcp0", addresses=["10.77.0.2/16"], persist=True).close()
        done = run(tmp_path, "--namespace", lab.path)
    assert done.returncode == 1
    assert "the host has the address 10.77.0.2 on this device" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
