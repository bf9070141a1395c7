"""Counters that should stand still, and what it means when they do not.

Knows the engine's counters by name; must not know engines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from xtcp_console.figures import Severity


@dataclass(frozen=True, slots=True)
class Loss:
    """What a counter counts, as a sentence about it begins."""

    severity: Severity
    text: str


LOSSES: Final[Mapping[str, Loss]] = {
    "ListenDrops": Loss("warn", "Connection requests were left unanswered: no room for a connection"),
    "TCPReqQFullDrop": Loss("warn", "Connection requests were left unanswered: too many wait for an answer"),
    "TCPReqQFullDoCookies": Loss(
        "warn", "Connection requests were answered by SYN cookies: too many wait, perhaps a flood"
    ),
    "AcceptTimeouts": Loss("warn", "Connection requests were refused: the application was too slow"),
    "TCPRcvQDrop": Loss("warn", "Received data was cut off: its connection's share of the buffer was full"),
    "TCPOFODrop": Loss("warn", "Data behind a gap was dropped: there was no room to keep it"),
    "Stalled": Loss("info", "Connections were left out of a send to many: they had no room"),
    "TCPAbortOnTimeout": Loss("warn", "Connections were given up: their peers did not acknowledge any more"),
    "PressureAborts": Loss(
        "crit",
        "Connections were aborted: their pool was full, the application acknowledged nothing",
    ),
    "TransmitAborts": Loss(
        "crit",
        "Connections were aborted: the transmit buffer was full, their peers took nothing",
    ),
    "TCPTimeWaitOverflow": Loss("info", "TIME-WAIT entries ended early: there was no room for more"),
    "LinkDrops": Loss("warn", "Packets were lost on the way out: the link took no more"),
    "LinkRefused": Loss("warn", "Packets were dropped: the link's header before them was impossible"),
    "ReplyDrops": Loss("warn", "Answers to packets of no connection were dropped: too many at once"),
    "InCsumErrors": Loss("warn", "Packets arrived damaged: their checksum was wrong"),
    "InvalidTransitions": Loss(
        "crit", "The engine is at fault: it tried a change of state that TCP does not have"
    ),
}
