"""The result as a picture; matplotlib comes with the extra ``bench``."""

from __future__ import annotations

from pathlib import Path

from benchmarks.figures import Spread
from benchmarks.rounds import Plan
from benchmarks.servers import SERVERS
from benchmarks.table import Samples, figures

#: One panel for each of these.
PANELS = (
    ("bytes_per_connection", "bytes per idle connection,\nserver process and kernel"),
    ("sticky_per_second", "messages per second,\nfew busy connections"),
    ("random_per_second", "messages per second,\nany connection"),
    ("paced_p99_us", "latency p99 at a fixed rate,\nmicroseconds"),
)


def draw(samples: Samples, plan: Plan, path: Path) -> None:
    """Write medians as bars, ranges as whiskers; the format is that of the file's name.

    Raises `ImportError` without matplotlib.
    """
    from matplotlib.figure import Figure

    by_key = {figure.key: figure for figure in figures(samples, plan)}
    picture = Figure(figsize=(3.2 * len(PANELS), 0.5 * len(samples) + 2), layout="constrained")
    axes = picture.subplots(1, len(PANELS), sharey=True)
    for panel, (key, title) in zip(axes, PANELS, strict=True):
        rows = [
            (SERVERS[name].label, Spread.of(numbers))
            for name, measured in samples.items()
            if (numbers := by_key[key].samples(measured))
        ]
        labels, spreads = [label for label, _ in rows], [spread for _, spread in rows]
        medians = [spread.median for spread in spreads]
        whiskers = [
            [spread.median - spread.low for spread in spreads],
            [spread.high - spread.median for spread in spreads],
        ]
        panel.barh(labels, medians, xerr=whiskers, color="#4c78a8", ecolor="#333333", capsize=3)
        panel.set_title(title, fontsize=10)
        panel.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        panel.tick_params(axis="x", labelrotation=30)
    axes[0].invert_yaxis()
    picture.savefig(path)
