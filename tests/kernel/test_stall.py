"""A server process that gets no processor for a while, and kernel clients that ask again meanwhile."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kernel.conftest import Served
from xtcp_twisted.lab import Lab

Eventually = Callable[[Callable[[], bool]], None]

CLIENTS = 300
REQUEST = b"x" * 1_000
#: On a busy machine a few clients' own acknowledgements are late.
FEW = CLIENTS // 10


def retransmitted(lab: Lab) -> int:
    """Segments that the clients' kernel has sent again."""
    lines = Path(f"/proc/{lab.keeper_pid}/net/snmp").read_text("ascii").splitlines()
    names, values = (line.split() for line in lines if line.startswith("Tcp:"))
    return int(values[names.index("RetransSegs")])


@pytest.fixture
def served(lab: Lab, tmp_path: Path) -> Served:
    """A server that takes in two packets a turn, so that it is long about what waits for it."""
    return Served(lab, tmp_path, engine="packets_per_poll = 2")


@pytest.mark.feature("P22")
@pytest.mark.parametrize("group", ["echo", "plain"])
def test_what_waits_is_answered_once(served: Served, group: str, eventually: Eventually) -> None:
    """Requests, their copies, and behind them the acknowledgements of the answers."""
    connections = [served.connect(group) for _ in range(CLIENTS)]
    for connection in connections:
        connection.sendall(b"first")
        assert connection.recv(100) == b"first"
    before = served.snapshot()["counters"]

    def copies() -> int:
        return int(served.snapshot()["counters"]["TCPDuplicates"] - before["TCPDuplicates"])

    sent_again = retransmitted(served.lab)
    os.kill(served.server.pid, signal.SIGSTOP)
    try:
        for connection in connections:
            connection.sendall(REQUEST)
        eventually(lambda: retransmitted(served.lab) >= sent_again + 2 * CLIENTS)
    finally:
        os.kill(served.server.pid, signal.SIGCONT)
    for connection in connections:
        answer = b""
        while len(answer) < len(REQUEST):
            answer += connection.recv(len(REQUEST))
        assert answer == REQUEST
    eventually(lambda: copies() >= 2 * CLIENTS)
    after = served.snapshot()["counters"]
    for connection in connections:
        connection.close()
    grown = {name: after[name] - before[name] for name in after}
    assert grown["AnswersReplayed"] <= FEW
    assert grown["RetransSegs"] <= FEW
    assert "Traceback" not in served.log()
