"""One connection at hand: its record, its active block, its group and its pool.

The mechanisms of this floor take a `conn_t`; nothing here sends, receives or
decides, it only keeps the lists, the lease of the active block and the timer
node in order.
"""

from libc.stdint cimport uint16_t, uint32_t, uint64_t

from xtcp_twisted.memory.links cimport UNLINKED, list_append, list_remove
from xtcp_twisted.memory.slab cimport NONE
from xtcp_twisted.tcp.counters cimport C_ACKS_WITHHELD
from xtcp_twisted.tcp.groups cimport (
    G_THROTTLED,
    GROUP_KEEPALIVE,
    GROUP_NAGLE,
    VARIANT_DISCARD,
    VARIANT_WITHHOLD,
    group_row_t,
    pool_row_t,
)
from xtcp_twisted.tcp.flags cimport (
    ACTIVE_SYN,
    ACTIVE_TRANSMIT,
    RECORD_KEEPALIVE,
    RECORD_NAGLE,
    RECORD_OWN_TIMEOUT,
)
from xtcp_twisted.tcp.layout cimport active_at, active_t, record_at, record_t, stack_t
from xtcp_twisted.tcp.pressure cimport PRESSURE_DISCARDING, PRESSURE_WITHHOLDING, pressure_seen

cdef struct conn_t:
    stack_t *s
    record_t *r
    active_t *a                # NULL: nothing is pending
    group_row_t *g
    pool_row_t *p
    uint32_t slot

cdef enum:
    # Values of kinds.EventKind
    EVENT_PENDING = 0
    EVENT_ESTABLISHED = 1
    EVENT_DATA = 2
    EVENT_URGENT = 3
    EVENT_EOF = 4
    EVENT_STALLED = 5
    EVENT_WRITABLE = 6
    EVENT_SOFT_ERROR = 7
    EVENT_CLOSED = 8
    EVENT_RESET = 9
    EVENT_DOWN = 10

# Leases an active block for a connection that has none.  Blocks are as many as records, so it never fails.
cdef active_t *conn_begin(conn_t *c) noexcept nogil
# Gives the active block back when nothing is pending any more.
cdef void conn_settle(conn_t *c) noexcept nogil
# Gives the active block back whatever is pending; its chunks and extents must be gone.
cdef void conn_release(conn_t *c) noexcept nogil
cdef void conn_report(conn_t *c, int kind) noexcept nogil
# Reports what is wrong and may get right again: an errno.
cdef void conn_soft_error(conn_t *c, uint16_t error) noexcept nogil
# Puts a connection that has an active block into its pool's list of those that are to hear when the
# pressure falls, or takes it out.
cdef void conn_throttle(conn_t *c) noexcept nogil
cdef void conn_unthrottle(conn_t *c) noexcept nogil
# Takes a connection out of the list of reports.
cdef void conn_reported(conn_t *c) noexcept nogil
# Puts the timer node at the earliest deadline.
cdef void conn_arm(conn_t *c) noexcept nogil
cdef uint32_t conn_earliest(const conn_t *c, bint *any) noexcept nogil
# Puts the connection into its group's ready list, or takes it out, as its state demands.
cdef void conn_update_ready(conn_t *c) noexcept nogil
# Ends the group's holding back: DATA of all that have something to receive is reported (P05).
cdef void group_tell(stack_t *s, uint32_t row) noexcept nogil
# The same for each group that has held back for long enough.
cdef void groups_tell(stack_t *s) noexcept nogil
# Behind the others of its group's ready list, if it is in there.
cdef void conn_ready_last(conn_t *c) noexcept nogil


cdef inline void conn_load(conn_t *c, stack_t *s, uint32_t slot) noexcept nogil:
    c.s = s
    c.slot = slot
    c.r = record_at(s, slot)
    c.a = active_at(s, c.r.active) if c.r.active != NONE else NULL
    c.g = &s.groups[c.r.group_row]
    c.p = &s.pools[c.g.pool_row]


cdef inline active_t *conn_lease(conn_t *c) noexcept nogil:
    """The active block; leased when there is none."""
    return c.a if c.a != NULL else conn_begin(c)


# The links of the list of those with something to send, as of row 0 (links.pxd).
cdef inline char *conn_output_links(const stack_t *s) noexcept nogil:
    return <char *>&active_at(s, 0).output


cdef inline void conn_queue_output(conn_t *c) noexcept nogil:
    """Into the list of those with something to send."""
    if conn_lease(c).output.next == UNLINKED:
        list_append(&c.s.output, conn_output_links(c.s), sizeof(active_t), c.r.active)


cdef inline void conn_unqueue_output(conn_t *c) noexcept nogil:
    """Out of it."""
    if c.a.output.next != UNLINKED:
        list_remove(&c.s.output, conn_output_links(c.s), sizeof(active_t), c.r.active)


cdef inline uint32_t conn_options(const group_row_t *g) noexcept nogil:
    """RECORD_* flags that a new connection has of its group, until the application changes them."""
    cdef uint32_t flags = RECORD_NAGLE if g.flags & GROUP_NAGLE else 0
    return flags | RECORD_KEEPALIVE if g.flags & GROUP_KEEPALIVE else flags


cdef inline uint32_t conn_user_timeout(const conn_t *c) noexcept nogil:
    """R2 of RFC 9293 section 3.8.3 in ms; 0: none."""
    return c.s.user_timeouts[c.slot] if c.r.flags & RECORD_OWN_TIMEOUT else c.g.user_timeout_ms


cdef inline bint conn_times_out(const conn_t *c) noexcept nogil:
    """Whether the user timeout runs (RFC 9293 section 3.8.3): the peer owes an acknowledgement, or the
    answer to a probe."""
    # A SYN has a limit of its own (MUST-23): linger_at.
    if c.a.flags & (ACTIVE_TRANSMIT | ACTIVE_SYN) != ACTIVE_TRANSMIT or conn_user_timeout(c) == 0:
        return False
    # A closed window may stay closed for ever while probes are answered (MUST-37).
    return c.r.snd_wnd != 0 or c.r.resends != 0


cdef inline int conn_pressure(const conn_t *c) noexcept nogil:
    """The state of its pool's receive buffer as its group sees it (pressure.pxd)."""
    return pressure_seen(&c.p.pressure, c.g.priority)


cdef inline bint conn_withheld(const conn_t *c) noexcept nogil:
    """Whether acknowledgements of its group wait because of the pressure of its pool (P28)."""
    return c.p.variants & VARIANT_WITHHOLD and conn_pressure(c) >= PRESSURE_WITHHOLDING


cdef inline bint conn_discarded(const conn_t *c) noexcept nogil:
    """Whether payload of its group is discarded because of the pressure of its pool (P29)."""
    return c.p.variants & VARIANT_DISCARD and conn_pressure(c) >= PRESSURE_DISCARDING


cdef inline void group_throttled(stack_t *s, group_row_t *g, int what, uint64_t n) noexcept nogil:
    """Counts what the pressure of a pool did, T_*: for the engine, the group and the pool."""
    s.counters[C_ACKS_WITHHELD + what] += n
    g.counters[G_THROTTLED + what] += n
    s.pools[g.pool_row].counters[what] += n


cdef inline bint conn_holds(const conn_t *c) noexcept nogil:
    """Whether the receive buffer has data of it: in order and not acknowledged by the application, or not."""
    return c.a != NULL and c.a.rx_chunks != 0


cdef inline void conn_ack_now(conn_t *c) noexcept nogil:
    conn_lease(c).flags |= 1  # ACTIVE_ACK_NOW
    conn_queue_output(c)
