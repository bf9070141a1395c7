"""The result as one page of plots; matplotlib comes with the extra ``bench``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from benchmarks.million.measure import Run
from benchmarks.million.plan import Plan
from benchmarks.million.targets import MEGABYTE, targets

#: Okabe and Ito's colours, which everybody can tell apart.
BLUE, ORANGE, GREEN, RED, PURPLE, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#7F7F7F"
STYLE: Final[dict[Any, Any]] = {
    "font.size": 9,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E5E5E5",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "svg.hashsalt": "xtcp",
    "svg.fonttype": "none",
    "font.family": ["DejaVu Sans", "sans-serif"],
}


def draw(run: Run, plan: Plan, about: str, path: Path) -> None:
    """Write the page; the format is that of the file's name.

    :param about: machine and command, for the page's foot.
    :raises ImportError: there is no matplotlib.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(15, 9.6), layout="constrained")
        figure.suptitle(
            f"{plan.connections:,} kernel TCP clients at one twistd xtcp process", fontsize=15, weight="bold"
        )
        panels: tuple[Callable[[Any, Run, Plan], None], ...] = (
            _memory, _throughput, _latency, _accepting, _processors, _course,
        )  # fmt: skip
        for axes, panel in zip(figure.subplots(2, 3).flat, panels, strict=True):
            panel(axes, run, plan)
        figure.supxlabel(about, fontsize=7.5, color=GREY, wrap=True)
        figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)


def _count(value: float, _position: object = None) -> str:
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _over_connections(axes: Any, run: Run, title: str, unit: str) -> list[int]:
    axes.set(title=title, ylabel=unit, xlabel="open connections", xscale="log")
    axes.xaxis.set_major_formatter(_count)
    return [stop.connections for stop in run.stops]


def _memory(axes: Any, run: Run, plan: Plan) -> None:
    """Resident memory while connections came, and what it was bound to."""
    axes.set(title="Memory of the server", ylabel="resident, MB", xlabel="open connections")
    axes.xaxis.set_major_formatter(_count)
    rising = [look for look in run.looks if look.phase.startswith("open to")]
    axes.plot(
        [look.connections for look in rising],
        [look.resident / MEGABYTE for look in rising],
        color=BLUE,
        linewidth=1.2,
        label="while they come",
    )
    axes.plot(
        [0, *(stop.connections for stop in run.stops)],
        [run.resident_before / MEGABYTE, *(stop.resident / MEGABYTE for stop in run.stops)],
        "o",
        color=BLUE,
        label="idle",
    )
    axes.plot(
        [plan.connections], [run.resident_after / MEGABYTE], "D", color=RED, label="after loads and storm"
    )
    for target in targets(run, plan):
        if target.key.startswith("resident"):
            axes.axhline(target.bound, color=GREY, linestyle="--", linewidth=0.8)
            axes.annotate(
                f"{target.title}: {target.demand}", (0, target.bound), fontsize=7, va="bottom", color=GREY
            )
    axes.set_ylim(bottom=0)
    axes.legend(loc="lower right")


def _throughput(axes: Any, run: Run, plan: Plan) -> None:
    title = f"Throughput, {plan.inflight} requests on the way"
    at = _over_connections(axes, run, title, "messages per second")
    axes.plot(at, [stop.closed_loop.per_second for stop in run.stops], "o-", color=BLUE)
    for stop in run.stops:
        axes.annotate(
            f"{stop.closed_loop.per_second / 1e3:.0f}k",
            (stop.connections, stop.closed_loop.per_second),
            xytext=(0, 6), textcoords="offset points", ha="center", fontsize=8,
        )  # fmt: skip
    axes.axhline(plan.rate, color=GREY, linestyle="--", linewidth=0.8)
    axes.annotate("the open loop's rate", (at[0], plan.rate), fontsize=7, va="bottom", color=GREY)
    axes.set_ylim(0, 1.15 * max(stop.closed_loop.per_second for stop in run.stops))
    axes.yaxis.set_major_formatter(_count)


