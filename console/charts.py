"""Geometry of the charts, as attributes of SVG elements.

The server draws every chart, so that a page can be read without JavaScript;
``static/js`` then updates the same elements.  A chart's lines live in a nested
``<svg>`` whose viewBox is in the data's own units and which stretches to any
width; labels and grid are placed in per cent beside it.

Knows numbers and times, no engine and no HTML.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from xtcp_console.figures import Span
from xtcp_console.formats import across

#: The occupancy chart: seconds that it spans; its y runs from 0 (full) to 100 (empty).
OCCUPANCY_SPAN_S: Final = 600
OCCUPANCY_HEIGHT: Final = 100
OCCUPANCY_TICK_S: Final = 120
#: A hole in the data wider than this breaks the line.
GAP_S: Final = 5

#: A spark: its last 60 values; room above and below the line for its stroke.
SPARK_POINTS: Final = 60
SPARK_HEIGHT: Final = 24
SPARK_MARGIN: Final = 2
#: A value that does not move gets a band of this share of itself, so that noise stays small.
SPARK_BAND: Final = 0.005

RIBBON_SPAN_S: Final = 1800


@dataclass(frozen=True, slots=True)
class Line:
    """A line and the area below it, as path data; both empty without values."""

    line: str
    area: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A time at a place of the x axis."""

    x: str  #: an SVG length
    t: float


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of the ribbon."""

    x: str
    width: str
    state: str


Points = list[tuple[float, float]]


def occupancy(times: Sequence[float], shares: Sequence[float], end: float) -> Line:
    """A line of shares, 0 to 1, over the `OCCUPANCY_SPAN_S` seconds up to `end`."""
    start = end - OCCUPANCY_SPAN_S
    points = [
        (t - start, OCCUPANCY_HEIGHT * (1 - min(1, share)))
        for t, share in zip(times, shares, strict=True)
        if t >= start
    ]
    return _line(points, OCCUPANCY_HEIGHT, GAP_S)


def spark(values: Sequence[float]) -> Line:
    """The shape of the last `SPARK_POINTS` values, the newest at the right edge."""
    shown = values[-SPARK_POINTS:]
    numbers = [value for value in shown if not math.isnan(value)]
    if len(numbers) < 2:
        return Line("", "")
    low, high = min(numbers), max(numbers)
    band = max(high - low, abs(high) * SPARK_BAND) or 1
    base = (low + high - band) / 2
    room = SPARK_HEIGHT - 2 * SPARK_MARGIN
    first = SPARK_POINTS - len(shown)
    points: Points = [
        (first + index, SPARK_HEIGHT - SPARK_MARGIN - room * (value - base) / band)
        for index, value in enumerate(shown)
    ]
    return _line(points, SPARK_HEIGHT, 1)


def _line(points: Points, bottom: float, gap: float) -> Line:
    """Points joined where they are at most `gap` apart and known."""
    runs = [run for run in _runs(points, gap) if len(run) > 1]
    lines = [" ".join(f"{x:.1f},{y:.2f}" for x, y in run) for run in runs]
    areas = [
        f"M{run[0][0]:.1f},{bottom} L{line} L{run[-1][0]:.1f},{bottom} Z"
        for run, line in zip(runs, lines, strict=True)
    ]
    return Line(" ".join("M" + line for line in lines), " ".join(areas))


def _runs(points: Points, gap: float) -> Iterator[Points]:
    run: Points = []
    for x, y in points:
        if run and (math.isnan(y) or x - run[-1][0] > gap):
            yield run
            run = []
        if not math.isnan(y):
            run.append((x, y))
    yield run


def time_marks(end: float) -> list[Mark]:
    """Round times for the x axis of the occupancy chart that ends at `end`."""
    start = end - OCCUPANCY_SPAN_S
    first = math.ceil(start / OCCUPANCY_TICK_S) * OCCUPANCY_TICK_S
    return [
        Mark(across((t - start) / OCCUPANCY_SPAN_S), t)
        for t in range(first, first + OCCUPANCY_SPAN_S, OCCUPANCY_TICK_S)
    ]


def ribbon(spans: Sequence[Span], end: float) -> list[Stretch]:
    """Pressure over the `RIBBON_SPAN_S` seconds up to `end`."""
    start = end - RIBBON_SPAN_S
    stretches = []
    for span in spans:
        left, right = max(span.start, start), min(span.end, end)
        if right > left:
            x, width = (left - start) / RIBBON_SPAN_S, (right - left) / RIBBON_SPAN_S
            stretches.append(Stretch(across(x), across(width), span.state))
    return stretches
