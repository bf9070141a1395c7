"""``twistd xtcp`` for a lab: its TUN device is there, the process stays in the host's network.

So the engine serves the lab's clients, while what the server listens on
otherwise (a console on loopback) is reachable from the host, unless the server
is told to run inside.  Knows the command
line and the status socket of ``twistd xtcp``, nothing of engines.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import xtcp_twisted
from xtcp_twisted.errors import ConfigurationError, ResourceError
from xtcp_twisted.lab.lab import Lab
from xtcp_twisted.reactor.settings import ConsoleSettings

#: A server that has not answered by then is given up, seconds.
START_S: Final = 60.0
#: How long it may take to end in order, seconds.
STOP_S: Final = 30.0
#: Lines of its log that explain a dead server.
LAST_LINES: Final = 15

_TWISTD: Final = "import sys; from twisted.scripts.twistd import run; sys.argv[0] = 'twistd'; run()"


class ServerDied(ResourceError):
    """The server process ended by itself; the text has its last log lines."""


class Server:
    """One ``twistd xtcp`` process whose engine serves `lab`.

    :param config: its configuration, TOML.
    :param capture: write all packets of the engine to this pcapng file.
    :param imports: folders in which the factories of the configuration are looked for.
    :param console: its console, whatever the configuration says; None: it has none.
    :param inside: run it in the lab's network itself, so that its console is there, too.
    """

    def __init__(
        self,
        lab: Lab,
        config: Path,
        *,
        capture: Path | None = None,
        imports: Sequence[Path] = (),
        console: ConsoleSettings | None = None,
        inside: bool = False,
    ) -> None:
        if not config.is_file():
            raise ConfigurationError(
                f"there is no configuration {config}; give one with --config FILE, or start from a folder"
                " that has examples/xtcp.toml"
            )
        self._lab = lab
        self._inside = inside
        self._status = lab.directory / "status"
        self._log = lab.directory / "server.log"
        self._command = [sys.executable, "-P", "-c", _TWISTD, "--nodaemon", "--pidfile="]
        self._command += ["xtcp", "--config", str(config.resolve())]
        if not inside:
            self._command += ["--namespace", lab.path]
        self._command += ["--status-socket", str(self._status)]
        if capture is not None:
            self._command += ["--capture", str(capture.resolve())]
        if console is None:
            self._command += ["--no-console"]
        else:
            self._command += ["--console", console.place]
            self._command += ["--set", f"console.token_file={console.token_path.absolute()}"]
        self._imports = [Path(xtcp_twisted.__file__).parents[1], *imports]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Start the process and wait until it answers, or `cancelled` says so.

        :raises ConfigurationError: its configuration is wrong; the text says all that is.
        :raises ServerDied: it ended instead, or does not answer.
        """
        environment = self._environment()
        with self._log.open("wb") as log:
            self._process = self._lab.popen(
                self._command,
                inside=self._inside,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                # A Ctrl-C is for the caller, who ends the server after its clients.
                start_new_session=True,
            )
        try:
            self._await_answer(cancelled)
        except ServerDied:
            self._check_configuration(environment)
            raise

    def _environment(self) -> dict[str, str]:
        path = [str(folder.resolve()) for folder in self._imports] + [os.environ.get("PYTHONPATH", "")]
        return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path))}

    def _await_answer(self, cancelled: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_S
        while self.status() is None and not cancelled():
            if time.monotonic() > deadline:
                raise ServerDied(
                    f"the server does not answer after {START_S:g} s; its log ends:\n{self.tail()}"
                )
            time.sleep(0.05)

    def _check_configuration(self, environment: dict[str, str]) -> None:
        """Raise ConfigurationError if that is why it died; its log has it below twistd's whole help."""
        check = subprocess.run(
            [*self._command, "--check-config"],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        if check.returncode:
            raise ConfigurationError(check.stderr.strip()) from None

    def stop(self) -> None:
        """End the process in order and wait for that; `start` starts another one.

        :raises subprocess.TimeoutExpired: it does not end.
        """
        assert self._process is not None
        self._process.terminate()
        self._process.wait(STOP_S)

    @property
    def pid(self) -> int:
        """Of the server process."""
        assert self._process is not None
        return self._process.pid

    def check(self) -> None:
        """See whether the process runs.

        :raises ServerDied: it does not.
        """
        assert self._process is not None
        status = self._process.poll()
        if status is not None:
            how = f"with exit status {status}" if status >= 0 else f"by signal {-status}"
            raise ServerDied(f"the server ended {how}; its log ends:\n{self.tail()}")

    def status(self, patience_s: float = 2.0) -> dict[str, Any] | None:
        """What the server says about itself (`time`, `pid`, `rss_bytes`, `descriptors`,
        `snapshot`), or None while it does not answer.

        :param patience_s: a server that is busy for longer does not answer, seconds.
        :raises ServerDied: the process has ended.
        """
        self.check()
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(patience_s)
                connection.connect(str(self._status))
                with connection.makefile("rb") as answer:
                    # To the end: then the server has closed its side, and the next status does not count it.
                    status: dict[str, Any] = json.loads(answer.read())
        except (OSError, ValueError):
            return None
        return status

    def tail(self) -> str:
        """The last lines of the log, indented."""
        lines = self._log.read_text(errors="replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-LAST_LINES:])
