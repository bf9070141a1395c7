"""A reader: somebody in a folder, with a shell, who types what a page says."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.pages import ROOT, write_files

from xtcp_twisted.lab import Lab

#: Seconds that anything may take which a busy machine makes slow.
PATIENCE_S = 60


class Reader:
    """Types commands in a folder where the files of a page are, beside a lab."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.folder = folder
        path = [str(Path(sys.executable).parent), os.environ["PATH"]]
        imports = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        self.environment = os.environ | {
            "PATH": os.pathsep.join(path),
            "PYTHONPATH": os.pathsep.join(imports),
            "HOME": str(folder),
            "XDG_STATE_HOME": str(folder),
        }

    def has(self, page: str) -> list[Path]:
        """Write the files of a page into the folder."""
        return write_files(page, self.folder)

    def runs(self, command: str) -> str:
        """A command to its end, in the lab; what it printed."""
        done = self.lab.run(
            ["sh", "-euc", command],
            cwd=self.folder,
            env=self.environment,
            timeout=PATIENCE_S,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return str(done.stdout)

    def starts(self, command: str) -> subprocess.Popen[Any]:
        """A command that goes on, in the lab; folders to import from go before those of the test."""
        words, environment = command.split(), dict(self.environment)
        if words[0].startswith("PYTHONPATH="):
            folders = words.pop(0).partition("=")[2]
            environment["PYTHONPATH"] = os.pathsep.join([folders, environment["PYTHONPATH"]])
        with (self.folder / "log").open("wb") as log:
            return self.lab.popen(
                words, cwd=self.folder, env=environment, stdout=log, stderr=subprocess.STDOUT
            )

    def connects(self, port: int, server: subprocess.Popen[Any], host: str = "10.77.0.2") -> socket.socket:
        """A kernel client, as soon as the server serves."""
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self.lab.call(socket.create_connection, (host, port), PATIENCE_S)
            except OSError:
                assert server.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < end
                time.sleep(0.1)

    def ends(self, server: subprocess.Popen[Any]) -> None:
        """A server, in order; nothing may have gone wrong."""
        server.terminate()
        status = server.wait(PATIENCE_S)
        log = (self.folder / "log").read_text("utf-8")
        assert status in (0, -15), log
        assert "Traceback" not in log
        assert "Unhandled" not in log


@pytest.fixture
def reader(lab: Lab, tmp_path: Path) -> Reader:
    return Reader(lab, tmp_path)


class Actor:
    """Plays transcripts with a client, line by line: what begins with one of these words is typed."""

    def __init__(self, client: socket.socket, *typed: str) -> None:
        self._client = client
        self._typed = typed
        self._heard = b""

    def plays(self, transcript: str) -> None:
        for line in transcript.splitlines():
            if line.startswith(self._typed):
                self._client.sendall(line.encode() + b"\n")
            else:
                assert self._line() == line

    def _line(self) -> str:
        while b"\n" not in self._heard:
            data = self._client.recv(4_096)
            assert data, f"the server has ended the connection after {self._heard!r}"
            self._heard += data
        line, _, self._heard = self._heard.partition(b"\n")
        return line.decode().rstrip("\r")
