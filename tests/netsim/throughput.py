"""The table of loss x round trip: what one bulk transfer reaches, on virtual time.

``python tests/netsim/throughput.py`` prints it; ``--write`` makes it the snapshot
that the test compares with.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

from support.pair import Pair

SNAPSHOT = Path(__file__).with_suffix(".txt")
SIZE = 1 << 20
RATE = 100_000_000
SEEDS = range(1, 6)
LOSSES = (0.0, 0.001, 0.01, 0.03, 0.1)
ROUND_TRIPS = (0.01, 0.05, 0.2)
GROUPS: dict[str, dict[str, Any]] = {
    "SACK, CUBIC": {},
    "SACK, Reno": {"congestion": "reno"},
    "NewReno without SACK": {"sack": False, "congestion": "reno"},
}


def throughput(options: dict[str, Any], loss: float, round_trip: float) -> float:
    """Mean of all seeds, kB/s: 1 MiB over a line of 100 Mbit/s that loses data and ACKs alike."""
    total = 0.0
    for seed in SEEDS:
        pair = Pair(seed=seed, near=options, far=options, loss=loss, delay=round_trip / 2, rate=RATE)
        data = random.Random(seed).randbytes(SIZE)
        pair.near.write(data)
        total += SIZE / pair.run(lambda: len(pair.far.received) >= SIZE, limit=3_000) / 1_000  # noqa: B023
        assert pair.far.received == data
        pair.close()
    return total / len(SEEDS)


def measure() -> dict[str, dict[tuple[float, float], float]]:
    """Every cell: by group, by loss and round trip."""
    return {
        name: {(loss, rtt): throughput(options, loss, rtt) for loss in LOSSES for rtt in ROUND_TRIPS}
        for name, options in GROUPS.items()
    }


def render(cells: dict[str, dict[tuple[float, float], float]]) -> str:
    """The table as it is committed."""
    lines = [
        "Throughput of one transfer of 1 MiB in kB/s, by loss (each way) and round trip; 100 Mbit/s.",
        "Made by tests/netsim/throughput.py --write.",
    ]
    for name, table in cells.items():
        lines += ["", name, "  loss   " + "".join(f"{rtt * 1000:>9.0f} ms" for rtt in ROUND_TRIPS)]
        for loss in LOSSES:
            row = "".join(f"{table[loss, rtt]:>12.0f}" for rtt in ROUND_TRIPS)
            lines.append(f"  {loss:>5.1%}  {row}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    shown = render(measure())
    if "--write" in sys.argv:
        SNAPSHOT.write_text(shown)
    sys.stdout.write(shown)
