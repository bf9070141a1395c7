"""What the console says about pressure and counters.

Knows the names of states and counters; knows no page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Verdict:
    """The sentence on top of a page: `{name}` in `head` stands for the pool."""

    head: str
    effect: str


#: By kind of buffer and its state, as in `derive`.
VERDICTS: Final[Mapping[str, Verdict]] = {
    "receive.frozen": Verdict(
        "Pool {name} has frozen its windows",
        "Connections with unread data are offered no more room; nothing is lost.",
    ),
    "receive.withholding": Verdict(
        "Pool {name} is withholding acknowledgements",
        "Its clients slow down and new ones wait; no data is lost.",
    ),
    "receive.discarding": Verdict(
        "Pool {name} is discarding new data",
        "What arrives for connections with unread data is dropped before it is acknowledged, "
        "so their clients send it again.",
    ),
    "transmit.frozen": Verdict(
        "The transmit buffer has halved its quotas",
        "A connection may queue half as much as before; nothing is lost.",
    ),
    "transmit.withholding": Verdict(
        "The transmit buffer is withholding room",
        "Broadcasts pause, and low-priority groups queue nothing new; nothing is lost.",
    ),
    "transmit.discarding": Verdict(
        "The transmit buffer is almost full",
        "Only connections with nothing queued may send; nothing that was accepted is lost.",
    ),
}

#: What each state does, in a few words.
EFFECTS: Final[Mapping[str, Mapping[str, str]]] = {
    "receive": {
        "open": "takes everything",
        "frozen": "offers no more window",
        "withholding": "postpones ACKs",
        "discarding": "drops new data",
    },
    "transmit": {
        "open": "takes everything",
        "frozen": "halves quotas",
        "withholding": "pauses broadcasts",
        "discarding": "serves idle ones only",
    },
}

#: Counters whose engine name does not say enough.
COUNTERS: Final[Mapping[str, str]] = {
    "TCPRcvQDrop": "Data without room",
    "TCPOFODrop": "Out-of-order drops",
    "TCPReqQFull": "Full request queue",
    "ListenDrops": "Connections refused",
    "LinkDrops": "Packets lost at the link",
    "ReplyDrops": "Replies dropped",
    "TCPAbortOnTimeout": "Aborted, no answer",
    "TCPTimeWaitOverflow": "TIME-WAIT overflow",
    "RetransSegs": "Segments sent again",
}


def counter(name: str) -> str:
    """What people call the engine's counter `name`."""
    return COUNTERS.get(name) or _spaced(name)


def _spaced(name: str) -> str:
    """``AcksWithheld`` as ``Acks withheld``; capitals in a row stay as they are."""
    parts = re.findall(r"[A-Z]+(?=[A-Z][a-z]|$|[0-9_])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+", name)
    return " ".join(part if part.isupper() and len(part) > 1 else part.lower() for part in parts).capitalize()
