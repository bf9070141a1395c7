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
    outcomes: Mapping[str, str]  #: by state: what it does to whom


#: By the kind of the worst buffer, as in `derive`.
VERDICTS: Final[Mapping[str, Verdict]] = {
    "receive": Verdict(
        "Pool {name} is under pressure",
        "its receive buffer",
        {
            "frozen": "Connections with unread data are offered no more room; no data is lost.",
            "withholding": "Connections with unread data wait longer for their acknowledgements, "
            "and no new ones are opened; no data is lost.",
            "discarding": "What connections with unread data get is dropped unacknowledged, "
            "and their clients send it again.",
        },
    ),
    "transmit": Verdict(
        "The transmit buffer is under pressure",
        "it",
        {
            "frozen": "A connection may queue half as much as before; nothing is lost.",
            "withholding": "Broadcasts and groups of low priority wait; nothing is lost.",
            "discarding": "Only connections with nothing queued may send; "
            "whose peers take nothing for long are aborted.",
        },
    ),
}

#: What the engine's counters of pressure and losses count, in few words.
COUNTERS: Final[Mapping[str, str]] = {
    "AcksWithheld": "ACKs withheld",
    "PressureSynDrops": "SYNs left unanswered",
    "PressureDropSegs": "Segments discarded",
    "PressureDropBytes": "Bytes discarded",
    "PressureAcks": "ACKs taken under pressure",
    "PressureAborts": "Aborted, pool stuck",
    "TransmitAborts": "Aborted, peer stalled",
    "ListenDrops": "Requests without room",
    "TCPReqQFullDrop": "Requests over the limit",
    "TCPReqQFullDoCookies": "SYN cookies, for a flood",
    "AcceptTimeouts": "Requests not accepted in time",
    "TCPRcvQDrop": "Data without room",
    "TCPOFODrop": "Data behind gaps dropped",
    "Stalled": "Left out of broadcasts",
    "TCPAbortOnTimeout": "Given up, no answer",
    "TCPTimeWaitOverflow": "TIME-WAIT cut short",
    "LinkDrops": "Packets the link refused",
    "LinkRefused": "Frames with an impossible header",
    "ReplyDrops": "Replies dropped",
    "InCsumErrors": "Wrong checksums",
    "InvalidTransitions": "Errors of the engine",
}


def counter(name: str) -> str:
    """What people call the engine's counter `name`."""
    return COUNTERS.get(name, name)
