"""Messages of real clients among many open connections (P35); what they cost is the benchmark's to say."""

from __future__ import annotations

import pytest

from benchmarks.loadgen import LoadGenerator
from benchmarks.servers import SERVERS
from xtcp_twisted.lab import Lab

CONNECTIONS, KILOBYTE = 2_000, {"size": 1_024}


@pytest.mark.feature("P35")
def test_every_message_is_answered_rightly(lab: Lab) -> None:
    """1 KB each way, a hundred on the way at any time, each on any of the connections."""
    server = SERVERS["xtcp-group"]
    with (
        server.running(lab, CONNECTIONS) as pid,
        LoadGenerator(server.target, watch=pid, popen=lab.popen) as clients,
    ):
        opened = clients.step("open", total=CONNECTIONS, **KILOBYTE)
        asked = clients.step("echo", pick="random", inflight=100, seconds=0.5, warmup=0, **KILOBYTE)
    assert (opened.open, opened.errors) == (CONNECTIONS, 0)
    assert (asked.open, asked.errors) == (CONNECTIONS, 0)
    assert asked.messages > 100
