"""What a packet script consists of, as plain data; and the three ways in which one fails.

Knows nothing of text, engines or time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final


class ScriptError(Exception):
    """The text is no script: a mistake of its author, or of the reader."""


class Unsupported(Exception):
    """The script needs something that the interpreter or the engine's calls do not have."""


class Mismatch(Exception):
    """The engine did something else than the script says.

    :ivar line: of the script, or None when it is about no line in particular.
    """

    def __init__(self, text: str, line: int | None = None) -> None:
        super().__init__(text)
        self.line = line


class Wild(Enum):
    """The `...` of the language: any value will do."""

    ANY = "..."


ANY: Final = Wild.ANY


class Symbol(str):
    """A constant's name in a system call, such as SOL_SOCKET."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class When:
    """The time at the head of a line, seconds.

    :ivar relative: to the line before, or to the script's start; meaningless with `anytime`.
    :ivar anytime: `*`, at any later time.
    :ivar end: of the range in `start~end`.
    :ivar until: when the system call of `start...until` must return.
    """

    start: float = 0.0
    relative: bool = True
    anytime: bool = False
    end: float | None = None
    until: float | None = None

    @property
    def exact(self) -> bool:
        """Whether the next line may count from it."""
        return not self.anytime and self.end is None


#: As ("mss", 1460), ("nop",), ("TS", val, ecr), ("sack", ((left, right), ...)), ("FO", cookie).
Option = tuple[Any, ...]


@dataclass(slots=True)
class TcpPacket:
    """A TCP segment as a script writes it; sequence numbers are the script's.

    :ivar seq: None for `...`, any.
    :ivar options: ANY for `<...>`.
    :ivar absolute: `seq` is a number of the wire (the script's `!`).
    :ivar ports: (source, destination), when the line names them.
    """

    flags: frozenset[str]
    seq: int | None
    length: int
    ack: int | None = None
    window: int | None = None
    urgent: int = 0
    options: tuple[Option, ...] | Wild = ()
    absolute: bool = False
    ecn: str | None = None
    tos: int | None = None
    ttl: int | None = None
    ports: tuple[int, int] | None = None

    @property
    def pure_ack(self) -> bool:
        """An acknowledgement and nothing else."""
        return self.flags - {"P"} == {"."} and not self.length

    @property
    def listed(self) -> tuple[Option, ...]:
        """The options that the line names."""
        return () if self.options is ANY else self.options

    def option(self, kind: str) -> Option | None:
        """The first of its options of that kind."""
        return next((o for o in self.listed if o[0] == kind), None)


@dataclass(frozen=True, slots=True)
class IcmpPacket:
    """An ICMP error about a segment of the engine.

    :ivar quoted: (sequence number, payload bytes) of that segment.
    """

    kind: str
    code: str | None = None
    mtu: int = 0
    quoted: tuple[int, int] | None = None


@dataclass(slots=True)
class Call:
    """A system call and its result; `result` is None when the script names none."""

    name: str
    arguments: list[Any]
    result: int | Wild | None = None
    errno: str | None = None

    def flags(self, at: int) -> frozenset[str]:
        """The names in the argument at that place, as in `MSG_PEEK | MSG_DONTWAIT`."""
        value = self.arguments[at] if at < len(self.arguments) else 0
        names = value if isinstance(value, tuple) else (value,)
        return frozenset(str(name) for name in names if isinstance(name, Symbol))


@dataclass(frozen=True, slots=True)
class Command:
    """A line for the shell."""

    text: str


@dataclass(frozen=True, slots=True)
class Code:
    """A block of Python about the kernel's TCP_INFO; it is read, never run."""

    text: str


@dataclass(frozen=True, slots=True)
class Inbound:
    """The peer sends."""

    packet: TcpPacket | IcmpPacket


@dataclass(frozen=True, slots=True)
class Outbound:
    """The engine has to send."""

    packet: TcpPacket | IcmpPacket


Action = Inbound | Outbound | Call | Command | Code


@dataclass(slots=True)
class Event:
    """One line of a script."""

    when: When
    action: Action
    line: int
    text: str


@dataclass(slots=True)
class Script:
    """A script that was read.

    :ivar options: of its `--name=value` lines.
    :ivar preparation: the shell lines before the first event.
    """

    path: str
    options: Mapping[str, str] = field(default_factory=dict)
    preparation: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
