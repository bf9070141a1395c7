"""Geometry of the charts, as attributes of SVG elements.

The server draws every chart, so that a page can be read without JavaScript;
``static/js`` then updates the same elements.  A chart's lines live in a nested
``<svg>`` whose viewBox is in the data's own units and which stretches to any
width; labels and grid are placed in per cent beside it.

Knows numbers and times, no engine and no HTML.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from xtcp_console.figures import Span
from xtcp_console.formats import across, clock

#: Seconds that the occupancy chart may span, as much as there is; and seconds between its marks.
OCCUPANCY_SPANS_S: Final[Mapping[int, int]] = {120: 30, 300: 60, 600: 120}
MARKS: Final = 5
#: Its y runs from 0 (full) to 100 (empty).
OCCUPANCY_HEIGHT: Final = 100
#: A hole in the data wider than this breaks the line.
GAP_S: Final = 5

#: A spark: its last 60 values; room above and below the line for its stroke.
SPARK_POINTS: Final = 60
SPARK_HEIGHT: Final = 24
SPARK_MARGIN: Final = 2
#: A value that does not move gets a band of this share of itself, so that noise stays small.
SPARK_BAND: Final = 0.005

#: Seconds that the ribbon may span.
RIBBON_SPANS_S: Final = (120, 600, 1800)


@dataclass(frozen=True, slots=True)
class Line:
    """A line and the area below it, as path data; both empty without values."""

    line: str
    area: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A time at a place of the x axis."""

    x: str  #: an SVG length
    text: str
    shown: bool


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of the ribbon."""

    x: str
    width: str
    state: str


Points = list[tuple[float, float]]


def span(since: float, end: float, choices: Iterable[int]) -> int:
    """The shortest of `choices`, in seconds, that reaches from `end` back to `since`; else the longest."""
    longest = 0
    for longest in choices:
        if end - since <= longest:
            break
    return longest


def occupancy(times: Sequence[float], shares: Sequence[float], end: float, span_s: int) -> Line:
    """A line of shares, 0 to 1, over the `span_s` seconds up to `end`."""
    start = end - span_s
    points = [
        # In this order: of a share that is not known, min() would make 1.
        (t - start, OCCUPANCY_HEIGHT * (1 - min(share, 1)))
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
    if low >= 0:
        base = max(0, base)
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


def time_marks(end: float, span_s: int) -> list[Mark]:
    """Round times for the x axis of an occupancy chart of `span_s` seconds up to `end`."""
    start, step = end - span_s, OCCUPANCY_SPANS_S[span_s]
    first = math.ceil(start / step) * step
    digits = len("00:00") if step >= 60 else len("00:00:00")
    return [
        Mark(across((t - start) / span_s), clock(t)[:digits], t <= end)
        for t in range(first, first + MARKS * step, step)
    ]


def ribbon(spans: Sequence[Span], end: float, span_s: int) -> list[Stretch]:
    """Pressure over the `span_s` seconds up to `end`."""
    start = end - span_s
    stretches = []
    for each in spans:
        left, right = max(each.start, start), min(each.end, end)
        if right > left:
            x, width = (left - start) / span_s, (right - left) / span_s
            stretches.append(Stretch(across(x), across(width), each.state))
    return stretches
