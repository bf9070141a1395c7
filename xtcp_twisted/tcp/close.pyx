"""How connections end; see close.pxd.

A connection leaves the index the moment it is over for TCP.  Its record stays
until the application took the report of the end; one that the application had
finished with itself is freed at once.
"""

from libc.stdint cimport uint16_t, uint32_t

from xtcp_twisted.memory.index cimport index_remove
from xtcp_twisted.memory.links cimport UNLINKED
from xtcp_twisted.memory.slab cimport NONE, slab_return
from xtcp_twisted.tcp.connection cimport (
    EVENT_CLOSED,
    conn_ack_now,
    conn_arm,
    conn_lease,
    conn_queue_output,
    conn_release,
    conn_report,
    conn_reported,
    conn_update_ready,
)
from xtcp_twisted.tcp.counters cimport C_ABORT_ON_DATA, C_ATTEMPT_FAILS, C_ENDED
from xtcp_twisted.tcp.groups cimport G_ENDED
from xtcp_twisted.tcp.flags cimport (
    ACTIVE_CLOSE_DUE,
    ACTIVE_LINGER,
    ACTIVE_URGENT,
    RECORD_DETACHED,
    RECORD_ENDED,
    RECORD_EOF_TAKEN,
    RECORD_FAST_OPEN,
    RECORD_FIN_QUEUED,
    RECORD_FIN_RECEIVED,
    RECORD_PAUSED,
)
from xtcp_twisted.tcp.readiness cimport group_release
from xtcp_twisted.tcp.receive cimport receive_clear, receive_drop
from xtcp_twisted.tcp.reply cimport reply_abort
from xtcp_twisted.tcp.states cimport (
    CLOSE_WAIT,
    CLOSED,
    ESTABLISHED,
    FIN_WAIT_1,
    LAST_ACK,
    SYN_RECEIVED,
    SYN_SENT,
    TIME_WAIT,
    set_state,
)
from xtcp_twisted.tcp.timewait cimport time_wait_enter
from xtcp_twisted.tcp.transmit cimport transmit_clear
from xtcp_twisted.tcp.tuples cimport local_drop

cdef enum:
    # How long a finished connection may take for its last bytes and FINs without any progress.
    LINGER_MS = 180_000


cdef void _leave_index(conn_t *c) noexcept nogil:
    """Out of the index; the 4-tuple may be used again."""
    if not c.r.flags & RECORD_ENDED:
        index_remove(&c.s.index, c.r.tag, c.slot)
        local_drop(c.s, c.r.local_row)
        if c.r.flags & RECORD_FAST_OPEN:
            c.r.flags &= ~<uint32_t>RECORD_FAST_OPEN
            c.g.fast_open_pending -= 1


cdef bint _opening(const conn_t *c) noexcept nogil:
    return c.r.state == SYN_SENT or c.r.state == SYN_RECEIVED


cdef void conn_free(conn_t *c) noexcept nogil:
    if _opening(c):
        c.s.counters[C_ATTEMPT_FAILS] += 1
    _leave_index(c)
    receive_clear(c)
    transmit_clear(c)
    conn_release(c)
    if c.r.state != CLOSED:
        set_state(c.s, c.r, CLOSED)
    c.s.state_counts[CLOSED] -= 1
    c.g.connections -= 1
    c.g.counters[G_ENDED] += 1
    c.s.counters[C_ENDED] += 1
    group_release(c.s, c.r.group_row)
    slab_return(&c.s.records, c.slot)


cdef void _end_queues(conn_t *c) noexcept nogil:
    """Nothing is sent any more; timers and held acknowledgements are void."""
    transmit_clear(c)
    c.r.snd_lbb = c.r.snd_nxt = c.r.snd_una
    conn_lease(c).wire_ack = c.r.rcv_nxt
    c.a.flags &= ACTIVE_CLOSE_DUE


cdef void conn_fail(conn_t *c, int kind, uint16_t detail) noexcept nogil:
    if c.r.flags & RECORD_DETACHED:
        conn_free(c)
        return
    if _opening(c):
        c.s.counters[C_ATTEMPT_FAILS] += 1
    receive_clear(c)
    _end_queues(c)
    _leave_index(c)
    c.r.flags |= RECORD_ENDED
    c.a.flags = 0
    c.r.rcv_ackd = c.a.delivered = c.a.read_nxt = c.r.rcv_nxt
    c.a.detail = detail
    set_state(c.s, c.r, CLOSED)
    conn_report(c, kind)
    conn_update_ready(c)


