"""Lists, lease and timer node of a connection; see connection.pxd."""

from libc.stdint cimport uint16_t, uint32_t

from xtcp_twisted.memory.links cimport END, UNLINKED, list_append, list_remove
from xtcp_twisted.memory.slab cimport NONE, slab_return, slab_take
from xtcp_twisted.memory.wheel cimport wheel_arm, wheel_disarm
from xtcp_twisted.tcp.flags cimport (
    ACTIVE_ACK_HELD,
    ACTIVE_ACK_NOW,
    ACTIVE_CLOSE_DUE,
    ACTIVE_FIN_PENDING,
    ACTIVE_LINGER,
    ACTIVE_PROBE,
    ACTIVE_TRANSMIT,
    ACTIVE_URGENT,
    RECORD_DETACHED,
    RECORD_ENDED,
    RECORD_EOF_TAKEN,
    RECORD_FIN_RECEIVED,
    RECORD_PAUSED,
)
from xtcp_twisted.tcp.layout cimport active_at, active_t, earlier
from xtcp_twisted.tcp.readiness cimport group_hold, group_holds, group_signal, group_unhold


# The links of the lists that an active block may be in, as of row 0 (links.pxd).
cdef inline char *_ready_links(const stack_t *s) noexcept nogil:
    return <char *>&active_at(s, 0).ready


cdef inline char *_event_links(const stack_t *s) noexcept nogil:
    return <char *>&active_at(s, 0).event


cdef inline char *_throttled_links(const stack_t *s) noexcept nogil:
    return <char *>&active_at(s, 0).throttled


cdef active_t *conn_begin(conn_t *c) noexcept nogil:
    cdef active_t *a
    c.r.active = slab_take(&c.s.actives)
    a = active_at(c.s, c.r.active)
    a.slot = c.slot
    a.timer.next = UNLINKED
    a.ready.next = UNLINKED
    a.output.next = UNLINKED
    a.event.next = UNLINKED
    a.throttled.next = UNLINKED
    a.rx_head = a.rx_tail = a.ooo_head = NONE
    a.tx_head = a.tx_tail = NONE
    a.delivered = a.read_nxt = c.r.rcv_ackd
    a.wire_ack = c.r.rcv_nxt
    a.tx_next = a.recovery = NONE
    a.progress = c.s.now_ms
    c.a = a
    return a


cdef bint _pending(const conn_t *c) noexcept nogil:
    cdef const active_t *a = c.a
    if a.event.next != UNLINKED or a.output.next != UNLINKED or a.ready.next != UNLINKED:
        return True
    if a.tx_head != NONE or a.rx_head != NONE or a.ooo_head != NONE or a.need:
        return True
    if a.flags & (
        ACTIVE_ACK_NOW
        | ACTIVE_ACK_HELD
        | ACTIVE_TRANSMIT
        | ACTIVE_FIN_PENDING
        | ACTIVE_LINGER
        | ACTIVE_CLOSE_DUE
        | ACTIVE_PROBE
        | ACTIVE_URGENT
    ):
        return True
    return a.wire_ack != c.r.rcv_nxt or c.r.rcv_ackd != a.delivered or c.r.snd_una != c.r.snd_nxt


cdef void conn_settle(conn_t *c) noexcept nogil:
    if c.a != NULL and not _pending(c):
        conn_release(c)


cdef void _leave_ready(conn_t *c) noexcept nogil:
    list_remove(&c.g.ready, _ready_links(c.s), sizeof(active_t), c.r.active)
    if c.g.ready.count == 0 and group_holds(c.g):
        group_unhold(c.s, c.r.group_row)


cdef void conn_release(conn_t *c) noexcept nogil:
    if c.a == NULL:
        return
    wheel_disarm(&c.s.wheel, c.r.active)
    conn_unqueue_output(c)
    conn_unthrottle(c)
    if c.a.event.next != UNLINKED:
        list_remove(&c.s.reports, _event_links(c.s), sizeof(active_t), c.r.active)
    if c.a.ready.next != UNLINKED:
        _leave_ready(c)
        group_signal(c.s, c.g)
    if c.a.recovery != NONE:
        slab_return(&c.s.recoveries, c.a.recovery)
    slab_return(&c.s.actives, c.r.active)
    c.r.active = NONE
    c.a = NULL


cdef void conn_throttle(conn_t *c) noexcept nogil:
    if c.a.throttled.next == UNLINKED:
        list_append(&c.p.throttled, _throttled_links(c.s), sizeof(active_t), c.r.active)
        c.s.throttled += 1


cdef void conn_unthrottle(conn_t *c) noexcept nogil:
    if c.a.throttled.next != UNLINKED:
        list_remove(&c.p.throttled, _throttled_links(c.s), sizeof(active_t), c.r.active)
        c.s.throttled -= 1


