"""`twistd xtcp` beside a lab, with clients of the kernel that all ask before it answers the first.

So what a message costs the server does not depend on how fast either side is.
"""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from xtcp_twisted.lab import Lab
from xtcp_twisted.lab.server import Server

ROOT: Final = Path(__file__).parents[2]
REQUEST: Final = bytes(range(100))
PORT = 7
CLIENTS = 200
CONFIG = f"""
[link]
name = "xtcp0"
addresses = ["10.77.0.1/16"]
[engine]
addresses = ["10.77.0.2"]
[[pool]]
name = "p"
[[group]]
name = "echo"
port = {PORT}
"""


class Bursts:
    """`twistd xtcp` beside a lab, with clients of the kernel."""

    def __init__(self, lab: Lab, folder: Path, what: str) -> None:
        config = folder / "xtcp.toml"
        config.write_text(CONFIG + what, "utf-8")
        self.server = Server(lab, config, imports=[ROOT])
        self.server.start()
        self.clients = lab.call(lambda: [self.connect() for _ in range(CLIENTS)])

    @staticmethod
    def connect() -> socket.socket:
        return socket.create_connection(("10.77.0.2", PORT), timeout=60)

    def burst(self) -> None:
        """All ask while the server stands still, so that all requests wait when it goes on."""
        os.kill(self.server.pid, signal.SIGSTOP)
        for client in self.clients:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            client.sendall(REQUEST)
        os.kill(self.server.pid, signal.SIGCONT)
        for client in self.clients:
            assert client.recv(1_000) == REQUEST

    def alone(self, client: socket.socket) -> None:
        """One asks, and its kernel will acknowledge the answer at once."""
        os.kill(self.server.pid, signal.SIGSTOP)
        client.sendall(REQUEST)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        os.kill(self.server.pid, signal.SIGCONT)
        assert client.recv(1_000) == REQUEST

    def calls(self) -> tuple[int, int]:
        """Calls that read, and that write, so far."""
        text = Path(f"/proc/{self.server.pid}/io").read_text("ascii")
        found = dict(re.findall(r"(syscr|syscw): (\d+)", text))
        return int(found["syscr"]), int(found["syscw"])

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self.server.stop()


@contextmanager
def bursting(lab: Lab, folder: Path, what: str) -> Iterator[Bursts]:
    """A server that has had its first burst, until the end of the block."""
    with closing(Bursts(lab, folder, what)) as served:
        served.burst()
        yield served
