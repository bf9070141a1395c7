"""The descriptor of a group; see readiness.pxd."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from posix.unistd cimport read, write

from xtcp_twisted.memory.links cimport END, list_append, list_remove
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


cdef void group_signal(group_row_t *g) noexcept nogil:
    cdef uint64_t one = 1
    cdef bint readable
    if g.eventfd < 0:
        return
    readable = group_tells(g) or requests_seen(g) != 0 or g.flags & GROUP_ATTENTION != 0
    if readable and not g.flags & GROUP_SIGNALLED:
        g.flags |= GROUP_SIGNALLED
        write(g.eventfd, &one, 8)
    elif g.flags & GROUP_SIGNALLED and not readable:
        g.flags &= ~<uint32_t>GROUP_SIGNALLED
        read(g.eventfd, &one, 8)


cdef void group_release(stack_t *s, uint32_t row) noexcept nogil:
    cdef group_row_t *g = &s.groups[row]
    g.references -= 1
    if g.references == 0:
        # It has no requests either, so that this link is free.
        list_append(&s.ended, <char *>&s.groups[0].waiting, sizeof(group_row_t), row)


cdef void group_return(stack_t *s, uint32_t row) noexcept nogil:
    slab_return(&s.group_rows, row)
    s.groups[row].flags = 0
