"""A link over a TUN device of the kernel."""

from xtcp_twisted.link.base cimport Link, frame_t
from xtcp_twisted.link.ring cimport ring_t

cdef class TunLink(Link):
    cdef int _descriptor      # of /dev/net/tun, attached; -1 when closed
    cdef int _namespace       # the device's network namespace; -1: the process's own
    cdef ring_t _ring         # of writes to it, if there is one
    cdef readonly str name
    cdef readonly bint created
    cdef readonly bint io_uring

    cdef ssize_t _read_frame(self, frame_t *frame) noexcept nogil
    cdef ssize_t _write_frame(self, const frame_t *frame) noexcept nogil
    cdef bint _write(self, const frame_t *frame) noexcept nogil
    cdef int _write_batch(self, const frame_t *frames, int count, int *taken) noexcept nogil
    cdef int _gone(self, int code) except -1 nogil
    cdef void _release(self) noexcept