cdef void conn_report(conn_t *c, int kind) noexcept nogil:
    if c.r.flags & RECORD_DETACHED:
        return
    conn_lease(c).events |= 1 << kind
    if c.a.event.next == UNLINKED:
        list_append(&c.s.reports, _event_links(c.s), sizeof(active_t), c.r.active)


cdef void conn_soft_error(conn_t *c, uint16_t error) noexcept nogil:
    if c.r.flags & RECORD_DETACHED:
        return
    conn_report(c, EVENT_SOFT_ERROR)
    c.a.detail = error


cdef void conn_reported(conn_t *c) noexcept nogil:
    c.a.events = 0
    list_remove(&c.s.reports, _event_links(c.s), sizeof(active_t), c.r.active)


cdef uint32_t conn_earliest(const conn_t *c, bint *any) noexcept nogil:
    cdef const active_t *a = c.a
    cdef uint32_t when = 0
    any[0] = False
    if a.flags & ACTIVE_TRANSMIT:
        when = a.transmit_at
        any[0] = True
    if a.flags & ACTIVE_ACK_HELD and (not any[0] or earlier(a.acknowledge_at, when)):
        when = a.acknowledge_at
        any[0] = True
    if a.flags & ACTIVE_LINGER and (not any[0] or earlier(a.linger_at, when)):
        when = a.linger_at
        any[0] = True
    if conn_times_out(c) and earlier(a.progress + conn_user_timeout(c), when):
        when = a.progress + conn_user_timeout(c)
    return when


cdef void conn_arm(conn_t *c) noexcept nogil:
    cdef bint any = False
    cdef uint32_t when = conn_earliest(c, &any)
    if any:
        wheel_arm(&c.s.wheel, c.r.active, when)


cdef bint _is_ready(const conn_t *c) noexcept nogil:
    """Whether recv has something for the application."""
    cdef uint32_t end, held
    if c.r.flags & (RECORD_PAUSED | RECORD_DETACHED):
        return False
    if c.r.flags & RECORD_ENDED and c.a.events & (1 << EVENT_RESET | 1 << EVENT_DOWN):
        return False
    if c.r.flags & RECORD_FIN_RECEIVED:
        end = c.r.rcv_nxt - 1
        return c.a.read_nxt != end or c.r.flags & RECORD_EOF_TAKEN == 0
    held = c.r.rcv_nxt - c.r.rcv_ackd
    return c.a.read_nxt != c.r.rcv_nxt and held >= c.a.need


cdef void _report_data(conn_t *c) noexcept nogil:
    """That there is something to receive, unless it is the end of the stream alone."""
    if c.r.rcv_nxt - c.a.read_nxt > (c.r.flags & RECORD_FIN_RECEIVED != 0):
        conn_report(c, EVENT_DATA)


cdef void conn_update_ready(conn_t *c) noexcept nogil:
    cdef bint ready, linked
    if c.a == NULL:
        if not c.r.flags & RECORD_FIN_RECEIVED or c.r.flags & RECORD_EOF_TAKEN:
            return
        conn_lease(c)
    ready = _is_ready(c)
    linked = c.a.ready.next != UNLINKED
    if ready and not linked:
        list_append(&c.g.ready, _ready_links(c.s), sizeof(active_t), c.r.active)
        if c.g.notify_connections > 1 and c.g.ready.count == 1:
            group_hold(c.s, c.r.group_row)
        if not group_holds(c.g):
            _report_data(c)
    elif linked and not ready:
        _leave_ready(c)
    if group_holds(c.g) and (
        c.g.ready.count >= c.g.notify_connections
        or ready and (c.r.flags & RECORD_FIN_RECEIVED or c.a.flags & ACTIVE_URGENT)
    ):
        group_tell(c.s, c.r.group_row)
    else:
        group_signal(c.s, c.g)


cdef void group_tell(stack_t *s, uint32_t row) noexcept nogil:
    cdef group_row_t *g = &s.groups[row]
    cdef uint32_t active = g.ready.head
    cdef conn_t c
    group_unhold(s, row)
    while active != END:
        conn_load(&c, s, active_at(s, active).slot)
        _report_data(&c)
        active = c.a.ready.next
    group_signal(s, g)


cdef void groups_tell(stack_t *s) noexcept nogil:
    cdef uint32_t row = s.holding.head, following
    while row != END:
        following = s.groups[row].holding.next
        if s.groups[row].notify_at_us <= s.now_us:
            group_tell(s, row)
        row = following


cdef void conn_ready_last(conn_t *c) noexcept nogil:
    if c.a.ready.next != UNLINKED:
        list_remove(&c.g.ready, _ready_links(c.s), sizeof(active_t), c.r.active)
        list_append(&c.g.ready, _ready_links(c.s), sizeof(active_t), c.r.active)
