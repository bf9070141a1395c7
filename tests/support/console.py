"""A whole console to knock at: ``twistd xtcp`` in a process, on a link that leads nowhere."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xtcp_console.links import Links

ROOT = Path(__file__).parents[2]
TWISTD: tuple[str, ...] = (
    sys.executable,
    "-c",
    "import sys; from twisted.scripts.twistd import run; sys.argv[0] = 'twistd'; run()",
)
#: How long anything may take that should be at once, on a busy machine, seconds.
PATIENCE_S = 60.0

CONFIG = """
[link]
kind = "memory"
[engine]
addresses = ["10.77.0.2"]
max_connections = 4096
arena_limit = "256 MiB"
transmit_buffer = "4 MiB"
[console]
port = 0
token_file = "{token_file}"
[[pool]]
name = "im"
receive_buffer = "4 MiB"
[[group]]
name = "echo"
port = 7
protocol = "twisted.protocols.wire.Echo"
"""


@dataclass(frozen=True)
class Answer:
    """Of one request."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Sent:
    """One server-sent event."""

    id: str | None
    event: str
    data: str


class Console:
    """The process, once its console listens.

    :param folder: for its configuration, token and log.
    :param arguments: further ones of ``twistd xtcp``.
    :param twistd: the program.
    :param options: of its process.
    """

    def __init__(
        self, folder: Path, *arguments: str, twistd: Sequence[str | Path] = TWISTD, **options: Any
    ) -> None:
        self.token_file = folder / "console-token"
        self.config = folder / "xtcp.toml"
        self.config.write_text(CONFIG.format(token_file=self.token_file), "utf-8")
        self._log = folder / "log"
        command = [*twistd, "--nodaemon", "--pidfile=", "xtcp", "--config", self.config, *arguments]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                **{"cwd": ROOT, **options},
            )
        self.address, port = self._announced()
        self.port = int(port)
        self.host = f"[{self.address}]:{port}" if ":" in self.address else f"{self.address}:{port}"

    def _announced(self) -> tuple[str, str]:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            found = re.search(r"Console: http://\[?([0-9a-f.:]+?)\]?:(\d+)/ ", self.log())
            if found:
                return found[1], found[2]
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)

    def log(self) -> str:
        return self._log.read_text("utf-8", "replace")

    def rss(self) -> int:
        """Bytes of memory that the process has."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf(
            "SC_PAGE_SIZE"
        )

    def stop(self) -> int:
        """End it in order; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    # -- as a browser --------------------------------------------------------------

    def connect(self) -> socket.socket:
        return socket.create_connection((self.address, self.port), PATIENCE_S)

    def request(self, method: str, path: str, body: str | None = None, **headers: str) -> Answer:
        """Send one request; header names are written with underscores: ``sec_fetch_site="none"``."""
        connection = http.client.HTTPConnection(self.address, self.port, timeout=PATIENCE_S)
        try:
            named = {name.replace("_", "-").title(): value for name, value in headers.items()}
            connection.request(method, path, body, {"Host": self.host, **named})
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def link(self) -> str:
        """Path of a new sign-in link."""
        return f"/login/{Links(self.token_file.read_text().strip()).make()}"

    def sign_in(self) -> str:
        """The cookie of a new session."""
        answer = self.request("GET", self.link())
        assert answer.status == 303, answer
        return answer.headers["set-cookie"].partition(";")[0]

    @contextmanager
    def stream(self, cookie: str = "", path: str = "/stream", **headers: str) -> Iterator[Stream]:
        """An answer to a request for the event stream, left open."""
        connection = http.client.HTTPConnection(self.address, self.port, timeout=PATIENCE_S)
        named = {name.replace("_", "-").title(): value for name, value in headers.items()}
        try:
            connection.request("GET", path, headers={"Host": self.host, "Cookie": cookie, **named})
            with connection.getresponse() as answer:
                yield Stream(answer)
        finally:
            connection.close()


class Stream:
    """Reads server-sent events."""

    def __init__(self, answer: Any) -> None:
        self.status: int = answer.status
        self.headers = {name.lower(): value for name, value in answer.getheaders()}
        self._answer = answer

    def __iter__(self) -> Iterator[Sent]:
        fields: dict[str, str] = {}
        for line in self._answer:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name:
                fields[name] = value
            elif "event" in fields:
                yield Sent(fields.get("id"), fields["event"], fields["data"])
                fields = {}
            else:
                fields = {}

    def next(self, event: str = "tick") -> Sent:
        """The next one of this kind."""
        return next(sent for sent in self if sent.event == event)
