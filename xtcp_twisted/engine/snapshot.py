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
    thresholds: PressureThresholds  #: where the states begin


@dataclass(frozen=True, slots=True)
class BufferSnapshot:
    """Use of a pool's receive buffer or of the transmit buffer, bytes."""

    size: int  #: of the buffer
    used: int  #: of it
    #: Highest use since the buffer was made.
    peak: int
    pressure: PressureSnapshot  #: its state


@dataclass(frozen=True, slots=True)
class GroupSnapshot:
    """One group and the sums over its connections."""

    name: str  #: as it was given, or made of pool and port
    gd: int | None  #: its descriptor; None while nobody has asked for it
    row: int  #: of the table of groups
    serial: int  #: the engine counts its pools and groups: a row used anew has another one
    family: int  #: AF_INET, AF_INET6, AF_UNSPEC for both, or AF_UNIX
    address: str | None  #: None: every address of the engine
    port: int  #: 0 for a Unix socket, whose path is the address
    connections: int  #: established and closing
    pending: int  #: connection requests that wait for a decision
    readable: int  #: connections that have something to receive
    held: int  #: receive-buffer bytes that its connections hold
    priority: str  #: "high", "normal" or "low"
    ack_policy: str  #: "bounded", "application" or "immediate"
    #: Pressure of its pool as it sees it: from frozen on, one state more at low priority, one less at high.
    pressure: str
    counters: Mapping[str, int]  #: of its connections, by the engine's names


@dataclass(frozen=True, slots=True)
class PoolSnapshot:
    """One connection pool."""

    name: str  #: as it was given
    row: int  #: of the table of pools
    serial: int  #: as a group's
    receive_buffer: BufferSnapshot  #: shared by its connections
    throttling: str  #: what pressure does to received packets: "withhold", "discard" or "both"
    groups: tuple[GroupSnapshot, ...]  #: those that are open
    #: What its pressure has done, by the names of the engine's counters; those of closed groups included.
    counters: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class EngineSnapshot:
    """The whole engine at `time` (the `now` of its last `poll` or `flush`, seconds)."""

    time: float  #: of this snapshot, seconds
    connections: int  #: established and closing, TIME-WAIT left out
    half_open: int  #: requests between their SYN and the end of the handshake
    time_wait: int  #: entries of closed connections
    active: int  #: connections with something pending (active blocks leased)
    max_connections: int  #: rows of the table
    states: Mapping[str, int]  #: connections by RFC 9293 state
    arena_bytes: int  #: address space in use by engine state
    #: What connections, connection requests and TIME-WAIT entries take of it at this moment, counted by their
    #: sizes: a record (128 bytes), half-open entry (64) or TIME-WAIT entry (40) and the 8 bytes of its index
    #: entry; active blocks (128); rows (24) and index entries (8) of local addresses; extents (32); chunks of
    #: 256 bytes of all receive buffers and of the transmit buffer, each as a whole.  A TIME-WAIT entry that
    #: was reopened counts until the ring has come round to it.  Free rows count nothing, though touched ones
    #: have their pages.
    connection_bytes: int
    transmit_buffer: BufferSnapshot  #: shared by all connections
    #: Payload sent and not acknowledged by the peers, and payload accepted from the application and never
    #: sent, summed over the connections: what a broadcast stores once counts for each of its receivers.
    unacked_bytes: int
    queued_bytes: int  #: see `unacked_bytes`
    sending: int  #: connections that have something in the transmit buffer
    pools: tuple[PoolSnapshot, ...]  #: those that are open
    counters: Mapping[str, int]  #: named as in the TCP-MIB and Linux' TcpExt where one exists
    #: Connections of Unix-socket groups, closing ones included; they are in none of the other counts.
    unix_connections: int = 0


@dataclass(frozen=True, slots=True)
class ConnectionInfo:
    """One connection; sequence variables carry the names of RFC 9293 section 3.3.1."""

    cd: int  #: its id
    state: str  #: as RFC 9293 calls it, such as "ESTABLISHED"
    local: tuple[str, int]  #: this end's (host, port)
    peer: tuple[str, int]  #: the peer's (host, port)
    snd_una: int  #: oldest sequence number that is not acknowledged
    snd_nxt: int  #: next to be sent
    snd_lbb: int  #: sequence number after the last byte queued
    snd_wnd: int  #: the peer's window, bytes
    rcv_nxt: int  #: next that is expected
    rcv_wnd: int  #: our window, bytes
    rcv_ackd: int  #: acknowledged by the application up to here
    wire_ack: int  #: last ACK number sent
    delivered: int  #: bytes delivered to the application and not yet acknowledged by it
    held: int  #: in-order bytes in the receive buffer
    out_of_order: int  #: bytes held behind a gap
    urgent: int  #: bytes that recv has to return until the end of urgent data; 0: none
    mss: int  #: payload of the largest segment that it sends, bytes
    snd_scale: int  #: shift of the peer's windows (RFC 7323)
    rcv_scale: int  #: shift of our windows
    timestamps: bool  #: agreed in the handshake (RFC 7323)
    ecn: bool  #: agreed in the handshake (RFC 3168); before its end: asked for
    srtt_us: int  #: smoothed round trip (RFC 6298), microseconds
    rttvar_us: int  #: its variation, microseconds
    rto_ms: int  #: retransmission timeout, milliseconds
    cwnd: int  #: congestion window, bytes
    ssthresh: int  #: where slow start ends, bytes
    nagle: bool  #: short segments wait for acknowledgements
    keepalive: bool  #: probed while idle
    retransmits: int  #: of the oldest unacknowledged segment
    idle_ms: int  #: since the peer was last heard, milliseconds
    age_s: int  #: since it was made, seconds
    user: int  #: the application's number
    active: bool  #: an active block is leased

    @property
    def in_flight(self) -> int:
        """Sequence numbers sent and not acknowledged."""
        return (self.snd_nxt - self.snd_una) & 0xFFFF_FFFF
