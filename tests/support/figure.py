"""The columns of the patent's Fig. 5a to 5d: read, written, and laid beside what happened.

A row is one packet on the network.  From left to right: what the application
client did before it and was told after it, the client's TCP service, the packet,
the XTCP service, and the application server.  A service is shown as ``X:Y n``:
the confirmed sequence numbers of its outbound and inbound transmissions, and
what it has sent and caches because that is not confirmed (``-``: nothing).

`Symbols` writes numbers as the figures do: the client's begin at C, the server's
at S, and the lengths of messages are letters.  A number that is no end of a
message is written in digits, which no figure has.

Knows texts and numbers; knows no engine and no socket.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

SIDES: Final = ("C", "S")


@dataclass(frozen=True)
class Message:
    """A request or an answer.

    :ivar name: as in the figures: Req1, Ans1.
    :ivar size: the letter for its length.
    """

    name: str
    size: str
    data: bytes


@dataclass(frozen=True)
class Service:
    """What a figure shows of one TCP; numbers count from C and S."""

    outbound: int
    inbound: int
    cached: int


@dataclass
class Row:
    """One packet, and the four columns around it."""

    client_did: list[str] = field(default_factory=list)
    client: str = ""
    packet: str = ""
    server: str = ""
    server_did: list[str] = field(default_factory=list)

    def cells(self) -> tuple[str, ...]:
        return (", ".join(self.client_did), self.client, self.packet, self.server, ", ".join(self.server_did))


class Symbols:
    """Numbers and packets as the figures write them.

    :param requests: of the client, in their order; `answers` are the server's.
    """

    def __init__(self, requests: Sequence[Message], answers: Sequence[Message]) -> None:
        self._numbers: list[dict[int, str]] = []
        self._messages: list[dict[int, Message]] = []
        self._sizes = {0: "-"}
        for letter, messages in zip(SIDES, (requests, answers), strict=True):
            at, text = 0, letter
            numbers, starts = {at: text}, {}
            for message in messages:
                assert len(message.data) not in self._sizes, "two messages of one length look alike"
                self._sizes[len(message.data)] = message.size
                starts[at] = message
                at, text = at + len(message.data), f"{text}+{message.size}"
                numbers[at] = text
            self._numbers.append(numbers)
            self._messages.append(starts)

    def number(self, side: int, at: int) -> str:
        """A sequence number of the client (side 0) or the server (1)."""
        return self._numbers[side].get(at, f"{SIDES[side]}{at:+d}")

    def size(self, count: int) -> str:
        return self._sizes.get(count, str(count))

    def service(self, side: int, state: Service) -> str:
        """A service as ``X:Y n``."""
        other = 1 - side
        pair = f"{self.number(side, state.outbound)}:{self.number(other, state.inbound)}"
        return f"{pair} {self.size(state.cached)}"

    def packet(self, side: int, seq: int, ack: int | None, data: bytes, *, lost: bool) -> str:
        """A packet that `side` has sent, with the ACK that it confirms something by, if any."""
        parts = []
        if data:
            message = self._messages[side].get(seq)
            name = message.name if message is not None and message.data == data else repr(data)
            parts.append(f"{name}[{self.number(side, seq)}:{self.size(len(data))}]")
        if ack is not None:
            parts.append(f"ACK[{self.number(1 - side, ack)}]")
        text = " ".join(parts)
        if side == 0:
            return f"{text} ->{' X' if lost else ''}"
        return f"{'X ' if lost else ''}<- {text}"


def read_figure(text: str) -> list[tuple[str, ...]]:
    """The rows of a figure that a test has as text, a line each, its columns separated by bars."""
    return [tuple(map(str.strip, line.split("|"))) for line in text.strip().splitlines()]


def compare(figure: str, happened: Iterable[Row]) -> None:
    """The rows are those of the figure.

    :raises AssertionError: they are not; the text shows the figure's columns, and under each
        row that differs what happened.
    """
    expected, seen = read_figure(figure), [row.cells() for row in happened]
    if expected == seen:
        return
    empty = ("",) * 5
    pairs = list(itertools.zip_longest(expected, seen, fillvalue=empty))
    widths = [max(len(row[n]) for pair in pairs for row in pair) for n in range(5)]

    def line(title: str, row: tuple[str, ...]) -> str:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        return f"{title:<9} {' | '.join(cells)}".rstrip()

    lines = [line("", ("client", "TCP", "network", "XTCP", "server"))]
    for wanted, got in pairs:
        lines.append(line("figure", wanted))
        if wanted != got:
            lines.append(line("> but got", got))
    raise AssertionError("\n" + "\n".join(lines))
