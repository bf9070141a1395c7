from libc.stdint cimport uint32_t

from xtcp_twisted.tcp.connection cimport conn_t
from xtcp_twisted.tcp.layout cimport stack_t


# Fires everything that is due at s.now_ms, in order of time.
cdef void timers_fire(stack_t *s) noexcept nogil
# When timers_fire is due next, ms; False: never.
cdef bint timers_due(const stack_t *s, uint32_t *when) noexcept nogil
