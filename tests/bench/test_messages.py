"""What a message costs the server when real clients send it (P35), as the benchmark measures it."""

from __future__ import annotations

import pytest

from benchmarks.loadgen import LoadGenerator, Outcome
from benchmarks.servers import SERVERS
from xtcp_twisted.lab import Lab
from xtcp_twisted.tcp import layout

CONNECTIONS, SIZE = 2_000, {"size": 1_024}
#: Rounds until one is quiet enough: others may use this machine.
ROUNDS = 5
#: Of a core, which 30,000 messages a second leave each of them.
LIMIT_US = 1e6 / 30_000


@pytest.mark.feature("P35")
@pytest.mark.skipif(layout.DEBUG, reason="the debug build checks itself")
def test_a_message_costs_less_than_a_thirty_thousandth_of_a_second(lab: Lab) -> None:
    """1 KB each way, each on any of the connections, the kernel's part of a TUN device included.

    Every answer is right, and one core could serve 30,000 a second.
    """
    server = SERVERS["xtcp-group"]
    rounds: list[Outcome] = []
    with (
        server.running(lab, CONNECTIONS) as pid,
        LoadGenerator(server.target, watch=pid, popen=lab.popen) as clients,
    ):
        opened = clients.step("open", total=CONNECTIONS, **SIZE)
        assert (opened.open, opened.errors) == (CONNECTIONS, 0)
        while not rounds or (rounds[-1].server_cpu_us >= LIMIT_US and len(rounds) < ROUNDS):
            rounds.append(
                clients.step("echo", pick="random", inflight=100, size=1_024, seconds=0.5, warmup=0.1)
            )
    assert [outcome.errors for outcome in rounds] == [0] * len(rounds)
    assert 0 < rounds[-1].server_cpu_us < LIMIT_US, [outcome.server_cpu_us for outcome in rounds]
