"""The descriptor of a group; see readiness.pxd."""

from libc.stdint cimport uint32_t, uint64_t
from posix.unistd cimport read, write

from xtcp_twisted.memory.slab cimport slab_return
from xtcp_twisted.tcp.groups cimport GROUP_ATTENTION, GROUP_SIGNALLED, requests_seen


cdef void group_signal(group_row_t *g) noexcept nogil:
    cdef uint64_t one = 1
    cdef bint readable
    if g.eventfd < 0:
        return
    readable = g.ready.count != 0 or requests_seen(g) != 0 or g.flags & GROUP_ATTENTION != 0
    if readable and not g.flags & GROUP_SIGNALLED:
        g.flags |= GROUP_SIGNALLED
        write(g.eventfd, &one, 8)
    elif g.flags & GROUP_SIGNALLED and not readable:
        g.flags &= ~<uint32_t>GROUP_SIGNALLED
        read(g.eventfd, &one, 8)


cdef void group_return(stack_t *s, uint32_t row) noexcept nogil:
    slab_return(&s.group_rows, row)
    s.groups[row].flags = 0