cdef void conn_abort(conn_t *c) noexcept nogil:
    # In SYN-SENT there is nothing to reset (section 3.10.5): the peer has not answered.
    if not c.r.flags & RECORD_ENDED and c.r.state != SYN_SENT:
        reply_abort(c.s, c.r, c.r.snd_nxt, c.a.wire_ack if c.a != NULL else c.r.rcv_nxt)
    conn_free(c)


cdef void conn_shutdown(conn_t *c) noexcept nogil:
    if c.r.flags & (RECORD_FIN_QUEUED | RECORD_ENDED):
        return
    if c.r.state == SYN_SENT:
        # Section 3.10.4: the connection block is deleted.
        conn_free(c)
        return
    c.r.flags |= RECORD_FIN_QUEUED
    # In SYN-RECEIVED with data queued, the FIN waits with it until the connection is established; a fast
    # open sends both at once.
    if c.r.state == ESTABLISHED or c.r.state == SYN_RECEIVED and (
        c.r.snd_lbb == c.r.snd_una or c.r.flags & RECORD_FAST_OPEN
    ):
        set_state(c.s, c.r, FIN_WAIT_1)
    elif c.r.state == CLOSE_WAIT:
        set_state(c.s, c.r, LAST_ACK)
    conn_queue_output(c)


cdef void conn_finished(conn_t *c, bint wait) noexcept nogil:
    if wait:
        time_wait_enter(c)
        set_state(c.s, c.r, TIME_WAIT)
        c.r.flags |= RECORD_ENDED
    else:
        set_state(c.s, c.r, CLOSED)
        _leave_index(c)
        c.r.flags |= RECORD_ENDED
    if c.r.flags & RECORD_DETACHED:
        conn_free(c)
        return
    _end_queues(c)
    c.a.flags |= ACTIVE_CLOSE_DUE
    conn_report_closed(c)


cdef void conn_report_closed(conn_t *c) noexcept nogil:
    if c.a == NULL or not c.a.flags & ACTIVE_CLOSE_DUE:
        return
    if c.r.flags & RECORD_FIN_RECEIVED and not c.r.flags & RECORD_EOF_TAKEN:
        return
    c.a.flags &= ~ACTIVE_CLOSE_DUE
    c.a.detail = 0
    conn_report(c, EVENT_CLOSED)


cdef uint32_t _undelivered(const conn_t *c) noexcept nogil:
    cdef uint32_t end = c.r.rcv_nxt - (c.r.flags & RECORD_FIN_RECEIVED != 0)
    return end - c.a.delivered if c.a != NULL else 0


cdef void conn_finish(conn_t *c) noexcept nogil:
    cdef uint32_t acknowledged
    if c.r.flags & RECORD_ENDED or c.r.state == SYN_SENT:
        conn_free(c)
        return
    if _undelivered(c) != 0 or (c.a != NULL and c.a.ooo_head != NONE):
        # RFC 9293 SHLD-3: data was received that the application never read.
        c.s.counters[C_ABORT_ON_DATA] += 1
        conn_abort(c)
        return
    conn_lease(c)
    acknowledged = c.a.delivered - c.r.rcv_ackd
    c.r.rcv_ackd += acknowledged
    receive_drop(c, acknowledged)
    if c.a.event.next != UNLINKED:
        conn_reported(c)
    c.r.flags |= RECORD_DETACHED
    c.r.flags &= ~<uint32_t>RECORD_PAUSED
    c.a.flags &= ~ACTIVE_URGENT
    c.a.need = 0
    if not c.r.flags & RECORD_FAST_OPEN:
        # That lingers already: for no longer than its handshake may take.
        c.a.flags |= ACTIVE_LINGER
        c.a.linger_at = c.s.now_ms + LINGER_MS
    conn_update_ready(c)
    conn_shutdown(c)
    if c.a.wire_ack != c.r.rcv_nxt:
        conn_ack_now(c)
    conn_arm(c)
