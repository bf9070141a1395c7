"""A link without a device."""

from libc.stdint cimport int64_t

from xtcp_twisted.link.base cimport Link, frame_t

cdef class MemoryLink(Link):
    cdef object _arrived     # deque of packets for the engine
    cdef list _sent          # (seconds, packet) of what the engine sent
    cdef int _descriptor     # eventfd, readable while packets wait; -1 when closed

    cdef int _signal(self, bint waiting) except -1
    cdef int _hand_over(self, frame_t *frames, int limit) except -1
    cdef bint _fill(self, bytes packet, frame_t *frame) noexcept
    cdef int _keep(self, frame_t *frames, int count, int64_t now_us) except -1
