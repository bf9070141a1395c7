"""Timers: retransmission (RFC 6298), loss probes and reordering (RFC 8985), persist, and the clock hand.

A connection with something pending has one node in the wheel, at the earliest
of its deadlines; one that became later is found out when the node fires.  A
deadline by which the peer should have been heard counts when all that came by
then has been read (heard.pxd).  Idle
connections have none: the clock hand visits their records, a slice at a time,
one turn in SWEEP_S, for keepalive (RFC 9293 section 3.8.4) and for timestamps
that grew too old (RFC 7323 section 5.5).
"""

from libc.stdint cimport uint16_t, uint32_t

from xtcp_twisted import config
from xtcp_twisted.memory.links cimport END
from xtcp_twisted.memory.wheel cimport wheel_arm, wheel_next, wheel_pop
from xtcp_twisted.tcp.close cimport conn_fail, conn_free
from xtcp_twisted.tcp.connect cimport connect_again
from xtcp_twisted.tcp.connection cimport (
    EVENT_DOWN,
    conn_ack_now,
    conn_earliest,
    conn_load,
    conn_queue_output,
    conn_settle,
    conn_times_out,
    conn_user_timeout,
    groups_tell,
)
from xtcp_twisted.tcp.counters cimport (
    C_ABORT_ON_TIMEOUT,
    C_DELAYED_ACKS,
    C_KEEPALIVE_PROBES,
    C_TCP_TIMEOUTS,
)
from xtcp_twisted.tcp.flags cimport (
    ACTIVE_ACK_HELD,
    ACTIVE_LINGER,
    ACTIVE_PROBE,
    ACTIVE_REORDER,
    ACTIVE_SYN,
    ACTIVE_TAIL,
    ACTIVE_TRANSMIT,
    RECORD_ENDED,
    RECORD_KEEPALIVE,
    RECORD_PROMISED,
    RECORD_SHORT,
    RECORD_TIMESTAMPS,
    RECORD_TS_STALE,
)
from xtcp_twisted.tcp.layout cimport active_at, earlier, record_at, record_t
from xtcp_twisted.tcp.halfopen cimport half_open_due, half_open_timers
from xtcp_twisted.tcp.pathmtu cimport pathmtu_age, pathmtu_timeout
from xtcp_twisted.tcp.recovery cimport recovery_back_off, recovery_reordering_over, recovery_timeout
from xtcp_twisted.tcp.relief cimport relief_look, relief_walk
from xtcp_twisted.tcp.reply cimport reply_probe
from xtcp_twisted.tcp.tailprobe cimport tailprobe_fire
from xtcp_twisted.tcp.timewait cimport time_wait_age
from xtcp_twisted.tcp.transmit cimport transmit_wake

cdef uint32_t SWEEP_MS = int(config.SWEEP_S * 1000)

cdef enum:
    ETIMEDOUT = 110
    SLICES = 64                # of one turn of the clock hand
    TS_LIFETIME_MS = 2_073_600_000  # 24 days
    LONG_AGO_MS = 240_000      # longer than any RTO; the unit of last_sent turns over at 524 s
    WOKEN_AT_ONCE = 65_536     # records that one poll visits after a fall of the pressure
    FIRED_AT_ONCE = 4_096      # connections whose timers one poll fires
    LATE_SHARE = 4             # who waits until more is heard is looked at again so much later, of how late
    LATE_MS = 200              # that is, and no more than this


cdef void _retransmit(conn_t *c) noexcept nogil:
    """RFC 6298 (5.4) to (5.6), or a probe when the peer's window is closed (RFC 9293 section 3.8.6.1)."""
    if c.a.flags & ACTIVE_SYN:
        connect_again(c)
    elif c.r.snd_una == c.r.snd_nxt and c.r.snd_wnd:
        # No loss: the override timeout of a window too small to be filled (section 3.8.6.2.1 (4)).
        c.a.flags &= ~ACTIVE_TRANSMIT
        c.a.flags |= ACTIVE_PROBE
        conn_queue_output(c)
        return
    elif c.r.snd_wnd == 0:
        c.a.flags |= ACTIVE_PROBE
        if c.r.resends == 0:
            c.a.progress = c.s.now_ms
    else:
        c.s.counters[C_TCP_TIMEOUTS] += 1
        recovery_timeout(c)
        pathmtu_timeout(c)
    recovery_back_off(c)
    conn_queue_output(c)


cdef void _transmit_due(conn_t *c) noexcept nogil:
    """The timer of what is in flight: for reordering, for a tail loss probe, or the last resort."""
    if c.a.flags & ACTIVE_REORDER:
        recovery_reordering_over(c)
    elif c.a.flags & ACTIVE_TAIL:
        tailprobe_fire(c)
    else:
        _retransmit(c)


