"""When a group tells that it has something: its descriptor (P04)."""

from libc.stdint cimport uint32_t

from xtcp_twisted.tcp.groups cimport group_row_t
from xtcp_twisted.tcp.layout cimport stack_t


# Makes the group's descriptor readable, or not, as its lists demand.
cdef void group_signal(group_row_t *g) noexcept nogil
# Gives a group's row back; walks over all rows tell a free one by its flags.
cdef void group_return(stack_t *s, uint32_t row) noexcept nogil
