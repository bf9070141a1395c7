"""A server in a lab with its packets captured, and clients of the kernel."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xtcp_twisted.lab import Lab
from xtcp_twisted.lab.server import Server

ROOT = Path(__file__).parents[2]
V4, V6 = "10.77.0.2", "fd77::2"
#: How long a test waits for what is sure to come on any machine, seconds.
PATIENCE_S = 60

CONFIG = """
[link]
name = "xtcp0"
addresses = ["10.77.0.1/16", "fd77::1/64"]
[engine]
addresses = ["10.77.0.2", "fd77::2"]
max_connections = 4096
transmit_buffer = "32 MiB"
arena_limit = "512 MiB"
[service]
drain_s = 0
[[pool]]
name = "im"
receive_buffer = "32 MiB"
[[pool]]
name = "small"
receive_buffer = "256 KiB"
"""

GROUPS = {
    "echo": (7, 'protocol = "examples.echo.Echo"'),
    "plain": (8, 'protocol = "examples.plain_echo.PlainEcho"'),
    "web": (80, 'factory = "examples.web.site"'),
    "chat": (5222, 'protocol = "examples.chat.Chat"'),
    "fails": (9001, 'protocol = "tests.kernel.applications.Fails"'),
    "groupfails": (9002, 'protocol = "tests.kernel.applications.GroupFails"'),
    "batchfails": (9003, 'protocol = "tests.kernel.applications.BatchFails"'),
    "dam": (
        9004,
        'protocol = "tests.kernel.applications.Dam"\npool = "small"\noptions = { weight = 64 }',
    ),
    "relay": (9006, 'protocol = "tests.kernel.applications.Relay"'),
    "brittle": (9010, 'protocol = "tests.kernel.applications.BrittleChat"'),
    "busy": (
        9011,
        """protocol = "examples.chat.Chat"
        arguments = { limits = { lines_per_second = 10_000, burst = 10_000 } }""",
    ),
    "bouncer": (9012, 'factory = "tests.kernel.applications.Bouncer"'),
    "pauses": (9022, 'protocol = "tests.kernel.applications.Pauses"\npool = "small"'),
    "beside": (9023, 'protocol = "examples.plain_echo.PlainEcho"\npool = "small"'),
    "longlines": (
        9013,
        """protocol = "tests.kernel.applications.LongLines"
        options = { ack_policy = "application", guaranteed_bytes = 262_144 }""",
    ),
    "longframes": (
        9014,
        """protocol = "tests.kernel.applications.LongFrames"
        options = { ack_policy = "application", guaranteed_bytes = 262_144 }""",
    ),
    "gate": (9005, 'protocol = "tests.kernel.applications.Gate"'),
}


class Served:
    """A ``twistd xtcp`` beside a lab; its capture is complete when it has stopped.

    :param engine: more lines of the configuration's table of that name.
    :param link: the same for ``[link]``.
    :param service: the same for ``[service]``.
    """

    def __init__(
        self, lab: Lab, folder: Path, engine: str = "", *, link: str = "", service: str = ""
    ) -> None:
        self.lab = lab
        self.capture = folder / "all.pcapng"
        config = folder / "xtcp.toml"
        tables = [
            f'[[group]]\nname = "{name}"\nport = {port}\n{serve}\n' for name, (port, serve) in GROUPS.items()
        ]
        text = CONFIG.replace("[engine]\n", f"{link}\n[engine]\n{engine}\n")
        text = text.replace("[service]\n", f"[service]\n{service}\n")
        config.write_text(text + "".join(tables), "utf-8")
        self.server = Server(lab, config, capture=self.capture, imports=[ROOT])
        self.server.start()

    def connect(self, group: str, host: str = V4, **options: int) -> socket.socket:
        """A connected kernel socket; `options` are set before, by name: ``SO_RCVBUF=4096``."""

        def make() -> socket.socket:
            made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
            made.settimeout(PATIENCE_S)
            for name, value in options.items():
                made.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
            made.connect((host, GROUPS[group][0]))
            return made

        return self.lab.call(make)

    def snapshot(self) -> dict[str, Any]:
        status = self.server.status(PATIENCE_S)
        assert status is not None
        return dict(status["snapshot"])

    def log(self) -> str:
        return (self.lab.directory / "server.log").read_text("utf-8")

    def stop(self) -> Path:
        """Stop the server in order; returns the capture."""
        self.server.stop()
        return self.capture


@pytest.fixture
def served(lab: Lab, tmp_path: Path) -> Served:
    """A server of all test groups."""
    return Served(lab, tmp_path)


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Wait for what another process does, a round trip to it at a time; fails after 60 s."""

    def wait(true: Callable[[], bool]) -> None:
        from time import monotonic

        end = monotonic() + PATIENCE_S
        while not true():
            assert monotonic() < end

    return wait
