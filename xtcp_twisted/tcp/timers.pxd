from libc.stdint cimport uint32_t

from xtcp_twisted.tcp.connection cimport conn_t
from xtcp_twisted.tcp.layout cimport stack_t


# Fires what is due at s.now_ms, in order of time; a bounded part of it, the rest at the next call.
cdef void timers_fire(stack_t *s) noexcept nogil
# When timers_fire is due next, ms; False: never.
cdef bint timers_due(const stack_t *s, uint32_t *when) noexcept nogil
