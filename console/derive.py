"""What follows from a tick: the worst buffer, and the verdict on the whole.

``static/js/derive.js`` draws the same conclusions in the browser from the same
tick; a browser test holds the two against each other.  Change both or none.

Knows a tick as nested mappings (`figures.Tick.plain`), so that the paths of
templates and bindings lead through figures and conclusions alike.  Knows no words
for people; those are in `words` and the templates.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from xtcp_console.figures import PRESSURES
from xtcp_console.formats import next_state

#: Use is compared in twentieths of a buffer.
STEPS: Final = 20

Plain = Mapping[str, Any]


def derive(tick: Plain) -> dict[str, Any]:
    """Conclusions from `tick`.

    `worst`: the buffer in the highest pressure state, the clearly fuller one of two.
    `verdict`: "stopped", or the kind of the worst buffer, or None while all is open.
    `thresholds`: those of all buffers, or None when they differ.
    `pressed`: how many buffers are not open; `counted`: the sum of the counters of
    pressure and losses, `counts` each of them; all None instead of 0.
    """
    buffers = list(_buffers(tick))
    worst = max(buffers, key=_severity)
    engine = tick["engine"]
    limits = worst["buffer"]["pressure"]["thresholds"]
    alike = all(each["buffer"]["pressure"]["thresholds"] == limits for each in buffers)
    pressed = sum(each["state"] != "open" for each in buffers)
    return {
        "worst": worst,
        "verdict": "stopped" if engine["state"] == "stopped" else worst["kind"] if pressed else None,
        "thresholds": limits if alike else None,
        "pressed": pressed or None,
        "counts": {name: count or None for name, count in tick["counters"].items()},
        "counted": sum(tick["counters"].values()) or None,
        "pools": len(tick["pools"]),
        "connections": engine["connections"] / engine["max_connections"],
    }


def _buffers(tick: Plain) -> Iterator[dict[str, Any]]:
    """Every pool's receive buffer in the order of rows, then the transmit buffer."""
    for row in sorted(tick["pools"], key=int):
        pool = tick["pools"][row]
        yield _buffer("receive", pool["name"], pool["receive"], tick["t"])
    yield _buffer("transmit", "transmit buffer", tick["transmit"]["buffer"], tick["t"])


def _buffer(kind: str, name: str, buffer: Plain, now: float) -> dict[str, Any]:
    pressure = buffer["pressure"]
    return {
        "kind": kind,
        "name": name,
        "state": pressure["state"],
        "higher": next_state(pressure["state"]),
        "for_s": now - pressure["since"],
        "buffer": buffer,
    }


def _severity(each: Plain) -> tuple[int, int]:
    # In steps: two buffers that are about as full would take turns every second.
    return PRESSURES.index(each["state"]), math.floor(each["buffer"]["used"] * STEPS)
