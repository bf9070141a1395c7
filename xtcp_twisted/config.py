"""Constants and the configuration of the engine.

Every protocol constant stands here once, with the sentence of the RFC that it
comes from.  `EngineConfig` is what one engine is made of, `GroupOptions` what
all connections of one group share (P05).  Both are frozen and validate
themselves: a value out of range is a `ConfigurationError` that names the field
and says what is allowed.

Knows nothing of packets, memory or Twisted.  The TOML file of ``twistd xtcp``
is read in `xtcp_twisted.reactor.settings`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

import attrs

from xtcp_twisted.checks import FLAG, SHARE, check, integer, is_integer, is_number, one_of, seconds
from xtcp_twisted.errors import ConfigurationError

KiB: Final = 1024
MiB: Final = 1024 * KiB
GiB: Final = 1024 * MiB

#: Acknowledge everything that was delivered (the `ackd` of `send`).
ALL: Final = 0xFFFF_FFFF
#: Accept credits that never run out (the `n` of `credit`).
UNLIMITED: Final = 0xFFFF_FFFF

# --- Retransmission, RFC 6298 -------------------------------------------------

#: RFC 6298 (2.1): until a round-trip time measurement has been made, the sender
#: SHOULD set RTO <- 1 second.
INITIAL_RTO_MS: Final = 1_000
#: RFC 6298 (2.4) says SHOULD be rounded up to 1 second.  200 ms above SRTT is a
#: deliberate deviation, the one Linux makes, because a lost answer costs its user
#: a second.
MIN_RTO_MS: Final = 200
#: RFC 6298 (2.5): a maximum value MAY be placed on RTO provided it is at least
#: 60 seconds.
MAX_RTO_MS: Final = 120_000
#: RFC 6298 (5.7): a connection whose SYN-ACK was lost starts with 3 seconds.
RTO_AFTER_LOST_SYN_MS: Final = 3_000
#: RFC 8985 section 7.2, TLP.max_ack_delay: how long the peer may hold the
#: acknowledgement of a single segment.
TAIL_ACK_DELAY_MS: Final = 200
#: Architecture section 6: an answer that left less than this, or a round trip, ago is not sent again
#: because its request came again.
REPLAY_MIN_AGE_MS: Final = 10
#: RFC 8985 section 7.2: the PTO without a measured round trip.
INITIAL_PROBE_MS: Final = 1_000
#: Ticks of the clock that a loss probe waits beyond two round trips, so that an
#: acknowledgement on its way is not overtaken on a path of less than a tick.
PROBE_SLACK_MS: Final = 2
#: RFC 8985 section 6.2, step 4: RACK.reo_wnd_persist, in recoveries.
REORDERING_PERSIST: Final = 16
#: Extents that one acknowledgement may visit (attacks: SACK slowness,
#: CVE-2019-11478); what lies behind them waits for the next one.
MAX_SCOREBOARD_VISITS: Final = 4_096
#: RFC 9293 SHLD-10: R1 SHOULD correspond to at least 3 retransmissions; then the
#: application is told (SHLD-9).
R1_RETRANSMISSIONS: Final = 3
#: RFC 9293 section 3.8.6.2.1: the override timeout of silly window avoidance
#: should be 0.1 to 1.0 seconds; it is the retransmission timeout, at most this.
OVERRIDE_MS: Final = 1_000
#: RFC 9293 SHLD-11: R2 SHOULD correspond to at least 100 s.
USER_TIMEOUT_S: Final = 100.0
#: RFC 9293 MUST-23 asks three minutes for a SYN.  For a SYN-ACK five tries, 31 s,
#: are a deviation like that of every kernel (Linux: six, 63 s).
SYN_ACK_TRIES: Final = 5
#: RFC 9293 MUST-23: R2 for a SYN MUST be set large enough to provide
#: retransmission of the segment for at least 3 minutes.
CONNECT_TIMEOUT_S: Final = 180.0
#: RFC 6056 section 3.2 asks for as large a range as possible; this one, that of
#: Linux, leaves the ports of services alone.
EPHEMERAL_PORTS: Final = (32_768, 60_999)

# --- Acknowledgement, RFC 9293 section 3.8.6.3 --------------------------------

#: How long the `bounded` policy holds an ACK for the answer.  A Nagle client
#: waits for it before its second small write, hence no more than this.
ACK_DELAY_MS: Final = 40
#: RFC 9293 MUST-40: the delay MUST be less than 0.5 seconds.
MAX_ACK_DELAY_MS: Final = 499

# --- Segment sizes ------------------------------------------------------------

#: RFC 9293 MUST-15: without an MSS option, assume 536 for IPv4 ...
DEFAULT_MSS_V4: Final = 536
#: ... and 1220 for IPv6.
DEFAULT_MSS_V6: Final = 1_220
#: The least payload that a peer's MSS option can make us send (attacks: SACK
#: panic, CVE-2019-11479).
MIN_SEND_MSS: Final = 216
#: RFC 6928: initial window of min(10*MSS, max(2*MSS, 14600)).
INITIAL_WINDOW_SEGMENTS: Final = 10
#: Our window scale; RFC 7323 section 2.3 allows up to 14.
WINDOW_SCALE: Final = 7

# --- Path MTU discovery, RFC 1191 and RFC 8201 --------------------------------

#: No packet-too-big makes packets smaller than this over IPv4: RFC 1191 allows 68, which would make
#: segments that are all header (RFC 5927 section 7.1); the value is Linux' `min_pmtu` ...
MIN_PATH_MTU_V4: Final = 552
#: ... nor over IPv6: RFC 8200 section 5 requires every link to have an MTU of 1280 octets.
MIN_PATH_MTU_V6: Final = 1_280
#: RFC 1191 section 6.3: an increase MUST NOT be tried less than 5 minutes after a packet-too-big; RFC 8201
#: section 4 recommends 10 minutes.
PATH_LIFETIME_S: Final = 600
#: Timeouts of one segment after which its size is suspected (RFC 4821 section 7.7: a black hole); twice
#: as many when a segment of that size has come through.
BLACK_HOLE_TIMEOUTS: Final = 3

# --- Opening and closing ------------------------------------------------------

#: Twice the maximum segment lifetime of RFC 9293 section 3.4.2, as Linux has it.
TIME_WAIT_S: Final = 60.0
#: A Linux client's second SYN comes after 1 s; the decision must come before.
ACCEPT_TIMEOUT_MS: Final = 900
MAX_HALF_OPEN: Final = 65_536
MAX_TIME_WAIT: Final = 131_072
#: RFC 4987 section 3.6: when SYNs are answered without keeping anything of them.
SYN_COOKIES: Final = ("auto", "always", "off")
#: How long one key makes SYN cookies; what the one before it made is still taken.
COOKIE_SLOT_S: Final = 64
#: The segment sizes that a SYN cookie can hold: what common paths announce, rounded down.
COOKIE_MSS: Final = (216, 536, 1_220, 1_360, 1_400, 1_440, 1_460, 8_940)

#: RFC 7413 section 5.1: cookies have to expire; half a day to a day suits clients that come back daily.
FAST_OPEN_KEY_S: Final = 43_200.0

# --- Keepalive, RFC 9293 section 3.8.4 ----------------------------------------

#: RFC 9293 MUST-24, -25: off by default, and the interval no less than two hours: for a connection that
#: asks for probes though its group does not.
KEEPALIVE_IDLE_S: Final = 7_200.0
KEEPALIVE_INTERVAL_S: Final = 30.0
KEEPALIVE_PROBES: Final = 3

#: The most that `guaranteed_bytes` may be: what one delivery brings.
MOST_GUARANTEED: Final = 256 * KiB

ACK_POLICIES: Final = ("bounded", "application", "immediate")
CONGESTION_CONTROLS: Final = ("cubic", "reno")
ECN_MODES: Final = ("off", "passive", "on")
PRIORITIES: Final = ("high", "normal", "low")
THROTTLINGS: Final = ("both", "withhold", "discard")
REFUSALS: Final = ("reset", "silent")

#: One turn of the clock hand over all records, seconds.
SWEEP_S: Final = 30.0

# --- Changes while an engine runs ---------------------------------------------

#: In the metadata of what a call can change later: whom the change reaches.  What has no such entry is fixed
#: from the start.
REACHES: Final = "reaches"
#: Connections that live follow, within a few polls when there are many.
LIVE: Final = {REACHES: "all connections"}
#: Requests are treated so from now on; connections that live do not notice.
REQUESTS: Final = {REACHES: "requests"}
#: A handshake agrees on it, or begins with it: connections that live keep what they have.
HANDSHAKES: Final = {REACHES: "new connections"}
#: Connections that live follow a lower value, and keep theirs when it becomes a higher one.
LOWERED: Final = {REACHES: "all connections when lower, new ones when higher"}


def _pair(value: Any) -> Any:
    """A list, as TOML has it, as a tuple; anything else is for the validator."""
    return tuple(value) if isinstance(value, list) else value


def _port_range(value: Any) -> bool:
    first, last = value if isinstance(value, tuple) and len(value) == 2 else (0, 0)
    return is_integer(first, 1, 65_535) and is_integer(last, first, 65_535)


@attrs.frozen(kw_only=True)
class PressureThresholds:
    """Shares of a buffer at which its pressure state rises (P27 to P30).

    What each state does to a pool and to the transmit buffer stands in
    docs/architecture.md, "Under pressure".
    """

    #: In use from here on: frozen.
    frozen: float = attrs.field(default=0.5, validator=SHARE, metadata=LIVE)
    #: In use from here on: withholding.
    withholding: float = attrs.field(default=0.75, validator=SHARE, metadata=LIVE)
    #: In use from here on: discarding.
    discarding: float = attrs.field(default=0.875, validator=SHARE, metadata=LIVE)
    #: A state ends when the use falls by this share below where it began.
    hysteresis: float = attrs.field(
        default=0.05,
        validator=check("a share from 0, less than 1", lambda v: is_number(v, 0, 1) and v < 1),
        metadata=LIVE,
    )

    def __attrs_post_init__(self) -> None:
        if not self.frozen < self.withholding < self.discarding:
            raise ConfigurationError(
                f"frozen: {self.frozen:g}, withholding: {self.withholding:g} and discarding:"
                f" {self.discarding:g} are not allowed together; each has to be above the one before"
            )
        if not self.hysteresis < self.frozen:
            raise ConfigurationError(
                f"hysteresis: {self.hysteresis:g} is not allowed; give less than frozen, {self.frozen:g}"
            )


@attrs.frozen(kw_only=True)
class EngineConfig:
    """What one engine is made of.

    Sizes are in bytes, times in the unit that the name ends in.
    """

    #: IPv4 and IPv6 addresses, or whole prefixes, that this engine answers for.
    addresses: tuple[str, ...] = attrs.field(converter=tuple)
    #: Rows of the record table: established and closing connections together.
    max_connections: int = attrs.field(default=65_536, validator=integer(16, 1 << 27))
    #: The one transmit buffer that all connections share (P19).
    transmit_buffer: int = attrs.field(default=64 * MiB, validator=integer(64 * KiB, 64 * GiB))
    #: Where the transmit buffer's pressure states begin; a pool has thresholds of its own.
    pressure: PressureThresholds = attrs.field(
        factory=PressureThresholds,
        validator=check("PressureThresholds(...)", lambda v: isinstance(v, PressureThresholds)),
    )
    #: Address space reserved for all engine state; memory is committed on touch.
    arena_limit: int = attrs.field(default=4 * GiB, validator=integer(1 * MiB, 1 << 42))
    #: Connection requests between their SYN and the end of the handshake.
    max_half_open: int = attrs.field(default=MAX_HALF_OPEN, validator=integer(16, 1 << 22))
    #: First and last of the source ports that `Group.connect` chooses from (RFC 6056).
    ephemeral_ports: tuple[int, int] = attrs.field(
        default=EPHEMERAL_PORTS,
        converter=_pair,
        validator=check("two ports from 1 to 65,535, the lower one first", _port_range),
    )
    #: Connections in TIME-WAIT; when full, the oldest leaves first.
    max_time_wait: int = attrs.field(default=MAX_TIME_WAIT, validator=integer(16, 1 << 22))
    #: A request that the application has not accepted after this time is refused.
    accept_timeout_ms: int = attrs.field(default=ACCEPT_TIMEOUT_MS, validator=integer(1, 60_000))
    #: SYN-ACKs sent before a handshake is given up.
    syn_ack_tries: int = attrs.field(default=SYN_ACK_TRIES, validator=integer(1, 10))
    #: Whether connection requests of groups with accept credits are answered by SYN cookies, which take no
    #: memory (RFC 4987 section 3.6): `auto` does so while the half-open table is over 3/4 full, `always` for
    #: each request, `off` never.  A client without timestamps has no window scale and no SACK then.
    syn_cookies: str = attrs.field(default="auto", validator=one_of(*SYN_COOKIES))
    #: How long one key makes the cookies of TCP Fast Open; those of the one before are taken as long again
    #: (RFC 7413 section 5.1).  0: until `Engine.rotate_fast_open_key` is called, as where several servers
    #: behind one address have to share their keys.
    fast_open_key_s: float = attrs.field(
        default=FAST_OPEN_KEY_S, validator=seconds(1, 10_000_000, zero="for a key that stays")
    )
    #: RFC 9293's 2 MSL.
    time_wait_s: float = attrs.field(default=TIME_WAIT_S, validator=seconds(0.001, 600))
    #: RST segments per second in answer to segments of no connection (RFC 9293 3.10.7.1).
    resets_per_second: int = attrs.field(default=1_000, validator=integer(0, 10_000_000))
    #: Messages of ICMP per second that answer others: echo replies and errors together.
    icmp_per_second: int = attrs.field(default=1_000, validator=integer(0, 10_000_000))
    #: Cached answers per second that leave at once because their request came again, before the resend
    #: timer; 0 leaves them all to the timer (P22).
    replays_per_second: int = attrs.field(default=10_000, validator=integer(0, 10_000_000))
    #: Packets taken in by one `poll`, so that one turn of a reactor is bounded.
    packets_per_poll: int = attrs.field(default=512, validator=integer(1, 1_000_000))
    #: While packets come, look at the link only once in so many microseconds, as ethtool's rx-usecs has
    #: it: with very many clients a turn then has several packets, which saves most of its cost, and each
    #: answer waits for it, half of that time on average. What comes to an engine that is idle is taken in
    #: at once. 0 looks whenever there is something.
    coalesce_us: int = attrs.field(default=0, validator=integer(0, 100_000))
    #: Largest packet; 0 takes the link's MTU.
    mtu: int = attrs.field(default=0, validator=integer(576, 65_535, zero="for the link's MTU"))
    #: Source of the keys for ISNs, hashing and timestamps: `f(n) -> n bytes`.
    entropy: Callable[[int], bytes] = attrs.field(
        default=os.urandom, validator=check("a callable", callable), repr=False, eq=False
    )

    def __attrs_post_init__(self) -> None:
        if not self.addresses:
            raise ConfigurationError(
                "addresses: () is not allowed; give at least one address or prefix,"
                " such as '192.0.2.1' or '2001:db8::/64'"
            )


@attrs.frozen(kw_only=True)
class GroupOptions:
    """Preferences that the connections of one group share (P05)."""

    #: When the acknowledgement of a request leaves:
    #: `bounded` holds it for the answer, at most `ack_delay_ms`; `application`
    #: holds it until the application acknowledges; `immediate` is classic TCP.
    ack_policy: str = attrs.field(default="bounded", validator=one_of(*ACK_POLICIES), metadata=LIVE)
    #: The bound of the `bounded` policy (RFC 9293 MUST-40: less than 0.5 s).
    ack_delay_ms: int = attrs.field(
        default=ACK_DELAY_MS, validator=integer(1, MAX_ACK_DELAY_MS), metadata=LIVE
    )
    #: Connections accepted without asking, posted in advance (`credit` adds more).
    accept_credits: int = attrs.field(default=0, validator=integer(0, UNLIMITED), metadata=REQUESTS)
    #: With credits: accept at most this many per second; 0 is no limit.
    accept_rate: float = attrs.field(
        default=0.0,
        validator=check("a number from 0 (no limit) to 10,000,000", lambda v: is_number(v, 0, 10_000_000)),
        metadata=REQUESTS,
    )
    #: How a refused or forgotten request is answered: by RST, or not at all.
    refuse: str = attrs.field(default="reset", validator=one_of(*REFUSALS), metadata=REQUESTS)
    #: Let SYN cookies answer requests (`EngineConfig.syn_cookies`).  Without them a flood drops the oldest
    #: requests; but a SYN cookie is not sent again, so where the server is the first to speak, a client whose
    #: acknowledgement is lost waits for ever.
    syn_cookies: bool = attrs.field(default=True, validator=FLAG, metadata=REQUESTS)
    #: TCP Fast Open (RFC 7413): how many requests may be pending between a SYN that brings a cookie and its
    #: data and the end of the handshake, which the answer does not wait for; more than that are opened in
    #: the ordinary way.  0 turns it off.  A request can reach the application twice (section 6.1), on two
    #: connections, so this is for requests that may be repeated.
    fast_open: int = attrs.field(
        default=0, validator=integer(1, 65_535, zero="for no Fast Open"), metadata=REQUESTS
    )
    #: Tell of data when so many connections of the group have something to receive: by the descriptor and
    #: by DATA events.  End of stream, urgent data, ends and requests are told at once.
    notify_connections: int = attrs.field(default=1, validator=integer(1, 65_535), metadata=LIVE)
    #: Tell of fewer when so long has passed since the first of them; needed with `notify_connections` above
    #: 1, and without effect when that is 1.  More than `ack_delay_ms` costs packets: the acknowledgement
    #: leaves before the answer can.
    notify_delay_ms: int = attrs.field(
        default=0, validator=integer(1, 9_999, zero="for at once"), metadata=LIVE
    )
    #: Idle time before keepalive probes; 0 turns them off (RFC 9293 MUST-25).
    keepalive_s: float = attrs.field(
        default=0.0, validator=seconds(1, 1_000_000, zero="for no keepalive"), metadata=LIVE
    )
    #: Time between keepalive probes.
    keepalive_interval_s: float = attrs.field(
        default=KEEPALIVE_INTERVAL_S, validator=seconds(1, 100_000), metadata=LIVE
    )
    #: Probes that go unanswered before the connection is down.
    keepalive_probes: int = attrs.field(default=KEEPALIVE_PROBES, validator=integer(1, 100), metadata=LIVE)
    #: Unacknowledged data for this long marks the connection down (RFC 9293 MUST-21).
    user_timeout_s: float = attrs.field(
        default=USER_TIMEOUT_S, validator=seconds(1, 1_000_000, zero="for no limit"), metadata=LIVE
    )
    #: A connection that `connect` began and nobody has answered for this long is given up (MUST-23).
    connect_timeout_s: float = attrs.field(
        default=CONNECT_TIMEOUT_S, validator=seconds(0.001, 1_000_000), metadata=HANDSHAKES
    )
    #: Whether short segments wait for acknowledgements (Nagle, RFC 9293 SHLD-7).  Not given: for ordinary
    #: Twisted protocols they do, until `setTcpNoDelay` (MUST-17); for group protocols, who answer by whole
    #: messages, they do not.  Answers never wait, and what one turn writes is joined in any case.
    nagle: bool | None = attrs.field(
        default=None,
        validator=check("true or false", lambda v: v is None or isinstance(v, bool)),
        metadata=LIVE,
    )
    #: Upper bound of the MSS that is announced and used; 0 takes the MTU's.
    mss: int = attrs.field(
        default=0, validator=integer(MIN_SEND_MSS, 65_495, zero="for the MTU's"), metadata=LOWERED
    )
    #: Who comes first.  In delivery: a turn of the reactor serves groups of a higher priority before others.
    #: In acceptance: their requests are taken first, and displace those of others in a crowded table; while
    #: they listen, 1/32 of the records and 1/8 of the half-open entries are kept for each priority above.  In
    #: throttling: from frozen on, a pool seems one pressure state further to `low`, one less to `high`; a
    #: withholding transmit buffer takes nothing of `low` (P30).
    priority: str = attrs.field(default="normal", validator=one_of(*PRIORITIES), metadata=LIVE)
    #: Share of the pool's receive buffer that one connection may hold.
    weight: int = attrs.field(default=1, validator=integer(1, 64), metadata=LIVE)
    #: What one connection may hold while the pool is frozen, too: the longest request that can then still
    #: be completed has 255 bytes less.  Many connections with a part of a long request each fill a pool.
    guaranteed_bytes: int = attrs.field(
        default=2 * KiB, validator=integer(2 * KiB, MOST_GUARANTEED), metadata=LIVE
    )
    #: Offer window scaling (RFC 7323 section 2).
    window_scaling: bool = attrs.field(default=True, validator=FLAG, metadata=HANDSHAKES)
    #: Offer timestamps (RFC 7323 section 3).
    timestamps: bool = attrs.field(default=True, validator=FLAG, metadata=HANDSHAKES)
    #: Offer selective acknowledgement (RFC 2018); RACK-TLP (RFC 8985) comes with it.
    sack: bool = attrs.field(default=True, validator=FLAG, metadata=HANDSHAKES)
    #: How the congestion window grows after a loss: `cubic` (RFC 9438) or `reno` (RFC 5681).
    congestion: str = attrs.field(default="cubic", validator=one_of(*CONGESTION_CONTROLS), metadata=LIVE)
    #: Explicit congestion notification (RFC 3168): `passive` agrees when the peer asks for it, `on` asks in
    #: our own SYNs, too, `off` does neither.  A server that agrees loses nothing; a SYN that asks still
    #: vanishes on some paths, and then costs a second.  Linux' default is the same.
    ecn: str = attrs.field(default="passive", validator=one_of(*ECN_MODES), metadata=HANDSHAKES)
    #: Differentiated services code point of every segment (RFC 2474; RFC 9293 MUST-48): 46 is expedited
    #: forwarding.  The ECN field beside it is not touched.
    dscp: int = attrs.field(default=0, validator=integer(0, 63), metadata=LIVE)
    #: Time to live, IPv6's hop limit, of every segment (RFC 9293 MUST-49); 0 takes the usual 64.
    hop_limit: int = attrs.field(default=0, validator=integer(0, 255), metadata=LIVE)

    def __attrs_post_init__(self) -> None:
        if self.notify_connections > 1 and not self.notify_delay_ms:
            raise ConfigurationError(
                f"notify_connections: {self.notify_connections} needs notify_delay_ms, or a lone connection"
                " would wait for ever; give for example notify_delay_ms=20"
            )
