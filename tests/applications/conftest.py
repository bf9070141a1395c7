"""An application in a lab, found by its endpoint string, and what its clients are started with."""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from support.capture import WRONG, program, tshark
from support.patience import PATIENCE_S, until

from xtcp_twisted.lab import Lab

ROOT = Path(__file__).parents[2]
HOST, HOST_V6 = "10.77.0.2", "fd77::2"

CONFIG = """
[link]
addresses = ["10.77.0.1/16", "fd77::1/64"]
[engine]
addresses = ["10.77.0.2", "fd77::2"]
max_connections = 4096
transmit_buffer = "32 MiB"
arena_limit = "512 MiB"
[[pool]]
name = "im"
receive_buffer = "32 MiB"
"""

LINGER_RESET = struct.pack("ii", 1, 0)
#: What a log, of text or of JSON, has only when something went wrong.
ERRORS = re.compile(r'Traceback|Unhandled|#(error|critical)\]|"name": "(error|critical)"')


def configured(folder: Path, capture: Path | None = None, configuration: str = CONFIG) -> dict[str, str]:
    """The environment of a process in this folder, in which ``xtcp.toml`` says what its stack is."""
    if capture is not None:
        configuration = configuration.replace("[link]\n", f'[link]\ncapture = "{capture}"\n')
    (folder / "xtcp.toml").write_text(configuration, "utf-8")
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


class Application:
    """A process that runs `command` in the lab, with a configuration from which a stack is started.

    :param capture: keep its packets, to be judged when it stops; not for megabytes.
    :param configuration: its ``xtcp.toml``.
    """

    def __init__(
        self, lab: Lab, folder: Path, *command: str, capture: bool = False, configuration: str = CONFIG
    ) -> None:
        self.lab = lab
        self.folder = folder
        self._capture = folder / "all.pcapng" if capture else None
        self._status = lab.directory / "status"
        self._log = folder / "application.log"
        with self._log.open("wb") as log:
            self._process = lab.popen(
                [sys.executable, "-m", "tests.applications.launch", str(self._status), *command],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=configured(folder, self._capture, configuration),
            )
        until(self.snapshot, "the application does not start")

    def snapshot(self) -> dict[str, Any] | None:
        """Of its engine; None while it has none."""
        status = self.status()
        return status and dict(status["snapshot"])

    def status(self) -> dict[str, Any] | None:
        """What `xtcp_twisted.reactor.status` tells; None while there is no engine."""
        assert self._process.poll() is None, self.log()
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(PATIENCE_S)
                connection.connect(str(self._status))
                with connection.makefile("rb") as answer:
                    return dict(json.loads(answer.readline()))
        except (OSError, ValueError):
            return None

    def log(self) -> str:
        return self._log.read_text("utf-8")

    def connect(self, port: int, host: str = HOST) -> socket.socket:
        """A socket of the kernel."""
        return self.lab.call(socket.create_connection, (host, port), PATIENCE_S)

    def reset(self, connection: socket.socket, left: int = 0) -> None:
        """Close by RST, as a client does that dies, and see that the engine has noticed; others are left."""
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        connection.close()
        self.emptied(left)

    def emptied(self, left: int = 0) -> None:
        """See that no more than so many connections are left in the engine."""
        until(
            lambda: (self.snapshot() or {}).get("connections") == left,
            f"it takes too long until {left} connections are left",
        )

    def run(self, *command: str, **options: Any) -> subprocess.CompletedProcess[Any]:
        """A client program in the lab, to its end; it must be content."""
        command = (program(command[0]), *command[1:])
        done = self.lab.run(command, timeout=PATIENCE_S, capture_output=True, cwd=self.folder, **options)
        assert done.returncode == 0, (done.stderr, self.log())
        return done

    def stop(self, *expected: str) -> None:
        """End it in order: no connection is left, the log has no error but these, no packet was wrong."""
        self.emptied()
        self._process.terminate()
        assert self._process.wait(PATIENCE_S) in (0, -15), self.log()
        wrong = [line for line in self.log().splitlines() if ERRORS.search(line)]
        assert [line for line in wrong if not any(text in line for text in expected)] == []
        if self._capture is not None:
            assert tshark(self._capture, WRONG) == []


Start = Callable[..., Application]


@pytest.fixture
def start(lab: Lab, tmp_path: Path) -> Start:
    """Starts an application: its command line after the name of its program."""

    def launched(*command: str, **options: Any) -> Application:
        return Application(lab, tmp_path, *command, **options)

    return launched


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Whom clients trust."""
    return trustme.CA()


@pytest.fixture
def certificates(authority: trustme.CA, tmp_path: Path) -> Path:
    """A folder with the certificate and key of the engine's address; ``ca.pem`` beside it."""
    folder = tmp_path / "certificates"
    folder.mkdir()
    leaf = authority.issue_cert("xtcp.example", HOST, HOST_V6)
    leaf.private_key_and_cert_chain_pem.write_to_path(str(folder / "xtcp.pem"))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return folder
