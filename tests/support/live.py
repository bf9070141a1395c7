"""A ``twistd xtcp`` with its console, and kernel clients that give it something to show.

Knows the lab's server, its status socket and the console's links; knows no page.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from xtcp_console import invitation
from xtcp_twisted.lab import Lab
from xtcp_twisted.lab.fleet import Fleet, Target
from xtcp_twisted.lab.server import Server
from xtcp_twisted.reactor.settings import ConsoleSettings

ROOT = Path(__file__).parents[2]
ENGINE = "10.77.0.2"
ECHO, HOARD, MARKUP_PORT = 7, 8, 9
#: A group may be called anything without a space.
MARKUP = "<img/src/onerror=alert(1)>"
CLIENTS, REQUESTS_PER_S = 40, 80
HOARD_BYTES = 1 << 20

CONFIG = f"""
[link]
name = "xtcp0"
addresses = ["10.77.0.1/16"]
[engine]
addresses = ["{ENGINE}"]
max_connections = 4096
transmit_buffer = "4 MiB"
arena_limit = "256 MiB"
[[pool]]
name = "talk"
receive_buffer = "4 MiB"
[[pool]]
name = "hoard"
receive_buffer = {HOARD_BYTES}
[[group]]
name = "echo"
port = {ECHO}
pool = "talk"
protocol = "examples.echo.Echo"
[[group]]
name = "hoard"
port = {HOARD}
pool = "hoard"
protocol = "tests.console.browser.applications.Hoard"
[[group]]
name = "{MARKUP}"
port = {MARKUP_PORT}
pool = "talk"
protocol = "examples.echo.Echo"
"""


@contextmanager
def reserved_port() -> Iterator[int]:
    """A TCP port of loopback that nobody else is given meanwhile.

    It is bound and does not listen.  The kernel then gives it neither to who asks for any port nor to who
    connects, and a server that names it may listen there, since servers set SO_REUSEADDR as well.
    """
    with socket.socket() as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


class Console:
    """A ``twistd xtcp`` with its console; `start` again after `stop` takes the same port."""

    def __init__(self, lab: Lab, port: int, config: str = CONFIG) -> None:
        self.lab = lab
        self.settings = ConsoleSettings(port=port, token_file=str(lab.directory / "console-token"))
        self.url = f"http://{self.settings.place}"
        path = lab.directory / "xtcp.toml"
        path.write_text(config, "utf-8")
        self._server = Server(lab, path, imports=[ROOT], console=self.settings)

    def start(self) -> None:
        self._server.start()

    @property
    def pid(self) -> int:
        return self._server.pid

    def stop(self) -> None:
        """End the process in order and wait for that."""
        self._server.stop()

    @property
    def token(self) -> str:
        """What opens it."""
        return self.settings.token_path.read_text("ascii").strip()

    def link(self) -> str:
        """A one-time sign-in link, made by somebody who may read the token file."""
        return invitation.link(self.settings)

    def status(self) -> dict[str, Any]:
        """What the server says over its status socket."""
        status = self._server.status(60)
        assert status is not None
        return status

    def pool(self, name: str) -> dict[str, Any]:
        """One pool of the engine's snapshot."""
        (pool,) = (pool for pool in self.status()["snapshot"]["pools"] if pool["name"] == name)
        return dict(pool)

    @contextmanager
    def clients(self, count: int, rate: float, talk: str = "echo", port: int = ECHO) -> Iterator[None]:
        """So many more kernel clients, who ask `rate` times a second together; none may see an error."""
        with Fleet(self.lab, [Target(talk, ENGINE, port)], clients=count, rate=rate) as fleet:
            ended = threading.Event()

            def listen() -> None:
                """Take in what the workers report; else they would wait for that before long."""
                while not ended.is_set():
                    fleet.update(0.2)

            listener = threading.Thread(target=listen)
            listener.start()
            try:
                yield
            finally:
                ended.set()
                listener.join()
            assert fleet.finish().errors == {}

    def connect(self, port: int, kernel_bytes: int | None = None) -> socket.socket:
        """A kernel client that never waits; closing it gives up what it has sent.

        :param kernel_bytes: what its kernel may keep for it each way; None: as much as it likes.
        """

        def make() -> socket.socket:
            made = socket.socket()
            made.settimeout(60)
            if kernel_bytes is not None:
                for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                    made.setsockopt(socket.SOL_SOCKET, option, kernel_bytes)
            made.connect((ENGINE, port))
            made.setblocking(False)
            # A reset instead of a FIN, whatever the engine has not taken in.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return made

        return self.lab.call(make)


@contextmanager
def running(config: str = CONFIG) -> Iterator[Console]:
    """A console in a lab of its own.

    :raises ResourceError: the rights for a lab are missing.
    """
    with reserved_port() as port, Lab() as lab:
        console = Console(lab, port, config)
        console.start()
        yield console
