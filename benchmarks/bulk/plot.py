"""The tables as a picture; matplotlib comes with the extra ``bench``."""

from __future__ import annotations

from pathlib import Path

from benchmarks.bulk.rounds import DIRECTIONS
from benchmarks.bulk.sides import SIDES
from benchmarks.bulk.table import TITLES, Samples, rows


def draw(samples: Samples, path: Path) -> None:
    """Write medians as bars, ranges as whiskers, on a logarithmic axis; the name says the format.

    Raises `ImportError` without matplotlib.
    """
    from matplotlib.figure import Figure

    picture = Figure(figsize=(11, 0.5 * len(samples) + 1.5), layout="constrained")
    for panel, direction in zip(picture.subplots(1, 2, sharey=True), DIRECTIONS, strict=True):
        found = rows(samples, direction)
        labels = [f"{SIDES[name].label}, {SIDES[name].mode}" for name in found]
        medians = [row.rate.median for row in found.values()]
        whiskers = [
            [row.rate.median - row.rate.low for row in found.values()],
            [row.rate.high - row.rate.median for row in found.values()],
        ]
        panel.barh(labels, medians, xerr=whiskers, color="#4c78a8", ecolor="#333333", capsize=3)
        panel.set_xscale("log")
        panel.set_title(f"{TITLES[direction]}, Gbit/s", fontsize=10)
        panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    panel.invert_yaxis()
    picture.savefig(path)