cdef void _arm_again(conn_t *c) noexcept nogil:
    """The node fires at the next deadline, or for one that has passed and still waits, a while later."""
    cdef bint any = False
    cdef uint32_t when = conn_earliest(c, &any), now = c.s.now_ms, late = now - c.s.heard_ms
    if not any:
        return
    if late and not earlier(now, when):
        when = now + min(late // LATE_SHARE + 1, <uint32_t>LATE_MS)
        if c.a.flags & ACTIVE_ACK_HELD and earlier(c.a.acknowledge_at, when):
            when = c.a.acknowledge_at
    wheel_arm(&c.s.wheel, c.r.active, when)


cdef void _fire(conn_t *c) noexcept nogil:
    cdef uint32_t now = c.s.now_ms, heard = c.s.heard_ms
    if c.a.flags & ACTIVE_LINGER and not earlier(heard, c.a.linger_at):
        if c.a.flags & ACTIVE_SYN:
            c.s.counters[C_ABORT_ON_TIMEOUT] += 1
            conn_fail(c, EVENT_DOWN, ETIMEDOUT)
        else:
            conn_free(c)
        return
    if conn_times_out(c) and not earlier(heard, c.a.progress + conn_user_timeout(c)):
        c.s.counters[C_ABORT_ON_TIMEOUT] += 1
        conn_fail(c, EVENT_DOWN, ETIMEDOUT)
        return
    if c.a.flags & ACTIVE_ACK_HELD and not earlier(now, c.a.acknowledge_at):
        c.a.flags &= ~ACTIVE_ACK_HELD
        c.s.counters[C_DELAYED_ACKS] += 1
        conn_ack_now(c)
    if c.a.flags & ACTIVE_TRANSMIT and not earlier(heard, c.a.transmit_at):
        _transmit_due(c)
    _arm_again(c)
    conn_settle(c)


cdef void _wake_all(stack_t *s) noexcept nogil:
    """Each fall of the transmit buffer's pressure: one walk over the records, a slice in each poll."""
    cdef uint32_t left = WOKEN_AT_ONCE
    cdef record_t *r
    cdef conn_t c
    if s.falls_seen != s.pressure.falls:
        s.falls_seen = s.pressure.falls
        s.to_wake = s.records.fresh
    while left and s.to_wake:
        left -= 1
        s.to_wake -= 1
        r = record_at(s, s.to_wake)
        if r.generation & 1 and not r.flags & (RECORD_ENDED | RECORD_PROMISED):
            conn_load(&c, s, s.to_wake)
            transmit_wake(&c)


cdef void _visit(stack_t *s, uint32_t slot) noexcept nogil:
    """The clock hand at one record: at most one keepalive probe a turn."""
    cdef record_t *r = record_at(s, slot)
    cdef uint32_t idle = s.now_ms - r.last_heard, late = s.now_ms - s.heard_ms
    cdef conn_t c
    if not r.generation & 1 or r.flags & (RECORD_ENDED | RECORD_PROMISED):
        return
    if idle > TS_LIFETIME_MS and r.flags & RECORD_TIMESTAMPS:
        r.flags |= RECORD_TS_STALE
    if 8 * <uint16_t>((s.now_ms >> 3) - r.last_sent) > LONG_AGO_MS:
        r.last_sent = 0
    if not r.flags & (RECORD_KEEPALIVE | RECORD_SHORT):
        return
    conn_load(&c, s, slot)
    transmit_wake(&c)
    if not r.flags & RECORD_KEEPALIVE:
        return
    if idle < late + c.g.keepalive_ms + r.probes * c.g.keepalive_interval_ms:
        return
    if c.a != NULL and c.a.flags & ACTIVE_TRANSMIT:
        return
    if r.probes >= c.g.keepalive_probes:
        s.counters[C_ABORT_ON_TIMEOUT] += 1
        conn_fail(&c, EVENT_DOWN, ETIMEDOUT)
        return
    r.probes += 1
    s.counters[C_KEEPALIVE_PROBES] += 1
    reply_probe(s, r)


cdef void _sweep(stack_t *s) noexcept nogil:
    """One slice of the clock hand, when it is due."""
    cdef uint32_t slice_rows, i
    if earlier(s.now_ms, s.hand_at):
        return
    s.hand_at = s.now_ms + SWEEP_MS // SLICES
    time_wait_age(s)
    pathmtu_age(s)
    relief_look(s)
    slice_rows = s.records.fresh // SLICES + 1
    for i in range(slice_rows):
        if s.hand >= s.records.fresh:
            s.hand = 0
            if i or not s.records.fresh:
                break
        _visit(s, s.hand)
        s.hand += 1


cdef void timers_fire(stack_t *s) noexcept nogil:
    cdef uint32_t row, _
    cdef conn_t c
    half_open_timers(s)
    for _ in range(FIRED_AT_ONCE):
        row = wheel_pop(&s.wheel, s.now_ms)
        if row == END:
            break
        conn_load(&c, s, active_at(s, row).slot)
        _fire(&c)
    groups_tell(s)
    _wake_all(s)
    _sweep(s)
    relief_walk(s)


cdef bint timers_due(const stack_t *s, uint32_t *when) noexcept nogil:
    cdef uint32_t candidate = 0
    cdef bint found = half_open_due(s, when)
    if wheel_next(&s.wheel, &candidate) and (not found or earlier(candidate, when[0])):
        when[0] = candidate
        found = True
    if s.records.used or s.time_wait_live:
        if not found or earlier(s.hand_at, when[0]):
            when[0] = s.hand_at
            found = True
    return found
