"""Frozen views of the engine for statistics, tests and the console.

Nothing here refers to engine memory: a snapshot may be handed to another
thread.  Making one costs time in proportion to pools and groups, never to
connections.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xtcp_twisted.config import PressureThresholds


@dataclass(frozen=True, slots=True)
class PressureSnapshot:
    """The pressure state of one buffer, by the share of it that is in use."""

    state: str  #: "open", "frozen", "withholding" or "discarding"
    since: float  #: engine time at which it came into this state, seconds
    entries: Mapping[str, int]  #: changes into each state; being made open is none
    durations: Mapping[str, float]  #: seconds in each state, the present one included
    thresholds: PressureThresholds


@dataclass(frozen=True, slots=True)
class BufferSnapshot:
    """Use of a pool's receive buffer or of the transmit buffer, bytes."""

    size: int
    used: int
    #: Highest use since the buffer was made.
    peak: int
    pressure: PressureSnapshot


@dataclass(frozen=True, slots=True)
class GroupSnapshot:
    """One group and the sums over its connections."""

    name: str
    gd: int | None  #: its descriptor; None while nobody has asked for it
    row: int
    serial: int  #: the engine counts its pools and groups: a row used anew has another one
    family: int
    address: str | None  #: None: every address of the engine
    port: int  #: 0 for a Unix socket, whose path is the address
    connections: int
    pending: int
    readable: int  #: connections that have something to receive
    held: int  #: receive-buffer bytes that its connections hold
    priority: str
    ack_policy: str
    #: Pressure of its pool as it sees it: from frozen on, one state more at low priority, one less at high.
    pressure: str
    counters: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class PoolSnapshot:
    """One connection pool."""

    name: str
    row: int
    serial: int  #: as a group's
    receive_buffer: BufferSnapshot
    throttling: str  #: what pressure does to received packets: "withhold", "discard" or "both"
    groups: tuple[GroupSnapshot, ...]
    #: What its pressure has done, by the names of the engine's counters; those of closed groups included.
    counters: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class EngineSnapshot:
    """The whole engine at `time` (the `now` of its last `poll` or `flush`, seconds)."""

    time: float
    connections: int
    half_open: int
    time_wait: int
    active: int  #: connections with something pending (active blocks leased)
    max_connections: int
    states: Mapping[str, int]  #: connections by RFC 9293 state
    arena_bytes: int  #: address space in use by engine state
    #: What connections, connection requests and TIME-WAIT entries take of it at this moment, counted by their
    #: sizes: a record (128 bytes), half-open entry (64) or TIME-WAIT entry (40) and the 8 bytes of its index
    #: entry; active blocks (128); rows (24) and index entries (8) of local addresses; extents (32); chunks of
    #: 256 bytes of all receive buffers and of the transmit buffer, each as a whole.  A TIME-WAIT entry that
    #: was reopened counts until the ring has come round to it.  Free rows count nothing, though touched ones
    #: have their pages.
    connection_bytes: int
    transmit_buffer: BufferSnapshot
    #: Payload sent and not acknowledged by the peers, and payload accepted from the application and never
    #: sent, summed over the connections: what a broadcast stores once counts for each of its receivers.
    unacked_bytes: int
    queued_bytes: int
    sending: int  #: connections that have something in the transmit buffer
    pools: tuple[PoolSnapshot, ...]
    counters: Mapping[str, int]  #: named as in the TCP-MIB and Linux' TcpExt where one exists
    #: Connections of Unix-socket groups, closing ones included; they are in none of the other counts.
    unix_connections: int = 0


@dataclass(frozen=True, slots=True)
class ConnectionInfo:
    """One connection; sequence variables carry the names of RFC 9293 section 3.3.1."""

    cd: int
    state: str
    local: tuple[str, int]
    peer: tuple[str, int]
    snd_una: int
    snd_nxt: int
    snd_lbb: int  #: sequence number after the last byte queued
    snd_wnd: int
    rcv_nxt: int
    rcv_wnd: int
    rcv_ackd: int  #: acknowledged by the application up to here
    wire_ack: int  #: last ACK number sent
    delivered: int  #: bytes delivered to the application and not yet acknowledged by it
    held: int  #: in-order bytes in the receive buffer
    out_of_order: int  #: bytes held behind a gap
    urgent: int  #: bytes that recv has to return until the end of urgent data; 0: none
    mss: int
    snd_scale: int
    rcv_scale: int
    timestamps: bool
    ecn: bool  #: agreed in the handshake (RFC 3168); before its end: asked for
    srtt_us: int
    rttvar_us: int
    rto_ms: int
    cwnd: int
    ssthresh: int
    nagle: bool  #: short segments wait for acknowledgements
    keepalive: bool  #: probed while idle
    retransmits: int  #: of the oldest unacknowledged segment
    idle_ms: int
    age_s: int
    user: int
    active: bool  #: an active block is leased

    @property
    def in_flight(self) -> int:
        """Sequence numbers sent and not acknowledged."""
        return (self.snd_nxt - self.snd_una) & 0xFFFF_FFFF
