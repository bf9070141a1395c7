"""What the console says about pressure and counters.

Knows the names of states and counters; knows no page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Verdict:
    """What stands on top of a page while a buffer is under pressure."""

    subject: str  #: `{name}` stands for the pool
    buffer: str
    outcome: str  #: what comes of it if it goes on


#: By the kind of the worst buffer, as in `derive`.
VERDICTS: Final[Mapping[str, Verdict]] = {
    "receive": Verdict(
        "Pool {name} is under pressure",
        "its receive buffer",
        "If it fills up, data that finds no room is dropped unacknowledged, and its clients send it again.",
    ),
    "transmit": Verdict(
        "The transmit buffer is under pressure",
        "it",
        "If it fills up, sends wait until peers acknowledge what they have.",
    ),
}

#: What the engine's counters of losses count, in few words.
COUNTERS: Final[Mapping[str, str]] = {
    "ListenDrops": "Requests without room",
    "TCPReqQFull": "Requests over the limit",
    "AcceptTimeouts": "Requests not accepted in time",
    "TCPRcvQDrop": "Data without room",
    "TCPOFODrop": "Data behind gaps dropped",
    "Stalled": "Left out of broadcasts",
    "TCPAbortOnTimeout": "Given up, no answer",
    "TCPTimeWaitOverflow": "TIME-WAIT cut short",
    "LinkDrops": "Packets the link refused",
    "ReplyDrops": "Replies dropped",
    "InCsumErrors": "Wrong checksums",
    "InvalidTransitions": "Errors of the engine",
}


def counter(name: str) -> str:
    """What people call the engine's counter `name`."""
    return COUNTERS.get(name, name)
