"""``twist manhole --sshPort=xtcp:22``: Twisted's Conch, and OpenSSH's client."""

from __future__ import annotations

import os
import select
import subprocess
import time
from pathlib import Path

import pytest
from support.capture import program
from support.patience import PATIENCE_S

from .conftest import HOST, Application, Start

pytestmark = pytest.mark.feature("P33")

CONTROL_D = b"\x04"
#: What Conch logs as an error when a client says it.
GOODBYE = "disconnected by user"
PASSWORD = "open sesame"


def started(start: Start, folder: Path) -> Application:
    (folder / "people").write_text(f"alice:{PASSWORD}\n")
    asker = folder / "askpass"
    asker.write_text(f"#!/bin/sh\necho {PASSWORD}\n")
    asker.chmod(0o700)
    return start(
        "twist",
        "manhole",
        "--sshPort=xtcp:22",
        f"--passwd={folder / 'people'}",
        f"--sshKeyDir={folder / 'keys'}",
        "--sshKeySize=2048",
    )


class Terminal:
    """Somebody at the prompt of the manhole."""

    def __init__(self, server: Application) -> None:
        command = [program("ssh"), "-tt", "-F", "none", "-l", "alice"]
        for setting in (
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "PubkeyAuthentication=no",
            "LogLevel=ERROR",
        ):
            command += ["-o", setting]
        self.process = server.lab.popen(
            [*command, HOST],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"SSH_ASKPASS": str(server.folder / "askpass"), "SSH_ASKPASS_REQUIRE": "force"},
        )
        assert self.process.stdout is not None
        self._output = self.process.stdout.fileno()
        self.hears(b">>> ")

    def types(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def hears(self, wanted: bytes) -> bytes:
        """What is shown, up to and with what is wanted."""
        shown = b""
        end = time.monotonic() + PATIENCE_S
        while wanted not in shown:
            assert select.select([self._output], [], [], end - time.monotonic())[0], shown[-1_000:]
            part = os.read(self._output, 65_536)
            assert part, shown[-1_000:]
            shown += part
        return shown

    def leaves(self) -> None:
        self.types(CONTROL_D)
        # A manhole tells no exit status, which ssh calls -1; over any transport.
        assert self.process.wait(PATIENCE_S) == 255
        self.close()

    def close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


def test_a_conversation(start: Start, tmp_path: Path) -> None:
    server = started(start, tmp_path)
    alice = Terminal(server)
    alice.types(b"print(111 * 111)\r")
    alice.hears(b"12321")
    # A megabyte on the screen, and then its end.
    alice.types(b"print('=' * 1_000_000 + str(222 * 222))\r")
    assert alice.hears(b"49284").count(b"=") >= 1_000_000
    alice.leaves()
    server.stop(GOODBYE)


def test_terminals_that_die(start: Start, tmp_path: Path) -> None:
    """One while it is shown much, one that has only said which SSH it speaks; a third one is served."""
    server = started(start, tmp_path)
    alice = Terminal(server)
    alice.types(b"print('=' * 20_000_000)\r")
    alice.hears(b"=" * 1_000)
    alice.process.kill()
    alice.process.wait(PATIENCE_S)
    alice.close()
    server.emptied()
    rude = server.connect(22)
    assert rude.recv(8) == b"SSH-2.0-"
    rude.sendall(b"SSH-2.0-rude\r\n\0\0\1")
    server.reset(rude)
    third = Terminal(server)
    third.types(b"print(111 * 111)\r")
    third.hears(b"12321")
    third.leaves()
    server.stop(GOODBYE)
