"""The comparison as a page of plots; matplotlib comes with the extra ``bench``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.figures import Spread
from benchmarks.rounds import ONCE, Plan
from benchmarks.servers import SERVERS
from benchmarks.table import (
    CEILING,
    REFERENCE,
    Reading,
    Samples,
    all_bytes,
    cost,
    kernel_bytes,
    rate,
    ratio,
    spread,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS: Final = 3
#: XTCP, what bounds it, and all others.
OURS, BOUND, OTHERS, KERNEL = "#c8553d", "#b9b9b9", "#4c78a8", "#9ecae9"


def panels(samples: Samples, plan: Plan) -> Iterator[tuple[str, Reading]]:
    """Title and figure of each panel with bars, in the order of the page."""
    yield from _of_loads(samples, plan)
    yield "bytes per idle connection,\nprocess (dark) and kernel (light)", all_bytes(samples)


def _of_loads(samples: Samples, plan: Plan) -> Iterator[tuple[str, Reading]]:
    titles = {
        "random": "messages/s, any connection",
        "sticky": "messages/s, the same few",
        "paced": f"messages/s of {plan.rate:,.0f} asked",
        "churn": "connect, ask, close /s",
    }
    for name in plan.loads:
        sizes = [size for size in plan.connections if name in plan.loads_at(size)]
        for size in sizes:
            yield f"{titles[name]},\n{size:,} open", rate(size, name)
        if name not in ONCE:
            middle = sizes[len(sizes) // 2]
            yield f"us of server CPU per message,\n{middle:,} open", cost(middle, name)


def draw(samples: Samples, plan: Plan, path: Path) -> None:
    """Write medians as bars, ranges as whiskers, with the ratio to Twisted; the format is that of the name.

    Raises `ImportError` without matplotlib.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    shown = list(panels(samples, plan))
    lines = -(-len(shown) // COLUMNS)
    picture = Figure(figsize=(4.4 * COLUMNS, (0.34 * len(samples) + 1.1) * lines), layout="constrained")
    grid = picture.subplots(lines, COLUMNS, sharey=True, squeeze=False)
    for panel, (title, reading) in zip(grid.flat, shown, strict=False):
        _bars(panel, samples, reading)
        panel.xaxis.set_major_locator(MaxNLocator(5))
        panel.set_title(title, fontsize=9)
    _kernel_part(grid.flat[len(shown) - 1], samples)
    for panel in grid.flat[len(shown) :]:
        panel.set_axis_off()
    grid.flat[0].invert_yaxis()
    if REFERENCE in samples:
        picture.suptitle(
            f"Medians, least and greatest; in brackets the ratio to {SERVERS[REFERENCE].label}", fontsize=10
        )
    # Text as text, and nothing that differs from one drawing to the next.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "xtcp_twisted"}):
        picture.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _bars(panel: Axes, samples: Samples, reading: Reading) -> None:
    for row, (name, measured) in enumerate(samples.items()):
        found = spread(measured, reading) or Spread(0, 0, 0)
        colour = OURS if name.startswith("xtcp") else BOUND if name == CEILING else OTHERS
        whiskers = [[found.median - found.low], [found.high - found.median]]
        panel.barh(row, found.median, xerr=whiskers, color=colour, ecolor="#333333", capsize=2)
        times = ratio(measured, samples.get(REFERENCE, ()), reading) if name != REFERENCE else None
        label = f"{found.median:,.0f}" if found.median >= 100 else f"{found.median:.3g}"
        label += f" ({times.median:.2g}x)" if times and found.median else ""
        panel.annotate(label, (found.high, row), (4, 0), textcoords="offset points", va="center", fontsize=7)
    panel.set_yticks(range(len(samples)), [SERVERS[name].label for name in samples], fontsize=8)
    panel.margins(x=0.35)
    panel.set_xlim(left=0)
    panel.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    panel.tick_params(axis="x", labelsize=7)
    panel.spines[["top", "right"]].set_visible(False)


def _kernel_part(panel: Axes, samples: Samples) -> None:
    """Over the bars of all bytes: the part that is the kernel's, from the right end."""
    kernel = kernel_bytes(samples)
    for row, measured in enumerate(samples.values()):
        part, whole = spread(measured, kernel), spread(measured, all_bytes(samples))
        if part and whole and part.median > 0:
            panel.barh(row, part.median, left=max(0.0, whole.median - part.median), color=KERNEL)
