"""``twist words --irc-port=xtcp:6667``: Twisted's IRC service, and Twisted's IRC client over kernel TCP."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support.patience import PATIENCE_S

from .conftest import HOST, ROOT, Application, Start

pytestmark = pytest.mark.feature("P33")


class Talker:
    """A person with Twisted's IRC client."""

    def __init__(self, server: Application, name: str) -> None:
        command = (sys.executable, "-m", "tests.applications.irc_client")
        self.process = server.lab.popen(
            [*command, name, f"word-of-{name}", f"tcp:{HOST}:6667"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.hears() == "signed on"

    def says(self, to: str, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{to} {text}\n")
        self.process.stdin.flush()

    def hears(self) -> str:
        assert self.process.stdout is not None
        return str(self.process.stdout.readline().rstrip("\n"))

    def leaves(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(PATIENCE_S) == 0
        assert self.process.stdout is not None
        self.process.stdout.close()


def test_two_people_and_one_whose_line_breaks(start: Start) -> None:
    people = ":".join(f"{name}:word-of-{name}" for name in ("alice", "bob", "carol"))
    server = start("twist", "words", "--irc-port=xtcp:6667", f"--auth=memory:{people}", capture=True)
    alice, bob = Talker(server, "alice"), Talker(server, "bob")
    alice.says("bob", "hello")
    assert bob.hears() == "alice hello"
    bob.says("alice", "and hello to you")
    assert alice.hears() == "bob and hello to you"
    for n in range(400):
        alice.says("bob", f"{n} " + "x" * 300)
    assert [bob.hears().split()[1] for _ in range(400)] == [str(n) for n in range(400)]

    carol = server.connect(6667)
    carol.sendall(b"PASS word-of-carol\r\nNICK carol\r\n")
    with carol.makefile("r") as lines:
        assert any("connected to Twisted IRC" in line for line in lines)
    assert (server.snapshot() or {})["connections"] == 3
    carol.sendall(b"PRIVMSG bob :I am ab")
    server.reset(carol, left=2)
    alice.says("bob", "are you there?")
    assert bob.hears() == "alice are you there?"
    alice.leaves()
    bob.leaves()
    server.stop()
