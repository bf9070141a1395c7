"""Two engines over a network that loses, reorders, repeats and delays: the stream is what was sent."""

from __future__ import annotations

import random
from typing import Any

import pytest
from support.pair import Pair

KiB = 1024

NETWORKS: dict[str, dict[str, Any]] = {
    "clean": {},
    "loss": {"loss": 0.03},
    "heavy loss": {"loss": 0.15},
    "bursts": {"burst": (0.01, 0.3)},
    "reordering": {"reorder": 0.1, "reorder_by": 0.015},
    "duplicates": {"duplicate": 0.1},
    "jitter": {"jitter": 0.02},
    "everything": {"loss": 0.03, "reorder": 0.05, "duplicate": 0.05, "jitter": 0.01},
    "slow line": {"rate": 2_000_000, "queue": 0.05},
    "damage": {"corrupt": 0.02, "truncate": 0.01},
}
GROUPS: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "reno": {"congestion": "reno"},
    "no sack": {"sack": False},
    "no timestamps": {"timestamps": False},
    "plain": {"sack": False, "timestamps": False, "congestion": "reno"},
    "bounded": {"ack_policy": "bounded"},
}


def text(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("options", GROUPS)
def test_the_stream_is_what_was_sent(options: str, network: str, seed: int) -> None:
    """Both ways at once."""
    group = GROUPS[options]
    pair = Pair(seed=seed + 1, near=group, far=group, delay=0.01, **NETWORKS[network])
    down, up = text(seed, 150 * KiB), text(seed + 100, 40 * KiB)
    pair.near.write(down)
    pair.far.write(up)
    pair.run(lambda: len(pair.far.received) >= len(down) and len(pair.near.received) >= len(up))
    assert pair.far.received == down
    assert pair.near.received == up
    pair.run(lambda: not pair.near.engine.snapshot().active and not pair.far.engine.snapshot().active)
    for side in (pair.near, pair.far):
        assert not side.ends
        assert side.engine.snapshot().transmit_buffer.used == 0
    pair.close()
