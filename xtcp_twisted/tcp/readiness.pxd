"""When a group tells that it has something: its descriptor (P04)."""

from libc.stdint cimport int64_t, uint32_t

from xtcp_twisted.memory.links cimport UNLINKED
from xtcp_twisted.tcp.groups cimport group_row_t
from xtcp_twisted.tcp.layout cimport stack_t


# Whether the group has data and tells of it.
cdef bint group_tells(const group_row_t *g) noexcept nogil
# Whether it has data and holds that back (P05).
cdef inline bint group_holds(const group_row_t *g) noexcept nogil:
    return g.holding.next != UNLINKED
# Begins to hold back, until `notify_delay_ms` have passed; or ends it, for whatever reason.
cdef void group_hold(stack_t *s, uint32_t row) noexcept nogil
cdef void group_unhold(stack_t *s, uint32_t row) noexcept nogil
# When the first of the groups that hold back has to tell, -1: none does.
cdef int64_t holding_due_us(const stack_t *s) noexcept nogil
# Makes the group's descriptor readable, or not, as its lists demand; in a reactor's turn that waits.
cdef void group_signal(stack_t *s, group_row_t *g) noexcept nogil
# Such a turn begins: the reactor itself serves the groups, so that their descriptors can wait for its end.
cdef inline void signals_hold(stack_t *s) noexcept nogil:
    s.signals_held = True
# It ends.
cdef void signals_release(stack_t *s) noexcept nogil
# One connection less, or the group itself is done with; who was the last lets the engine have the row.
cdef void group_release(stack_t *s, uint32_t row) noexcept nogil
# Gives a group's row back; walks over all rows tell a free one by its flags.
cdef void group_return(stack_t *s, uint32_t row) noexcept nogil
