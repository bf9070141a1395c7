"""What templates get: figures by path, the attributes that keep them live, the charts.

A binding names what an element shows: ``text:engine.connections:integer`` or
``width:pools.0.receive.used:across``, that is *target:path:format*.  The server
writes today's value and the binding into the element's ``data-bind``;
``static/js/bind.js`` reads the bindings and keeps the values.  Targets are
``text`` and the names of attributes.  Three more take a condition, a path
(``census``: there is one) or a path and a text (``now.verdict=stopped``):
``if`` and ``unless`` hide the element, ``current`` marks the current step.

Paths lead through `figures.Tick.plain`, beside whose fields `now` holds what
`derive` concludes.  Knows templates, no HTTP.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flask import Flask
from markupsafe import Markup

from xtcp_console import charts, formats, words
from xtcp_console.derive import derive
from xtcp_console.figures import PRESSURES, Series, View

#: Events on the page; static/js/events.js keeps as many.
EVENTS_SHOWN: Final = 8
#: Significant digits of history for the browser.
DIGITS: Final = 5

#: Colour classes of the chart's lines: pools take turns, the transmit buffer has its own.
POOL_COLOURS: Final = ("c1", "c2", "c3", "c4", "c5")
TRANSMIT_COLOUR: Final = "c6"
LINES_WITHOUT_HISTORY: Final = 8

#: Targets that take a condition: the attribute, and whether it is there when that holds.
CONDITIONAL: Final[Mapping[str, tuple[Markup, bool]]] = {
    "if": (Markup("hidden"), False),
    "unless": (Markup("hidden"), True),
    "current": (Markup('aria-current="step"'), True),
}

Plain = Mapping[str, Any]


class Live:
    """Values of `data` by path, as text and as attributes that keep themselves up to date."""

    def __init__(self, data: Plain) -> None:
        self._data = data

    def value(self, path: str) -> Any:
        """What stands at `path`, steps set apart by dots; None if there is nothing."""
        value: Any = self._data
        for step in path.split("."):
            value = value.get(step) if isinstance(value, Mapping) else None
        return value

    def show(self, path: str, kind: str) -> str:
        """What stands at `path`, in the format called `kind`."""
        return formats.FORMATS[kind](self.value(path))

    def text(self, path: str, kind: str) -> Markup:
        """An element that shows one figure."""
        return Markup("<span {}>{}</span>").format(self(f"text:{path}:{kind}"), self.show(path, kind))

    def __call__(self, *bindings: str) -> Markup:
        """The attributes of an element with `bindings`, the current values included."""
        attributes = [self._attribute(*binding.partition(":")[::2]) for binding in bindings]
        bound = Markup('data-bind="{}"').format(" ".join(bindings))
        return Markup(" ").join([*(each for each in attributes if each), bound])

    def _attribute(self, target: str, source: str) -> Markup:
        if target in CONDITIONAL:
            attribute, wanted = CONDITIONAL[target]
            return attribute if self.holds(source) is wanted else Markup("")
        if target == "text":
            return Markup("")
        path, _, kind = source.partition(":")
        return Markup('{}="{}"').format(target, self.show(path, kind))

    def holds(self, condition: str) -> bool:
        """Whether there is something at a path (``path``), or this text (``path=text``)."""
        path, equals, wanted = condition.partition("=")
        value = self.value(path)
        return value == wanted if equals else value is not None


def context(view: View) -> dict[str, Any]:
    """The variables of overview.html but those of every page."""
    tick = view.tick
    span_s = charts.span(_first(view.occupancy.times, tick.t), tick.t, charts.OCCUPANCY_SPANS_S)
    ribbon_s = charts.span(
        _first([each.start for each in view.ribbon], tick.t), tick.t, charts.RIBBON_SPANS_S
    )
    return {
        "view": view,
        "tick": tick,
        "live": Live({**tick.plain, "now": derive(tick.plain)}),
        "span_s": span_s,
        "marks": charts.time_marks(tick.t, span_s),
        "lines": _buffer_lines(view, span_s),
        "ribbon_s": ribbon_s,
        "ribbon": charts.ribbon(view.ribbon, tick.t, ribbon_s),
        "events": tuple(reversed(view.events))[:EVENTS_SHOWN],
        "seed": _seed(view),
    }


def _first(times: Sequence[float], otherwise: float) -> float:
    return times[0] if times else otherwise


@dataclass(frozen=True, slots=True)
class BufferLine:
    """One buffer in the occupancy chart."""

    label: str
    path: str  #: of its share
    colour: str  #: CSS class
    shape: charts.Line


def _buffer_lines(view: View, span_s: int) -> list[BufferLine]:
    """The lines of the occupancy chart: of the pools with a history, and of the transmit buffer."""
    history = view.occupancy
    paths = {f"pools.{row}.receive.used": pool.name for row, pool in view.tick.pools.items()}
    kept = [path for path in paths if path in history.columns] or list(paths)[:LINES_WITHOUT_HISTORY]
    named = [(paths[path], path, POOL_COLOURS[at % len(POOL_COLOURS)]) for at, path in enumerate(kept)]
    unknown = (math.nan,) * len(history.times)
    return [
        BufferLine(
            label,
            path,
            colour,
            charts.occupancy(history.times, history.columns.get(path, unknown), view.tick.t, span_s),
        )
        for label, path, colour in [*named, ("transmit", "transmit.buffer.used", TRANSMIT_COLOUR)]
    ]


def spark(view: View, path: str) -> charts.Line:
    """The shape of what stood at `path` over the last minute."""
    return charts.spark(view.sparks.columns.get(path, ()))


def _seed(view: View) -> Markup:
    """What the page's scripts start from: the same figures and the history behind the charts."""
    seed = {
        "tick": view.tick.plain,
        "occupancy": _history(view.occupancy),
        "sparks": _history(view.sparks),
        "ribbon": [(span.start, span.end, span.state) for span in view.ribbon],
        "event": view.events[-1].id if view.events else 0,
    }
    text = json.dumps(seed, separators=(",", ":"), allow_nan=False)
    # Inside a script element nothing but the end tag, or what opens a comment, is markup.
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704


def _history(series: Series) -> dict[str, Any]:
    return {
        "times": [round(t, 1) for t in series.times],
        "columns": {path: _rounded(column) for path, column in series.columns.items()},
    }


def _rounded(column: Sequence[float]) -> list[float | None]:
    return [None if math.isnan(value) else float(f"{value:.{DIGITS}g}") for value in column]


def install(app: Flask) -> None:
    """Give `app`'s templates the formats and words that they use."""
    environment = app.jinja_env
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.filters.update(
        brief=formats.brief,
        counter=words.counter,
        idle=formats.idle,
        iso=formats.iso,
        shade=formats.shade,
        when=formats.when,
    )
    environment.globals.update(PRESSURES=PRESSURES, VERDICTS=words.VERDICTS, spark=spark)
