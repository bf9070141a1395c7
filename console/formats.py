"""How figures read: one function per unit.

``static/js/fmt.js`` has the same functions under the same names and makes the
same text, so that a page reads alike before and after its first update; a
browser test runs both over the same numbers.  Change both or none.

A figure that the engine cannot tell is None and reads as a dash.  Texts never
break between a number and its unit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from xtcp_console.figures import PRESSURES

DASH: Final = "–"
MINUS: Final = "−"
#: No-break space, between a number and its unit.
SPACE: Final = "\u00a0"
#: Forbids a line break where it stands.
JOINER: Final = "\u2060"

SECONDS_PER_DAY: Final = 86_400
#: Nobody plans by a forecast further away than this.
FORECAST_LIMIT_S: Final = SECONDS_PER_DAY
#: Growth that is a rounding error of the buffer's size.
STEADY: Final = 1e-5
#: Shades of a heat table; 0 is an empty cell.
SHADES: Final = 7

Figure = float | int | None


def fixed(value: float, places: int) -> str:
    """`value` with `places` decimals and thousands set apart by commas.

    Rounds the exact binary value half away from zero, as JavaScript's
    ``toFixed`` does; Python's own formatting would round half to even.
    """
    rounded = Decimal(value).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    text = f"{abs(rounded):,f}"
    return (MINUS if rounded < 0 else "") + text


def known(value: Any) -> bool:
    """Whether there is a figure: not None, and a number if it is a float."""
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def word(value: Any) -> str:
    """A text or a number as it stands."""
    return str(value) if known(value) else DASH


def integer(value: Figure) -> str:
    """A count: ``1,048,576``."""
    return fixed(value, 0) if value is not None and known(value) else DASH


def short(value: Figure) -> str:
    """A number in at most four characters and a decimal prefix: ``31.6 k``."""
    return _prefixed(value, 99.95)


def brief(value: Figure) -> str:
    """As `short`, with decimals only below ten: ``31 k``, ``4.5 k``."""
    return _prefixed(value, 9.95)


def _prefixed(value: Figure, decimals_below: float) -> str:
    if value is None or not known(value):
        return DASH
    size = abs(value)
    if size < 999.5:
        return fixed(value, 1 if size < 9.95 and size % 1 else 0)
    prefixes = ("k", "M", "G", "T")
    power = 0
    size /= 1000
    while size >= 999.5 and power < len(prefixes) - 1:
        size /= 1000
        power += 1
    sign = MINUS if value < 0 else ""
    return sign + fixed(size, 1 if size < decimals_below else 0) + SPACE + prefixes[power]


def octets(value: Figure) -> str:
    """Bytes with a binary prefix: ``169.4 MiB``."""
    if value is None or not known(value):
        return DASH
    units = ("B", "KiB", "MiB", "GiB", "TiB")
    size = abs(value)
    power = 0
    while size >= 1023.5 and power < len(units) - 1:
        size /= 1024
        power += 1
    places = 0 if power == 0 or size >= 999.95 else 2 if size < 9.995 else 1
    sign = MINUS if value < 0 else ""
    return sign + fixed(size, places) + SPACE + units[power]


def byterate(value: Figure) -> str:
    """Bytes per second: ``30.5 MiB/s``."""
    return octets(value) + "/s" if known(value) else DASH


def percent(value: Figure) -> str:
    """A ratio in per cent, one decimal: ``98.7 %``."""
    return fixed(value * 100, 1) + SPACE + "%" if value is not None and known(value) else DASH


def percent0(value: Figure) -> str:
    """A ratio in whole per cent: ``38 %``."""
    return fixed(value * 100, 0) + SPACE + "%" if value is not None and known(value) else DASH


def percentage(value: Figure) -> str:
    """A ratio in per cent without the sign, for attributes: ``98.7``."""
    return fixed(value * 100, 1) if value is not None and known(value) else "0"


def limit(value: Figure) -> str:
    """A threshold, decimals only where it has some: ``50 %``, ``87.5 %``."""
    return percentage(value).removesuffix(".0") + SPACE + "%" if known(value) else DASH


def milliseconds(value: Figure) -> str:
    """A short time given in ms: ``2.7 ms``, from a second on ``1.20 s``."""
    if value is None or not known(value):
        return DASH
    if value < 999.5:
        return fixed(value, 1 if value < 9.95 else 0) + SPACE + "ms"
    return fixed(value / 1000, 2 if value < 9_995 else 1) + SPACE + "s"


def duration(value: Figure) -> str:
    """A time given in seconds: ``14 s``, ``2 m 14 s``, ``5:03:20``, ``12 d 05:55``."""
    if value is None or not known(value):
        return DASH
    seconds = max(0, math.floor(value))
    days, rest = divmod(seconds, SECONDS_PER_DAY)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    if days:
        return f"{days}{SPACE}d{SPACE}{hours:02}:{minutes:02}"
    if hours:
        return f"{hours}:{minutes:02}:{rest:02}"
    if minutes:
        return f"{minutes}{SPACE}m{SPACE}{rest:02}{SPACE}s"
    return f"{rest}{SPACE}s"


def across(value: Figure) -> str:
    """A share of a width, 0 to 1, as an SVG length: ``84.40%``."""
    if value is None or not known(value):
        return "0%"
    return fixed(min(1, max(0, value)) * 100, 2) + "%"


def down(value: Figure) -> str:
    """A share of a height, 0 at the bottom, as an SVG length from the top."""
    return across(1 - value) if value is not None and known(value) else "0%"


def shade(value: Figure) -> str:
    """How dark a heat table's cell is, 0 to 7, logarithmic: one step per factor of 7."""
    if not value:
        return "0"
    return str(min(SHADES, 1 + math.floor(math.log10(value) * 1.18)))


