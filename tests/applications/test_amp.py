"""AMP: a server that is told its endpoint, and a client in another process, over kernel TCP."""

from __future__ import annotations

import sys

import pytest
from twisted.protocols import amp

from . import amp_sums
from .conftest import HOST, Start

pytestmark = pytest.mark.feature("P33")


def test_calls(start: Start) -> None:
    server = start(amp_sums.__file__, "server", "xtcp:1234")
    seen = server.run(sys.executable, amp_sums.__file__, "client", f"tcp:{HOST}:1234", text=True)
    assert seen.stdout.splitlines() == ["refused: 1001", "150 echoes"]
    server.stop()


def test_a_client_that_dies_in_the_middle_of_a_call(start: Start) -> None:
    server = start(amp_sums.__file__, "server", "xtcp:1234")
    rude = server.connect(1234)
    call = amp.Box({b"_ask": b"1", b"_command": b"Sum", b"a": b"13", b"b": b"81"}).serialize()
    rude.sendall(call + call[:20])
    assert rude.recv(1_000) == amp.Box({b"_answer": b"1", b"total": b"94"}).serialize()
    server.reset(rude)
    seen = server.run(sys.executable, amp_sums.__file__, "client", f"tcp:{HOST}:1234", text=True)
    assert seen.stdout.splitlines()[-1] == "150 echoes"
    server.stop()
