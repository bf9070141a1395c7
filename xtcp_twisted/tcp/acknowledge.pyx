"""Acknowledgement under three policies, and the receive window.

Three points per connection (P14): `rcv_nxt` is what arrived in order,
`rcv_ackd` what the application acknowledged, `wire_ack` what the peer was
told.  Redelivery and buffer space depend on `rcv_ackd` only, the peer sees
`wire_ack` only.

        rcv_ackd <= wire_ack <= rcv_nxt <= rcv_adv      (bounded, immediate)
        wire_ack == rcv_ackd                            (application)

While the application calls a request incomplete (`need`), what has come of it is
acknowledged under `application` as under `bounded`: the sender of a long request
would else wait for an acknowledgement, and the application for the rest.  The last
byte of a request is never among it.

`rcv_adv`, the right edge of the window, never moves left (RFC 9293 SHLD-14).
While the pool is frozen it stays where it is for a connection that holds data,
once that connection may hold what each is guaranteed (and but for the rounding
of scaled windows, which is always up).
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from xtcp_twisted import config
from xtcp_twisted.tcp.congestion cimport segment_size
from xtcp_twisted.tcp.connection cimport (
    conn_ack_now,
    conn_arm,
    conn_holds,
    conn_lease,
    conn_pressure,
    conn_throttle,
    conn_update_ready,
    conn_withheld,
    group_throttled,
)
from xtcp_twisted.tcp.counters cimport (
    C_CHALLENGE_ACKS,
    C_PIGGYBACKED_ACKS,
    C_PURE_ACKS,
    C_WINDOW_UPDATES,
)
from xtcp_twisted.tcp.groups cimport (
    G_PIGGYBACKED,
    G_PURE_ACKS,
    POLICY_APPLICATION,
    POLICY_IMMEDIATE,
    T_ACKS_WITHHELD,
)
from xtcp_twisted.tcp.flags cimport (
    ACTIVE_ACK_HELD,
    ACTIVE_ACK_NOW,
    RECORD_DETACHED,
    RECORD_ENDED,
    RECORD_FAST_OPEN,
    RECORD_FIN_RECEIVED,
    RECORD_PROMISED,
    RECORD_SCALING,
)
from xtcp_twisted.tcp.layout cimport CHUNK_BYTES, earlier
from xtcp_twisted.tcp.pressure cimport PRESSURE_FROZEN
from xtcp_twisted.tcp.receive cimport receive_drop, receive_quota, receive_room
from xtcp_twisted.wire.sequence cimport seq_ge, seq_gt, seq_lt, seq_max, seq_min

cdef uint32_t MAX_ACK_DELAY_MS = config.MAX_ACK_DELAY_MS
cdef uint32_t SYN_WINDOW = 65_535 >> config.WINDOW_SCALE << config.WINDOW_SCALE

cdef enum:
    MOST_HELD = 255
    PACE_UNITS = 63            # of 8 ms: 500 ms
    LEAST_CHUNKS = 8
    ROOM_ENOUGH = 4            # segments that the peer may still send: it is not held up


cdef bint request_incomplete(const conn_t *c) noexcept nogil:
    return c.r.rcv_nxt - c.r.rcv_ackd < c.a.need and not c.r.flags & RECORD_FIN_RECEIVED


cdef bint _lacks_window(const conn_t *c) noexcept nogil:
    """Whether the peer has not been shown room for the whole request: then any step is worthwhile."""
    return c.a != NULL and c.r.rcv_adv - c.r.rcv_ackd < c.a.need


cdef uint32_t ack_number(const conn_t *c) noexcept nogil:
    cdef uint32_t ack
    if c.a == NULL or c.g.policy != POLICY_APPLICATION or c.r.flags & RECORD_DETACHED:
        return c.r.rcv_nxt
    if request_incomplete(c):
        return c.r.rcv_nxt
    ack = seq_max(c.a.wire_ack, c.r.rcv_ackd)
    # FIN is acknowledged with the last byte.
    if c.r.flags & RECORD_FIN_RECEIVED and ack == c.r.rcv_nxt - 1:
        return c.r.rcv_nxt
    return ack


cdef uint32_t first_window(uint32_t pool_chunks, uint32_t weight) noexcept nogil:
    cdef uint32_t chunks = pool_chunks // 64 * weight
    if chunks < LEAST_CHUNKS:
        chunks = LEAST_CHUNKS
    return 65_535 if chunks > 65_535 // CHUNK_BYTES else chunks * CHUNK_BYTES


cdef bint window_frozen(const conn_t *c) noexcept nogil:
    return conn_holds(c) and conn_pressure(c) >= PRESSURE_FROZEN


cdef uint32_t _quota(const conn_t *c) noexcept nogil:
    """Of a frozen connection, what each one is guaranteed: else a request begun might never be complete."""
    return c.g.guaranteed * CHUNK_BYTES if window_frozen(c) else receive_quota(c)


cdef uint32_t _room(const conn_t *c) noexcept nogil:
    cdef uint32_t room = receive_room(c), left
    if window_frozen(c):
        left = (c.g.guaranteed - c.a.rx_chunks) * CHUNK_BYTES if c.a.rx_chunks < c.g.guaranteed else 0
        return left if left < room else room
    return room


cdef uint32_t _edge(const conn_t *c) noexcept nogil:
    """The right edge that may be shown now: moved only by a worthwhile step (SWS, MUST-39)."""
    cdef uint32_t room = _room(c), quota = _quota(c), step = segment_size(c.r)
    cdef uint32_t most = 65_535 << (c.r.scales >> 4) if c.r.flags & RECORD_SCALING else 65_535
    cdef uint32_t edge
    if room > most:
        room = most
    edge = c.r.rcv_nxt + room
    if c.r.flags & RECORD_FAST_OPEN:
        edge = seq_min(edge, ack_number(c) + SYN_WINDOW)
    if step > quota // 2:
        step = quota // 2
    if _lacks_window(c):
        step = 1
    return edge if seq_gt(edge, c.r.rcv_adv) and edge - c.r.rcv_adv >= step else c.r.rcv_adv


cdef uint16_t window_field(conn_t *c, uint32_t ack) noexcept nogil:
    cdef int shift = c.r.scales >> 4 if c.r.flags & RECORD_SCALING else 0
    if window_frozen(c):
        conn_throttle(c)
    cdef uint32_t edge = _edge(c), units = (edge - ack) >> shift
    # Rounding down must not take back what was shown, nor keep out the end of a request; then round up.
    if seq_lt(ack + (units << shift), edge if _lacks_window(c) else c.r.rcv_adv):
        units += 1
    if units > 65_535:
        units = 65_535
    if seq_gt(ack + (units << shift), c.r.rcv_adv):
        c.r.rcv_adv = ack + (units << shift)
    return <uint16_t>units


cdef void _hold(conn_t *c, uint32_t delay_ms) noexcept nogil:
    """The acknowledgement waits for something to ride on; one that waits already, no longer than it would."""
    if not c.a.flags & ACTIVE_ACK_HELD:
        c.a.flags |= ACTIVE_ACK_HELD
        c.a.acknowledge_at = c.s.now_ms + delay_ms
        conn_arm(c)


cdef bint _withholding(const conn_t *c) noexcept nogil:
    """Bytes in order are acknowledged as late as RFC 9293 allows (MUST-40).

    Under the `application` policy they wait for the application anyway.
    """
    return c.g.policy != POLICY_APPLICATION and conn_holds(c) and conn_withheld(c)


cdef bint _is_withheld(const conn_t *c) noexcept nogil:
    """Whether the held acknowledgement waits longer than without pressure."""
    return c.a.flags & ACTIVE_ACK_HELD and earlier(c.s.now_ms + c.g.ack_delay_ms, c.a.acknowledge_at)


cdef void ack_received(conn_t *c, bint prompt, uint16_t segments) noexcept nogil:
    conn_lease(c)
    if c.r.flags & RECORD_DETACHED:
        conn_ack_now(c)
        return
    c.a.held = <uint8_t>min(c.a.held + segments, MOST_HELD)
    if _withholding(c) and not prompt:
        group_throttled(c.s, c.g, T_ACKS_WITHHELD, 1)
        conn_throttle(c)
        _hold(c, MAX_ACK_DELAY_MS)
        return
    if c.g.policy == POLICY_IMMEDIATE:
        conn_ack_now(c)
        return
    if c.g.policy == POLICY_APPLICATION and not request_incomplete(c):
        # What was held of the request while it was incomplete waits with the rest of it.
        c.a.flags &= ~ACTIVE_ACK_HELD
        if prompt:
            conn_ack_now(c)
        return
    if prompt or c.a.held >= 2:
        # A second segment: the peer would soon probe (2 SRTT), so the next flush acknowledges both.
        conn_ack_now(c)
    else:
        _hold(c, c.g.ack_delay_ms)


cdef void ack_incomplete(conn_t *c) noexcept nogil:
    if c.r.flags & (RECORD_DETACHED | RECORD_ENDED | RECORD_PROMISED):
        return
    if c.g.policy == POLICY_APPLICATION and request_incomplete(c) and c.a.wire_ack != c.r.rcv_nxt:
        if c.a.held >= 2:
            conn_ack_now(c)
        else:
            _hold(c, c.g.ack_delay_ms)
    if _lacks_window(c) and _edge(c) != c.r.rcv_adv:
        conn_ack_now(c)


cdef void ack_policy_changed(conn_t *c) noexcept nogil:
    cdef bint held
    if c.a == NULL or c.r.flags & (RECORD_DETACHED | RECORD_ENDED):
        return
    held = c.a.flags & ACTIVE_ACK_HELD != 0
    if c.g.policy == POLICY_APPLICATION:
        # What the peer was told is not taken back; the rest now waits for the application.
        c.a.flags &= ~ACTIVE_ACK_HELD
        if ack_number(c) != c.a.wire_ack:
            conn_ack_now(c)
    elif not held and ack_number(c) == c.a.wire_ack:
        return
    elif c.g.policy == POLICY_IMMEDIATE and not _withholding(c):
        conn_ack_now(c)
    elif held:
        if not _withholding(c) and _is_withheld(c):
            c.a.acknowledge_at = c.s.now_ms + c.g.ack_delay_ms
            conn_arm(c)
    elif c.a.held >= 2:
        conn_ack_now(c)
    else:
        _hold(c, c.g.ack_delay_ms)


cdef void window_of_syn(conn_t *c) noexcept nogil:
    c.r.rcv_adv = seq_min(c.r.rcv_adv, c.r.rcv_nxt + SYN_WINDOW)


cdef bint _is_worth_update(const conn_t *c) noexcept nogil:
    cdef uint32_t quota = _quota(c), shown = c.r.rcv_adv - c.r.rcv_nxt, step = 2 * c.r.mss
    # What can be shown, not what there is room for: else the update would be a duplicate ACK.
    cdef uint32_t gain = _edge(c) - c.r.rcv_nxt - shown
    # Two segments more for a peer that is near the edge, a quarter of the buffer for any other.
    if shown >= quota // 2:
        step = quota // 4
    elif step > quota // 2:
        step = quota // 2
    return gain >= step


cdef bint window_update(conn_t *c) noexcept nogil:
    if not _is_worth_update(c):
        return False
    c.s.counters[C_WINDOW_UPDATES] += 1
    conn_ack_now(c)
    return True


cdef void ack_application(conn_t *c, uint32_t n, bint ride) noexcept nogil:
    cdef bint partly = n != c.a.delivered - c.r.rcv_ackd
    c.r.rcv_ackd += n
    receive_drop(c, n)
    if partly or seq_lt(c.a.read_nxt, c.r.rcv_ackd):
        # The rest of what was delivered is offered again, first (P18).
        c.a.read_nxt = c.r.rcv_ackd
    conn_update_ready(c)
    if c.r.flags & RECORD_ENDED:
        return
    if _is_withheld(c):
        # What the application acknowledged is never withheld.
        conn_ack_now(c)
        return
    if ride and c.a.flags & ACTIVE_ACK_HELD and c.r.rcv_adv - c.r.rcv_nxt >= ROOM_ENOUGH * c.r.mss:
        return  # a window update rides, too: the peer does not wait for it
    if ack_number(c) != c.a.wire_ack:
        conn_ack_now(c)
    elif not window_update(c) and window_frozen(c):
        conn_throttle(c)


cdef void ack_sent(conn_t *c, uint32_t ack, bint with_data) noexcept nogil:
    if c.a == NULL:
        return
    if with_data and (ack != c.a.wire_ack or c.a.flags & (ACTIVE_ACK_NOW | ACTIVE_ACK_HELD)):
        c.s.counters[C_PIGGYBACKED_ACKS] += 1
        c.g.counters[G_PIGGYBACKED] += 1
    elif not with_data:
        c.s.counters[C_PURE_ACKS] += 1
        c.g.counters[G_PURE_ACKS] += 1
    c.a.wire_ack = ack
    c.a.held = 0
    c.a.flags &= ~(ACTIVE_ACK_NOW | ACTIVE_ACK_HELD)


cdef bint ack_paced(conn_t *c) noexcept nogil:
    cdef uint16_t now = <uint16_t>(c.s.now_ms >> 3)
    if c.r.challenged and <uint16_t>(now - c.r.challenged) < PACE_UNITS:
        return False
    c.r.challenged = now if now else 1
    conn_ack_now(c)
    return True


cdef void ack_challenge(conn_t *c) noexcept nogil:
    if ack_paced(c):
        c.s.counters[C_CHALLENGE_ACKS] += 1


cdef void ack_distant_reset(conn_t *c, uint32_t seq) noexcept nogil:
    if seq_ge(seq, c.r.rcv_adv) and seq_lt(seq, c.r.rcv_nxt + receive_room(c)):
        ack_challenge(c)
