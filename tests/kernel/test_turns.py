"""What a request that comes alone costs in system calls, when its client is on the same machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.burst import CLIENTS, Bursts, bursting

from xtcp_twisted.lab import Lab

APPLICATIONS = ['protocol = "examples.echo.Echo"', 'factory = "benchmarks.applications.echo.EchoFactory"']


@pytest.fixture(params=APPLICATIONS)
def served(lab: Lab, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bursts]:
    with bursting(lab, tmp_path, request.param) as served:
        yield served


@pytest.mark.feature("P35")
def test_a_message_alone_takes_one_turn(served: Bursts) -> None:
    """Reads: the request, that there is no other, and the acknowledgement, which the write makes come.

    The group's descriptor is not touched: at the end of the turn nothing waits.
    """
    before = served.calls()
    for client in served.clients:
        served.alone(client)
    reads, writes = (after - then for after, then in zip(served.calls(), before, strict=True))
    # A client that a busy machine holds up acknowledges later, which takes a turn.
    assert reads <= 3.5 * CLIENTS
    assert writes <= 1.5 * CLIENTS