def idle(edges: list[int], column: int) -> str:
    """The idle times that a column of the census stands for: ``< 1 s``, ``10–60 s``, ``> 1 h``."""
    if column == 0:
        size, unit = _unit(edges[0])
        return f"<{SPACE}{edges[0] // size}{SPACE}{unit}"
    low = edges[column - 1]
    size, unit = _unit(low)
    if column == len(edges):
        return f">{SPACE}{low // size}{SPACE}{unit}"
    return f"{low // size}–{JOINER}{edges[column] // size} {unit}"


def _unit(seconds: int) -> tuple[int, str]:
    """The largest unit that a time is a multiple of: its seconds and its sign."""
    units = ((3_600, "h"), (60, "min"), (1, "s"))
    return next((size, unit) for size, unit in units if seconds % size == 0)


# --- Sentences about a buffer, given as the page has it: nested mappings ---------


def meter(buffer: Mapping[str, Any]) -> str:
    """What a gauge says to who cannot see it: ``84.4 % used, withholding``."""
    return f"{percent(buffer['used'])} used, {buffer['pressure']['state']}"


def growth(buffer: Mapping[str, Any]) -> str:
    """``growing by 1.26 MiB/s``; empty when it stands still."""
    delta = buffer["delta_bytes_per_s"]
    if not known(delta) or abs(delta) < buffer["size_bytes"] * STEADY:
        return ""
    return f"{'growing' if delta > 0 else 'emptying'} by {byterate(abs(delta))}"


def forecast(buffer: Mapping[str, Any]) -> str:
    """``discarding in 16 s`` at this growth; empty when that is far away."""
    seconds = buffer["next_state_s"]
    higher = next_state(buffer["pressure"]["state"])
    if not known(seconds) or higher is None or seconds > FORECAST_LIMIT_S:
        return ""
    return f"{higher} in {duration(max(seconds, 1))}"


def outlook(buffer: Mapping[str, Any]) -> str:
    """The forecast as a sentence; empty without one."""
    coming = forecast(buffer)
    return f"At this rate: {coming}." if coming else ""


def next_state(state: str) -> str | None:
    """The next higher pressure state; None for the highest."""
    higher = PRESSURES.index(state) + 1
    return PRESSURES[higher] if higher < len(PRESSURES) else None


def largest(pool: Mapping[str, Any]) -> str:
    """``largest group chat-eu, 73 %``; empty when the buffer is."""
    if pool["largest"] is None:
        return ""
    return f"largest group {pool['largest']}, {percent0(pool['largest_share'])}"


def because(reason: str | None) -> str:
    """A reason after a statement: ``: the device is gone``; empty without one."""
    return f": {reason}" if reason else ""


def plural(count: Figure) -> str:
    """What a noun ends in after a count."""
    return "" if count == 1 else "s"


def times(count: Figure) -> str:
    """How often: ``never``, ``once``, ``3 times``."""
    if count is None:
        return DASH
    return {0: "never", 1: "once"}.get(int(count), f"{integer(count)} times")


def returns(count: Figure) -> str:
    """How often a buffer came back into the state that it began in."""
    if count is None:
        return DASH
    return {0: "at the start", 1: "once again"}.get(int(count), f"{integer(count)} times again")


def clock(value: Figure) -> str:
    """A Unix time as UTC, ``12:06:44``; the browser shows its own zone instead."""
    return f"{datetime.fromtimestamp(value, UTC):%H:%M:%S}" if value is not None and known(value) else DASH


def when(value: float, now: float) -> str:
    """A Unix time as UTC, with the date unless that is today's: ``12:06:44``, ``23 Nov 12:06``."""
    moment, today = datetime.fromtimestamp(value, UTC), datetime.fromtimestamp(now, UTC)
    if moment.date() == today.date():
        return f"{moment:%H:%M:%S}"
    return f"{moment.day}{SPACE}{moment:%b %H:%M}"


def iso(value: float) -> str:
    """A Unix time for the attribute of a ``<time>`` element."""
    return datetime.fromtimestamp(value, UTC).isoformat(timespec="seconds")


#: By the names that templates and bindings use; the same in fmt.js.
FORMATS: Final[Mapping[str, Callable[[Any], str]]] = {
    function.__name__: function
    for function in (
        word,
        integer,
        short,
        brief,
        octets,
        byterate,
        percent,
        percent0,
        percentage,
        limit,
        milliseconds,
        duration,
        across,
        down,
        shade,
        meter,
        growth,
        forecast,
        outlook,
        largest,
        because,
        plural,
        times,
        returns,
        clock,
    )
}
