"""Handshakes over a bad network, from one side and from both at once: one connection, the right bytes."""

from __future__ import annotations

import pytest
from support.pair import Pair

pytestmark = pytest.mark.feature("P09")

#: Every fifth packet is lost, others come twice or in another order.
TERRIBLE = {"loss": 0.2, "duplicate": 0.2, "reorder": 0.3, "delay": 0.02}


@pytest.mark.parametrize("stamps", [False, True], ids=["plain", "timestamps"])
@pytest.mark.parametrize("crossed", [False, True], ids=["one side", "both"])
@pytest.mark.parametrize("seed", range(25))
def test_one_connection_with_all_that_was_said(seed: int, crossed: bool, stamps: bool) -> None:
    """What both say before they know of the connection arrives, too, behind the handshake."""
    options = {"timestamps": stamps}
    pair = Pair(seed=seed + 1, near=options, far=options, crossed=crossed, **TERRIBLE)
    pair.near.write(b"from near" * 500)
    pair.far.write(b"from far" * 500)
    pair.run(lambda: len(pair.far.received) == 4_500 and len(pair.near.received) == 4_000, limit=2_000)
    assert pair.far.received == b"from near" * 500
    assert pair.near.received == b"from far" * 500
    for side in (pair.near, pair.far):
        snapshot = side.engine.snapshot()
        assert (snapshot.connections, snapshot.half_open) == (1, 0)
        assert snapshot.states["ESTABLISHED"] == 1
        assert side.ends == []
    assert pair.near.counters["ActiveOpens"] == 1
    assert pair.far.counters["ActiveOpens"] == crossed
    pair.close()
