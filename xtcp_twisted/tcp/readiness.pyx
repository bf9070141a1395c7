"""The descriptor of a group; see readiness.pxd."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from posix.unistd cimport read, write

from xtcp_twisted.memory.links cimport END, UNLINKED, list_append, list_remove
from xtcp_twisted.memory.slab cimport slab_return
from xtcp_twisted.tcp.groups cimport GROUP_ATTENTION, GROUP_SIGNALLED, requests_seen


cdef bint group_tells(const group_row_t *g) noexcept nogil:
    return g.ready.count != 0 and not group_holds(g)


cdef void group_hold(stack_t *s, uint32_t row) noexcept nogil:
    cdef group_row_t *g = &s.groups[row]
    g.notify_at_us = s.now_us + <int64_t>g.notify_delay_ms * 1000
    list_append(&s.holding, <char *>&s.groups[0].holding, sizeof(group_row_t), row)


cdef void group_unhold(stack_t *s, uint32_t row) noexcept nogil:
    list_remove(&s.holding, <char *>&s.groups[0].holding, sizeof(group_row_t), row)


cdef int64_t holding_due_us(const stack_t *s) noexcept nogil:
    cdef int64_t due = -1
    cdef uint32_t row = s.holding.head
    while row != END:
        if due < 0 or s.groups[row].notify_at_us < due:
            due = s.groups[row].notify_at_us
        row = s.groups[row].holding.next
    return due


cdef inline bint _differs(const group_row_t *g) noexcept nogil:
    """Whether its descriptor, if it has one, shows something else than it has to."""
    cdef bint readable = group_tells(g) or requests_seen(g) != 0 or g.flags & GROUP_ATTENTION != 0
    return g.eventfd >= 0 and readable != (g.flags & GROUP_SIGNALLED != 0)


cdef void _signal(group_row_t *g) noexcept nogil:
    cdef uint64_t one = 1
    g.flags ^= GROUP_SIGNALLED
    if g.flags & GROUP_SIGNALLED:
        write(g.eventfd, &one, 8)
    else:
        read(g.eventfd, &one, 8)


cdef void group_signal(stack_t *s, group_row_t *g) noexcept nogil:
    if not _differs(g):
        return
    if not s.signals_held:
        _signal(g)
    elif g.signal.next == UNLINKED:
        list_append(&s.signals, <char *>&s.groups[0].signal, sizeof(group_row_t), <uint32_t>(g - s.groups))


cdef void signals_release(stack_t *s) noexcept nogil:
    cdef group_row_t *g
    s.signals_held = False
    while s.signals.count:
        g = &s.groups[s.signals.head]
        list_remove(&s.signals, <char *>&s.groups[0].signal, sizeof(group_row_t), s.signals.head)
        if _differs(g):
            _signal(g)


cdef void group_release(stack_t *s, uint32_t row) noexcept nogil:
    cdef group_row_t *g = &s.groups[row]
    g.references -= 1
    if g.references == 0:
        # It has no requests either, so that this link is free.
        list_append(&s.ended, <char *>&s.groups[0].waiting, sizeof(group_row_t), row)


cdef void group_return(stack_t *s, uint32_t row) noexcept nogil:
    if s.groups[row].signal.next != UNLINKED:
        list_remove(&s.signals, <char *>&s.groups[0].signal, sizeof(group_row_t), row)
    slab_return(&s.group_rows, row)
    s.groups[row].flags = 0
