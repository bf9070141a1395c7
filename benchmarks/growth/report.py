"""The result as tables and as a page of plots; matplotlib comes with the extra ``bench``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.growth.inside import Row
from benchmarks.growth.kernel import Point
from benchmarks.layout import Table, number

#: Okabe and Ito's colours, which everybody can tell apart.
COLOURS: Final = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#7F7F7F")
STYLE: Final[dict[Any, Any]] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E5E5E5",
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "svg.fonttype": "none",
    "svg.hashsalt": "xtcp",
}
#: The first step that is about all connections at a time; those before it are of one, or look at all.
_FIRST_OF_ALL: Final = "a broadcast: the call"


def tables(rows: Sequence[Row], points: Sequence[Point]) -> Iterator[Table]:
    """All tables of a run."""
    if points:
        yield _messages(points)
    connected = [row for row in rows if row.groups == 1]
    if connected:
        yield _steps("All of it, ms of CPU time", connected, lambda row: row.total * 1e3)
        yield _steps("The longest turn or call, ms", connected, lambda row: row.longest * 1e3)
    grouped = [row for row in rows if row.groups > 1]
    if grouped:
        yield _steps("Over the number of groups: ms of CPU time", grouped, lambda row: row.total * 1e3)
        yield _steps(
            "Over the number of groups: the longest turn or call, ms", grouped, lambda row: row.longest * 1e3
        )


def _messages(points: Sequence[Point]) -> Table:
    columns = ("open", "bytes", "messages per second", "us of server CPU each", "server, bytes each")
    return Table(
        "Messages, with clients of the kernel",
        columns,
        tuple(
            (
                number(point.connections),
                number(point.size),
                number(point.per_second),
                number(point.cpu_us, 2),
                number((point.resident - point.resident_before) / point.connections),
            )
            for point in points
        ),
    )


def _size(row: Row) -> int:
    return row.connections if row.groups == 1 else row.groups


def _steps(title: str, rows: Sequence[Row], value: Any) -> Table:
    sizes = sorted({_size(row) for row in rows})
    names = list(dict.fromkeys(row.step for row in rows))
    found = {(row.step, _size(row)): value(row) for row in rows}
    return Table(
        title,
        ("", *map(number, sizes)),
        tuple((name, *(_milliseconds(found.get((name, size))) for size in sizes)) for name in names),
    )


def _milliseconds(value: float | None) -> str:
    """With two figures at least, down to a tenth of a microsecond."""
    return number(value, 2 if value is None or value >= 0.1 else 4)


def draw(rows: Sequence[Row], points: Sequence[Point], about: str, path: Path) -> None:
    """Write the page of plots; the format is that of the file's name.

    :param about: machine and command, for the page's foot.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(15, 18), layout="constrained")
        figure.suptitle("What grows with connections, message sizes and groups", fontsize=15, weight="bold")
        plots = iter(figure.subplots(4, 2).flat)
        _over_connections(next(plots), points)
        _over_sizes(next(plots), points)
        for what, axis, chosen in _pages(rows):
            _laps(next(plots), chosen, f"{what}: all of it", "total", axis, legend=False)
            _laps(next(plots), chosen, f"{what}: the longest turn or call", "longest", axis, legend=True)
        figure.supxlabel(about, fontsize=7.5, color="#7F7F7F", wrap=True)
        figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)


def _pages(rows: Sequence[Row]) -> Iterator[tuple[str, str, list[Row]]]:
    """What is drawn side by side: a title, over what, and the steps."""
    connected = [row for row in rows if row.groups == 1]
    names = list(dict.fromkeys(row.step for row in connected))
    of_all = set(names[names.index(_FIRST_OF_ALL) :] if _FIRST_OF_ALL in names else ())
    over = "open connections"
    yield "One, or a look at all", over, [row for row in connected if row.step not in of_all]
    yield "All of them", over, [row for row in connected if row.step in of_all]
    yield "Groups", "groups, beside 1,000 connections", [row for row in rows if row.groups > 1]


def _over_connections(axes: Any, points: Sequence[Point]) -> None:
    from matplotlib.ticker import LogLocator

    chosen = [point for point in points if point.size == 1_024]
    at = [point.connections for point in chosen]
    axes.set(
        title="A message of 1 KB each way; memory of a connection", xlabel="open connections", xscale="log"
    )
    axes.set_ylabel("us of server CPU for a message")
    axes.plot(at, [point.cpu_us for point in chosen], "o-", color=COLOURS[0], label="CPU for a message")
    beside = axes.twinx()
    beside.spines["right"].set_visible(True)
    beside.grid(visible=False)
    beside.set(ylabel="server's memory, bytes for each connection", yscale="log")
    beside.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    beside.yaxis.set_major_formatter("{x:,.0f}")
    beside.yaxis.set_minor_formatter("")
    beside.plot(
        at,
        [(point.resident - point.resident_before) / point.connections for point in chosen],
        "s--",
        color=COLOURS[1],
        label="memory for a connection",
    )
    axes.set_ylim(0, 1.25 * max((point.cpu_us for point in chosen), default=1))
    lines = axes.lines + beside.lines
    axes.legend(lines, [line.get_label() for line in lines], loc="lower left")


def _over_sizes(axes: Any, points: Sequence[Point]) -> None:
    axes.set(
        title="Over the size of a message",
        xlabel="bytes of request and of answer",
        xscale="log",
        yscale="log",
    )
    axes.set_ylabel("us of server CPU for a message")
    for colour, open_ in zip(COLOURS, sorted({point.connections for point in points}), strict=False):
        chosen = [point for point in points if point.connections == open_]
        if len(chosen) > 1:
            axes.plot(
                [point.size for point in chosen], [point.cpu_us for point in chosen], "o-", color=colour,
                label=f"{open_:,} open",
            )  # fmt: skip
    axes.legend()


def _laps(axes: Any, rows: Sequence[Row], title: str, field: str, label: str, *, legend: bool) -> None:
    axes.set(title=title, xlabel=label, ylabel="ms of CPU time", xscale="log", yscale="log")
    names = dict.fromkeys(row.step for row in rows)
    for number_, name in enumerate(names):
        mine = sorted((row for row in rows if row.step == name), key=_size)
        axes.plot(
            [_size(row) for row in mine],
            [max(getattr(row, field) * 1e3, 1e-3) for row in mine],
            "o-" if number_ < len(COLOURS) else "s--" if number_ < 2 * len(COLOURS) else "^:",
            color=COLOURS[number_ % len(COLOURS)],
            markersize=3,
            linewidth=1,
            label=name,
        )
    if legend:
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