def _latency(axes: Any, run: Run, plan: Plan) -> None:
    title = f"Latency at {plan.rate:,.0f} messages per second"
    at = _over_connections(axes, run, title, "from when it was due to its answer, ms")
    axes.set(yscale="log")
    for name, label, colour in (
        ("p50", "p50", GREEN), ("p90", "p90", BLUE), ("p99", "p99", ORANGE), ("p999", "p99.9", RED),
    ):  # fmt: skip
        times = [getattr(stop.open_loop.answer_us, name) / 1e3 for stop in run.stops]
        axes.plot(
            at, times, "o-", color=colour, markersize=4, label=f"{label}, {plan.talkers} client processes"
        )
        axes.plot(
            [at[-1]],
            [getattr(run.few.answer_us, name) / 1e3],
            "s",
            color=colour,
            markersize=8,
            fillstyle="none",
        )
        axes.plot([at[-1]], [getattr(run.every.answer_us, name) / 1e3], "*", color=colour, markersize=10)
    axes.plot(
        [],
        [],
        "s",
        color=GREY,
        fillstyle="none",
        label=f"{plan.seconds:g} s of {plan.talkers} client processes",
    )
    axes.plot([], [], "*", color=GREY, label=f"{plan.seconds:g} s of all {plan.workers}")
    axes.plot(
        [at[-1]],
        [run.ceiling.few.answer_us.p99 / 1e3],
        "_",
        color=ORANGE,
        markersize=14,
        label="p99, bare responder",
    )
    axes.axhline(5, color=GREY, linestyle="--", linewidth=0.8)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.legend(loc="upper left")


def _accepting(axes: Any, run: Run, plan: Plan) -> None:
    at = _over_connections(axes, run, "Connections accepted", "per second, up to so many open")
    axes.plot(at, [stop.per_second for stop in run.stops], "o-", color=BLUE, label="twistd xtcp")
    axes.plot(
        at,
        [stop.per_second for stop in run.ceiling.stops],
        "o--",
        color=GREY,
        label="bare responder, the ceiling",
    )
    back = run.storm["back"]
    axes.plot(
        [plan.connections], [plan.storm / back.seconds], "*", color=RED, markersize=11,
        label=f"the storm: {plan.storm:,} back at once, each with a request",
    )  # fmt: skip
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(_count)
    axes.legend(loc="lower left")


def _processors(axes: Any, run: Run, plan: Plan) -> None:
    axes.set(title="Processors busy", xlabel="cores")
    phases = [
        (f"open to {plan.connections:,}", "connecting"),
        (f"closed loop at {plan.connections:,}", "closed loop"),
        ("traffic from few", f"{plan.rate:,.0f}/s from {plan.talkers}"),
        ("traffic from all", f"{plan.rate:,.0f}/s from all {plan.workers}"),
        ("storm", "storm"),
        ("close by FIN", "closing, FIN"),
        ("close by reset", "closing, RST"),
    ]
    labels = [label for _, label in phases]
    left = [0.0] * len(phases)
    colours = (BLUE, "#56B4E9", RED, ORANGE, "#BBBBBB")
    for colour, name in zip(colours, run.cpu[phases[0][0]], strict=True):
        widths = [run.cpu[phase][name] for phase, _ in phases]
        axes.barh(labels, widths, left=left, color=colour, label=name)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.4, -0.14), ncols=3)


def _course(axes: Any, run: Run, plan: Plan) -> None:
    axes.set(title="The run", xlabel="seconds", ylabel="open connections (clients' kernel)")
    axes.yaxis.set_major_formatter(_count)
    axes.plot([look.at for look in run.looks], [look.connections for look in run.looks], color=BLUE)
    beside = axes.twinx()
    beside.spines["right"].set_visible(True)
    beside.grid(visible=False)
    beside.plot(
        [look.at for look in run.looks],
        [look.server_cores for look in run.looks],
        color=ORANGE,
        linewidth=0.8,
    )
    beside.set(ylabel="server, cores", ylim=(0, 1.6))
    beside.yaxis.label.set_color(ORANGE)
    axes.yaxis.label.set_color(BLUE)
    for phase, label in (("traffic from few", "few"), ("traffic from all", "all"), ("storm", "storm")):
        times = [look.at for look in run.looks if look.phase == phase]
        if times:
            axes.axvspan(times[0], times[-1], color="#F2F2F2", zorder=0)
            axes.annotate(
                label, ((times[0] + times[-1]) / 2, plan.connections * 1.12), ha="center", fontsize=8
            )
    axes.set_ylim(0, plan.connections * 1.2)
