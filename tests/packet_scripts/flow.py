"""The numbers of one connection: as the script writes them and as they are on the wire.

A script's sequence numbers count from 0 on both sides, whatever the initial
sequence numbers are; only those of SYN packets are as written.  Its timestamps
are made up: the engine's are known by the order in which they are first seen.

    remote, local      what has to be added to a number of the peer, of the engine
    synced             the engine's SYN has been seen, `local` is known

Every byte of a stream has a value that belongs to its place, so that bytes,
and not only lengths, are compared.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from support.packets import Segment

from .script import Option

_PERIOD: Final = 251
#: One period of the bytes that the peer sends, and of those that the engine's application writes.
_PEER: Final = bytes((i * 7 + 13) % 256 for i in range(_PERIOD))
_APPLICATION: Final = bytes((i * 11 + 101) % 256 for i in range(_PERIOD))


def peer_bytes(offset: int, length: int) -> bytes:
    """What the peer sends at that place of its stream."""
    return _pattern(_PEER, offset, length)


def application_bytes(offset: int, length: int) -> bytes:
    """What the application writes at that place of its stream."""
    return _pattern(_APPLICATION, offset, length)


def _pattern(period: bytes, offset: int, length: int) -> bytes:
    offset %= _PERIOD
    return (period * ((offset + max(length, 0)) // _PERIOD + 1))[offset : offset + max(length, 0)]


def signed(number: int) -> int:
    """A difference of sequence numbers (RFC 9293 3.4), between -2^31 and 2^31."""
    return (number + 2**31) % 2**32 - 2**31


@dataclass(slots=True)
class Flow:
    """One connection's packets.

    :ivar waiting: packets of the engine that no line has taken yet.
    :ivar highest_ack: the highest acknowledgement number that the engine has sent.
    :ivar active: the engine opens it.
    :ivar ended: the peer has reset it: its next SYN may open another connection, with another number.
    :ivar acked: the highest acknowledgement number of the peer, as the script writes it.
    :ivar shut: the peer's window is closed; `probed`: with an octet where the script's kernel sends none.
    :ivar urgent: urgent data was sent, whose bytes need not lie where they belong.
    """

    remote_port: int
    local_port: int
    first: int = 0
    waiting: deque[Segment] = field(default_factory=deque)
    highest_ack: int | None = None
    active: bool = False
    ended: bool = False
    acked: int = 0
    shut: bool = False
    probed: bool = False
    urgent: bool = False
    synced: bool = False
    _opened: bool = False
    _syn_seq: int = 0
    _local_isn: int = 0
    _local_syn: int = 0
    _stamps: dict[int, int] = field(default_factory=dict)
    _first_stamp: tuple[int, int] | None = None

    # --- sequence numbers -----------------------------------------------------

    def open(self, seq: int) -> None:
        """The peer's first SYN has this number in the script."""
        if not self._opened:
            self._opened, self._syn_seq = True, seq

    def opened(self, seq: int, script_seq: int) -> None:
        """The engine's SYN has `seq` on the wire and `script_seq` in the script."""
        self.synced, self.ended = True, False
        self._local_isn, self._local_syn = seq, (seq - script_seq) % 2**32

    def remote(self, *, syn: bool) -> int:
        """What has to be added to the script's number for a SYN of the peer, or for another segment."""
        return self.first if syn else (self.first + self._syn_seq) % 2**32

    def local(self, *, syn: bool) -> int:
        """The same for the engine's numbers."""
        return self._local_syn if syn else self._local_isn

    def offset(self, seq: int, *, syn: bool) -> int:
        """Place in the peer's stream of a segment with the script's number `seq`."""
        return seq - self._syn_seq if syn else seq - 1

    def acknowledged(self, segment: Segment) -> None:
        """Take note of the acknowledgement that the engine has sent."""
        if "A" in segment.flags and (self.highest_ack is None or signed(segment.ack - self.highest_ack) > 0):
            self.highest_ack = segment.ack

    # --- timestamps -----------------------------------------------------------

    def saw_stamp(self, script: int, live: int) -> None:
        """The engine's timestamp `live` stands where the script has `script`."""
        self._stamps[script] = live
        self._first_stamp = self._first_stamp or (script, live)

    def live_stamp(self, script: int) -> int:
        """The engine's timestamp that the peer echoes where the script writes `script`."""
        if script in self._stamps or self._first_stamp is None:
            return self._stamps.get(script, script)
        return (script - self._first_stamp[0] + self._first_stamp[1]) % 2**32

    def stamp_drift(self, script: int, live: int) -> int:
        """By how much more the engine's timestamps have moved on than the script's."""
        first_script, first_live = self._first_stamp or (script, live)
        return signed((live - first_live) - (script - first_script))

    # --- options --------------------------------------------------------------

    def sack_to_wire(self, option: Option) -> list[int]:
        """Edges of a peer's SACK blocks, one after the other, as on the wire."""
        return [(edge + self._local_isn) % 2**32 for block in option[1] for edge in block]

    def sack_from_wire(self, value: bytes) -> tuple[tuple[int, int], ...]:
        """The engine's SACK blocks in the script's numbers."""
        edges = [int.from_bytes(value[i : i + 4]) for i in range(0, len(value), 4)]
        numbers = [(edge - self.remote(syn=False)) % 2**32 for edge in edges]
        return tuple(zip(numbers[::2], numbers[1::2], strict=True))
