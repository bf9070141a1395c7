"""A link over a TUN device of the kernel."""

from xtcp_twisted.link.base cimport Link, frame_t

cdef class TunLink(Link):
    cdef int _descriptor      # of /dev/net/tun, attached; -1 when closed
    cdef int _namespace       # the device's network namespace; -1: the process's own
    cdef readonly str name
    cdef readonly bint created

    cdef ssize_t _read_frame(self, frame_t *frame) noexcept nogil
    cdef ssize_t _write_frame(self, const frame_t *frame) noexcept nogil
    cdef int _gone(self, int code) except -1 nogil
    cdef void _release(self) noexcept
