"""docs/states.md and its picture: the state machine, drawn from the table that the engine obeys.

Where a state stands is that of RFC 9293, Figure 5, and `ROUTES` says how an edge
runs there; which states and edges there are, and what stands on them, comes
from `xtcp_twisted.tcp.states`.  A new edge without a route is a straight line.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from itertools import count
from pathlib import Path

from xtcp_twisted.tcp.states import NAMES, TRANSITIONS

PAGE = "docs/states.md"
PICTURE = "docs/images/states.svg"

WIDTH, HEIGHT = 940, 900
BOX_WIDTH, BOX_HEIGHT = 148, 44
#: Radius of a corner.
CORNER = 18
LEFT, MIDDLE, RIGHT = 150, 470, 790

#: The middle of each box.
PLACES = {
    "CLOSED": (MIDDLE, 60),
    "LISTEN": (MIDDLE, 190),
    "SYN_RECEIVED": (LEFT, 320),
    "SYN_SENT": (RIGHT, 320),
    "ESTABLISHED": (MIDDLE, 450),
    "FIN_WAIT_1": (LEFT, 580),
    "CLOSE_WAIT": (RIGHT, 580),
    "FIN_WAIT_2": (LEFT, 710),
    "CLOSING": (MIDDLE, 710),
    "LAST_ACK": (RIGHT, 710),
    "TIME_WAIT": (MIDDLE, 840),
}
#: The bottom right corner, where CLOSED stands a second time, as in the figure.
END = (RIGHT, 840)


@dataclass(frozen=True)
class Route:
    """How an edge runs: from a side of one box to a side of the other, and where its text stands.

    :ivar start: side (``top``, ``bottom``, ``left``, ``right``) and how far from its middle.
    :ivar text: where the first line begins, or ends, or has its middle (`anchor`).
    """

    start: tuple[str, int]
    end: tuple[str, int]
    text: tuple[int, int]
    anchor: str = "start"


ROUTES = {
    ("CLOSED", "SYN_SENT"): Route(("right", 0), ("top", 20), (820, 150)),
    ("LISTEN", "SYN_RECEIVED"): Route(("left", 0), ("top", 20), (283, 163), "middle"),
    ("SYN_SENT", "SYN_RECEIVED"): Route(("left", -6), ("right", -6), (MIDDLE, 287), "middle"),
    ("SYN_SENT", "ESTABLISHED"): Route(("bottom", 0), ("right", 0), (780, 396), "end"),
    ("SYN_RECEIVED", "ESTABLISHED"): Route(("bottom", 20), ("left", 0), (180, 396)),
    ("SYN_RECEIVED", "FIN_WAIT_1"): Route(("bottom", -30), ("top", -30), (110, 440), "end"),
    ("ESTABLISHED", "FIN_WAIT_1"): Route(("bottom", -20), ("right", -12), (440, 512), "end"),
    ("ESTABLISHED", "CLOSE_WAIT"): Route(("bottom", 20), ("left", 0), (500, 512)),
    ("FIN_WAIT_1", "FIN_WAIT_2"): Route(("bottom", 0), ("top", 0), (140, 642), "end"),
    ("FIN_WAIT_1", "CLOSING"): Route(("right", 2), ("top", 0), (480, 642)),
    ("FIN_WAIT_1", "TIME_WAIT"): Route(("right", 16), ("left", -10), (320, 664)),
    ("FIN_WAIT_2", "TIME_WAIT"): Route(("bottom", 0), ("left", 8), (160, 772)),
    ("CLOSE_WAIT", "LAST_ACK"): Route(("bottom", 0), ("top", 0), (800, 642)),
    ("CLOSING", "TIME_WAIT"): Route(("bottom", 0), ("top", 0), (480, 772)),
    ("LAST_ACK", "CLOSED"): Route(("bottom", 0), ("top", 0), (800, 772)),
    ("TIME_WAIT", "CLOSED"): Route(("right", 0), ("left", 0), (630, 824), "middle"),
}

STYLE = """\
text { font: 13px Inter, "Helvetica Neue", Arial, sans-serif; fill: #1f2328;
  paint-order: stroke; stroke: #ffffff; stroke-width: 5px; stroke-linejoin: round }
.name { font-weight: 600; font-size: 13.5px; text-anchor: middle; stroke: none }
.does { fill: #57606a }
.page { fill: #ffffff }
.box { fill: #eef4ff; stroke: #3b6fd4; stroke-width: 1.5 }
.edge { fill: none; stroke: #6e7781; stroke-width: 1.5; marker-end: url(#tip) }
#tip path { fill: #6e7781 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; stroke: #0d1117 }
  .name { stroke: none }
  .does { fill: #9da7b3 }
  .page { fill: #0d1117 }
  .box { fill: #16233c; stroke: #6f9ef0 }
  .edge { stroke: #8b949e }
  #tip path { fill: #8b949e }
}"""


TIP = (
    '<marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 1 10 5 0 9z"/></marker>'
)

HEAD = f"""\
# The states of a connection

Drawn by `make docs` from `TRANSITIONS` of [xtcp_twisted/tcp/states.pyx](../xtcp_twisted/tcp/states.pyx), the
table that the engine looks every change of state up in: one that is not in it is counted
(`InvalidTransitions`), and ends the debug build. From every state a reset, an abort or a timeout leads to
CLOSED as well. A FIN of the peer is acknowledged with the last byte before it, when the policy of the group
says so: no edge shows that ACK.

![The states of a connection, after RFC 9293, Figure 5]({PICTURE.removeprefix("docs/")})

| | from | to | when | what is sent |
|---:|---|---|---|---|
"""


def edges() -> list[tuple[str, str, str]]:
    """(from, to, why) of every change that the table allows."""
    return [(state, after, why) for state, row in TRANSITIONS.items() for after, why in row.items()]


def lines_of(why: str) -> list[str]:
    """The event, and below it what is sent because of it."""
    event, comma, does = why.partition(", snd ")
    return [event, f"snd {does}"] if comma else [event]


def shown(state: str) -> str:
    """The RFC's spelling."""
    return state.replace("_", "-")


def _border(place: tuple[int, int], side: str, shift: int) -> tuple[int, int, int, int]:
    """A point on a side of a box, and the direction outwards."""
    x, y = place
    if side in {"left", "right"}:
        way = 1 if side == "right" else -1
        return x + way * BOX_WIDTH // 2, y + shift, way, 0
    way = 1 if side == "bottom" else -1
    return x + shift, y + way * BOX_HEIGHT // 2, 0, way


def _straight(start: tuple[int, int], end: tuple[int, int]) -> Route:
    """For an edge that nobody has routed: from below to above, or the other way, its text in the middle."""
    down = start[1] < end[1]
    text = (start[0] + end[0]) // 2 + 8, (start[1] + end[1]) // 2
    return Route(("bottom" if down else "top", 50), ("top" if down else "bottom", 50), text)


def _path(start: tuple[int, int, int, int], end: tuple[int, int, int, int]) -> str:
    """A line with a round corner, or with two; one that goes straight on bends a little if it has to."""
    x1, y1, dx1, dy1 = start
    x2, y2, dx2, dy2 = end
    if dx1 and dy2:
        return f"M{x1} {y1}H{x2 - dx1 * CORNER}Q{x2} {y1} {x2} {y1 - dy2 * CORNER}V{y2}"
    if dy1 and dx2:
        return f"M{x1} {y1}V{y2 - dy1 * CORNER}Q{x1} {y2} {x1 - dx2 * CORNER} {y2}H{x2}"
    if dx1 and abs(y2 - y1) > 2 * CORNER:
        x, way = (x1 + x2) // 2, 1 if y2 > y1 else -1
        corners = f"Q{x} {y1} {x} {y1 + way * CORNER}V{y2 - way * CORNER}Q{x} {y2} {x + dx1 * CORNER} {y2}"
        return f"M{x1} {y1}H{x - dx1 * CORNER}{corners}H{x2}"
    bend = (abs(x2 - x1) + abs(y2 - y1)) * 2 // 5
    return f"M{x1} {y1}C{x1 + dx1 * bend} {y1 + dy1 * bend} {x2 + dx2 * bend} {y2 + dy2 * bend} {x2} {y2}"


def _edge(state: str, after: str, why: str) -> list[str]:
    place = END if after == "CLOSED" and state in {"LAST_ACK", "TIME_WAIT"} else PLACES[after]
    route = ROUTES.get((state, after)) or _straight(PLACES[state], place)
    drawn = [
        f'<path class="edge" d="{_path(_border(PLACES[state], *route.start), _border(place, *route.end))}"/>'
    ]
    for number, line in enumerate(lines_of(why)):
        x, y = route.text
        kind = ' class="does"' if number else ""
        drawn.append(
            f'<text{kind} x="{x}" y="{y + 17 * number}" text-anchor="{route.anchor}">{escape(line)}</text>'
        )
    return drawn


def _box(state: str, place: tuple[int, int]) -> list[str]:
    x, y = place
    at = f'x="{x - BOX_WIDTH // 2}" y="{y - BOX_HEIGHT // 2}"'
    return [
        f'<rect class="box" {at} width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="7"/>',
        f'<text class="name" x="{x}" y="{y + 5}">{shown(state)}</text>',
    ]


def picture(_root: Path) -> str:
    """The text of docs/images/states.svg."""
    changes = edges()
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img">',
        "<title>The states of a connection, after RFC 9293, Figure 5</title>",
        f"<style>\n{STYLE}\n</style>",
        TIP,
        f'<rect class="page" width="{WIDTH}" height="{HEIGHT}" rx="10"/>',
    ]
    for change in changes:
        drawn += _edge(*change)
    for state in NAMES:
        drawn += _box(state, PLACES[state])
    if any(after == "CLOSED" and state in {"LAST_ACK", "TIME_WAIT"} for state, after, _ in changes):
        drawn += _box("CLOSED", END)
    return "\n".join([*drawn, "</svg>", ""])


def page(_root: Path) -> str:
    """The text of docs/states.md."""
    rows: list[str] = []
    for number, (state, after, why) in zip(count(1), edges(), strict=False):
        event, does = (*lines_of(why), "")[:2]
        rows.append(f"| {number} | {shown(state)} | {shown(after)} | {event} | {does.removeprefix('snd ')} |")
    return HEAD + "\n".join([*rows, ""])
