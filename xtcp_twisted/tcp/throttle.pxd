"""The way back: who was throttled hears when the pressure falls (architecture section 8; P29)."""

from libc.stdint cimport uint32_t

from xtcp_twisted.tcp.layout cimport stack_t


# Looks at throttled connections of pools whose pressure has fallen, at most `most`.
cdef void throttle_release(stack_t *s, uint32_t most) noexcept nogil
# Whether throttle_release has something to look at.
cdef bint throttle_due(const stack_t *s) noexcept nogil
