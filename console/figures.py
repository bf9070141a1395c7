"""What the console knows at one moment: frozen, made by the reactor thread, read by any.

`Tick` is one second's figures, and its `json` what the page and the event stream
get: keys carry their units (``_bytes``, ``_s``, ``_ms``, ``_per_s``), ratios are 0
to 1, times are Unix times, and None means that the engine cannot tell (yet).
`View` is what a page needs besides: history and events.

Knows nothing of engines, HTTP or pages.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Final, Literal

#: Pressure states, the calmest first (architecture: "Pressure").
PRESSURES: Final = ("open", "frozen", "withholding", "discarding")

Severity = Literal["ok", "info", "warn", "crit"]


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Shares of a buffer at which its pressure state rises; it falls `hysteresis` below."""

    frozen: float
    withholding: float
    discarding: float
    hysteresis: float


@dataclass(frozen=True, slots=True)
class Pressure:
    """The pressure state of one buffer."""

    state: str  #: one of PRESSURES
    since: float  #: when it came into this state
    entries: Mapping[str, int]  #: how often it came into each state
    durations_s: Mapping[str, float]  #: how long it was in each, the current one included
    thresholds: Thresholds


@dataclass(frozen=True, slots=True)
class Buffer:
    """Use of one buffer."""

    size_bytes: int
    used_bytes: int
    used: float
    peak_bytes: int
    #: Growth over the last seconds; negative when it empties.
    delta_bytes_per_s: float
    #: Until the next higher pressure state at this growth; None: it does not grow, or there is none.
    next_state_s: float | None
    pressure: Pressure


@dataclass(frozen=True, slots=True)
class Pool:
    """One connection pool."""

    row: int
    name: str
    connections: int
    groups: int
    receive: Buffer
    #: The group that holds most of the buffer, and its share of what is used; None when it is empty.
    largest: str | None
    largest_share: float | None


@dataclass(frozen=True, slots=True)
class Transmit:
    """The transmit buffer that all pools share."""

    buffer: Buffer
    unacked_bytes: int  #: sent, kept until the peer acknowledges them
    queued_bytes: int  #: not sent yet
    unacked: float  #: shares of the buffer's size; with chunk rounding they may be less than `used`
    queued: float
    connections: int  #: that have something in it


@dataclass(frozen=True, slots=True)
class Group:
    """One connection group."""

    row: int
    gd: int | None
    name: str
    pool: int  #: row of its pool
    address: str | None  #: of a Unix socket its path
    port: int  #: 0 for a Unix socket
    priority: str
    ack_policy: str
    connections: int
    pending: int  #: connection requests that the application has not answered
    readable: int  #: connections with something to receive
    held_bytes: int  #: of the pool's receive buffer
    share: float  #: of the pool's buffer size
    requests_per_s: float  #: data segments taken in
    answers_per_s: float  #: data segments sent
    in_bytes_per_s: float
    out_bytes_per_s: float
    resends_per_s: float
    acks_piggybacked: float | None
    pressure: str  #: the state it sees, its priority considered


@dataclass(frozen=True, slots=True)
class Engine:
    """The engine and the process around it."""

    state: Literal["running", "stopped"]
    reason: str | None  #: why it stopped
    started: float
    uptime_s: float
    host: str
    pid: int
    version: str
    addresses: tuple[str, ...]
    connections: int
    max_connections: int
    half_open: int
    time_wait: int
    active: int  #: connections with something pending
    descriptors: int
    rss_bytes: int
    #: What the connections take of the engine's memory, counted: rows, index entries and buffers.
    connection_bytes: int
    bytes_per_connection: float | None
    cpu: float  #: cores that the process used over the last seconds
    loop_delay_ms: float  #: how late the reactor ran the last sample


@dataclass(frozen=True, slots=True)
class Rates:
    """Engine-wide rates over the last seconds."""

    requests_per_s: float
    answers_per_s: float
    in_bytes_per_s: float
    out_bytes_per_s: float
    opened_per_s: float
    closed_per_s: float
    resends_per_s: float
    acks_per_s: float
    #: Share of the acknowledgements that rode on an answer; None when there were none.
    acks_piggybacked: float | None
    acks_saved_per_s: float


@dataclass(frozen=True, slots=True)
class Census:
    """Connections by state and idle time, of the last complete count."""

    at: float
    edges_s: tuple[int, ...]  #: upper edges of all columns but the last
    #: State (RFC 9293) -> connections per column; only states that were met.
    rows: Mapping[str, tuple[int, ...]]
    total: int


@dataclass(frozen=True)
class Tick:
    """One second's figures; `pools` and `groups` are keyed by their row, as text."""

    t: float
    serial: int
    #: Changes whenever a pool or group is opened or closed: a page with another one is out of date.
    layout: str
    engine: Engine
    rates: Rates
    pools: Mapping[str, Pool]
    transmit: Transmit
    #: At most `shown.GROUPS_SHOWN`, those with most connections; `group_count` is all.
    groups: Mapping[str, Group]
    group_count: int
    pending: int  #: of all groups
    readable: int  #: of all groups
    census: Census | None
    #: Pressure and loss counters since the start, by the engine's names, only those that the engine has.
    counters: Mapping[str, int]

    @cached_property
    def plain(self) -> dict[str, Any]:
        """As nested dictionaries."""
        return _fields(self)

    @cached_property
    def json(self) -> bytes:
        """On one line, made once however many viewers there are."""
        return json.dumps(self.plain, separators=(",", ":"), allow_nan=False).encode()


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, the newest last in a `View`."""

    id: int  #: counts up from 1
    t: float
    severity: Severity
    kind: str  #: "pressure", "engine", "group", "pool", "loss"
    ref: str | None  #: what it is about: "pool/1", "group/3", "transmit", "engine"
    text: str  #: a sentence without a full stop
    detail: str  #: figures, may be empty

    @property
    def json(self) -> bytes:
        """On one line."""
        return json.dumps(_plain(self), separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Series:
    """History of some values, one column each, oldest first; NaN where there was none."""

    times: tuple[float, ...]
    columns: Mapping[str, tuple[float, ...]]  #: by path into the tick: "pools.1.receive.used"


@dataclass(frozen=True, slots=True)
class Span:
    """A pressure state of the past: from `start` to `end`."""

    start: float
    end: float
    state: str


@dataclass(frozen=True, slots=True)
class View:
    """What the pages show; replaced whole once a second."""

    tick: Tick
    occupancy: Series  #: of the last 10 minutes
    sparks: Series  #: of the last minute
    #: Pressure of the last 30 minutes: the worst of all buffers at each time.
    ribbon: tuple[Span, ...]
    events: tuple[Event, ...]


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


def _fields(value: Any) -> dict[str, Any]:
    kind: Any = type(value)
    return {name: _plain(getattr(value, name)) for name in _names(kind)}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (str, int, float)):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _fields(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
