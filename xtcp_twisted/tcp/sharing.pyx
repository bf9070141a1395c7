"""Groups that share a port; see sharing.pxd."""

from libc.stdint cimport uint8_t, uint32_t

from xtcp_twisted.memory.links cimport END
from xtcp_twisted.tcp.credits cimport credit_ready
from xtcp_twisted.tcp.groups cimport (
    GROUP_COOKIES,
    GROUP_LISTENING,
    GROUP_SHARE,
    MAX_GROUPS,
    group_covers,
    group_row_t,
    requests_seen,
)
from xtcp_twisted.tcp.layout cimport earlier, half_open_at, local_at
from xtcp_twisted.tcp.precedence cimport precedence_record
from xtcp_twisted.tcp.pressure cimport PRESSURE_WITHHOLDING, pressure_seen
from xtcp_twisted.tcp.readiness cimport group_signal


cdef uint32_t sharer_first(const stack_t *s, uint32_t group_row) noexcept nogil:
    cdef const group_row_t *g = &s.groups[group_row]
    return s.listeners[g.port] if g.flags & GROUP_SHARE and g.flags & GROUP_LISTENING else group_row


cdef uint32_t sharer_next(const stack_t *s, uint32_t group_row, uint32_t row) noexcept nogil:
    cdef const group_row_t *g = &s.groups[group_row]
    return s.groups[row].next_on_port if g.flags & GROUP_SHARE and g.flags & GROUP_LISTENING else MAX_GROUPS


cdef bint request_seen(const stack_t *s, uint32_t group_row, const half_open_t *h) noexcept nogil:
    cdef const group_row_t *g = &s.groups[group_row]
    if h.tries:
        return False
    if h.group_row == group_row:
        return True
    if not g.flags & s.groups[h.group_row].flags & GROUP_SHARE or h.local_port != g.port:
        return False
    return g.flags & GROUP_LISTENING and group_covers(g, local_at(s, h.local_row).address)


cdef uint32_t _first_seen(const stack_t *s, const group_row_t *g, uint32_t row) noexcept nogil:
    """The first entry from `row` on, in the pending list that it is in, that a group covers."""
    while row != END and not group_covers(g, local_at(s, half_open_at(s, row).local_row).address):
        row = half_open_at(s, row).link.next
    return row


cdef uint32_t request_oldest(const stack_t *s, uint32_t group_row) noexcept nogil:
    cdef const group_row_t *g = &s.groups[group_row]
    cdef uint32_t best = g.pending.head, row, found
    if g.offered == 0:
        return best
    row = sharer_first(s, group_row)
    while row != MAX_GROUPS:
        if row != group_row and s.groups[row].flags & GROUP_SHARE:
            found = _first_seen(s, g, s.groups[row].pending.head)
            if best == END or found != END and earlier(half_open_at(s, found).due, half_open_at(s, best).due):
                best = found
        row = sharer_next(s, group_row, row)
    return best


cdef void request_offer(stack_t *s, uint32_t group_row, const uint8_t *address, int step) noexcept nogil:
    cdef uint32_t row = sharer_first(s, group_row)
    cdef group_row_t *g
    while row != MAX_GROUPS:
        g = &s.groups[row]
        if row != group_row and g.flags & GROUP_SHARE and group_covers(g, address):
            g.offered += step
            group_signal(s, g)
        row = sharer_next(s, group_row, row)


cdef void request_count(stack_t *s, uint32_t group_row) noexcept nogil:
    cdef group_row_t *g = &s.groups[group_row]
    cdef uint32_t row = sharer_first(s, group_row), found
    g.offered = 0
    while row != MAX_GROUPS:
        if row != group_row and s.groups[row].flags & GROUP_SHARE:
            found = _first_seen(s, g, s.groups[row].pending.head)
            while found != END:
                g.offered += 1
                found = _first_seen(s, g, half_open_at(s, found).link.next)
        row = sharer_next(s, group_row, row)
    group_signal(s, g)


cdef inline bint _admits(const stack_t *s, const group_row_t *g) noexcept nogil:
    return pressure_seen(&s.pools[g.pool_row].pressure, g.priority) < PRESSURE_WITHHOLDING


cdef bint request_admitted(const stack_t *s, uint32_t group_row, const uint8_t *address) noexcept nogil:
    cdef uint32_t row = sharer_first(s, group_row)
    while row != MAX_GROUPS:
        if group_covers(&s.groups[row], address) and _admits(s, &s.groups[row]):
            return True
        row = sharer_next(s, group_row, row)
    return False


cdef bint credit_waits(const stack_t *s, const group_row_t *g) noexcept nogil:
    return g.credits != 0 and requests_seen(g) != 0 and precedence_record(s, g)


cdef bint requests_wanted(stack_t *s, uint32_t group_row) noexcept nogil:
    cdef uint32_t row = sharer_first(s, group_row)
    while row != MAX_GROUPS:
        if credit_waits(s, &s.groups[row]) and credit_ready(&s.groups[row], s.now_us):
            return True
        row = sharer_next(s, group_row, row)
    return False


cdef bint request_recorded(const stack_t *s, uint32_t group_row, const uint8_t *address) noexcept nogil:
    cdef uint32_t row = sharer_first(s, group_row)
    while row != MAX_GROUPS:
        if group_covers(&s.groups[row], address) and precedence_record(s, &s.groups[row]):
            return True
        row = sharer_next(s, group_row, row)
    return False


cdef uint32_t request_taker(
    stack_t *s, uint32_t group_row, const uint8_t *address, bint queue
) noexcept nogil:
    cdef uint32_t row = sharer_first(s, group_row), best = MAX_GROUPS
    cdef group_row_t *g
    while row != MAX_GROUPS:
        g = &s.groups[row]
        if best == MAX_GROUPS or g.priority < s.groups[best].priority:
            if g.credits and group_covers(g, address) and not (queue and requests_seen(g)):
                if (not queue or _admits(s, g)) and precedence_record(s, g) and credit_ready(g, s.now_us):
                    best = row
        row = sharer_next(s, group_row, row)
    return best


cdef uint32_t cookie_taker(
    stack_t *s, uint32_t group_row, const uint8_t *address, bint sent
) noexcept nogil:
    cdef uint32_t row = sharer_first(s, group_row), best = MAX_GROUPS, spent = MAX_GROUPS
    cdef group_row_t *g
    cdef bint able
    while row != MAX_GROUPS:
        g = &s.groups[row]
        able = s.now_us < g.cookies_until_us if sent else g.flags & GROUP_COOKIES != 0
        if able and group_covers(g, address):
            if g.credits == 0:
                spent = row
            elif best == MAX_GROUPS or g.priority < s.groups[best].priority:
                best = row
        row = sharer_next(s, group_row, row)
    # A cookie that comes back when the credits have run out is not refused: it comes again.
    return spent if sent and best == MAX_GROUPS else best
