"""Two engines whose links cut and merge segments: over any network, the stream is what was sent."""

from __future__ import annotations

import random
from typing import Any

import pytest
from netsim.test_bad_network import GROUPS, NETWORKS
from support.pair import Pair

KiB = 1024


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("options", GROUPS)
def test_the_stream_is_what_was_sent(options: str, network: str, seed: int) -> None:
    """Both ways at once; the network loses packets, not super-segments."""
    group: dict[str, Any] = {"offload": True, **GROUPS[options]}
    pair = Pair(seed=seed + 1, near=group, far=group, delay=0.01, **NETWORKS[network])
    down = random.Random(seed).randbytes(150 * KiB)
    up = random.Random(seed + 100).randbytes(40 * KiB)
    pair.near.write(down)
    pair.far.write(up)
    pair.run(lambda: len(pair.far.received) >= len(down) and len(pair.near.received) >= len(up))
    assert pair.far.received == down
    assert pair.near.received == up
    pair.run(lambda: not pair.near.engine.snapshot().active and not pair.far.engine.snapshot().active)
    assert pair.far.wire.cut
    assert pair.far.wire.merged or network == "slow line"
    for side in (pair.near, pair.far):
        assert not side.ends
        assert side.engine.snapshot().transmit_buffer.used == 0
    pair.close()
