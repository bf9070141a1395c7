"""A link over a TUN device of the kernel."""

from xtcp_twisted.link.base cimport Link

cdef class TunLink(Link):
    cdef int _descriptor      # of /dev/net/tun, attached; -1 when closed
    cdef int _namespace       # the device's network namespace; -1: the process's own
    cdef readonly str name
    cdef readonly bint created

    cdef int _gone(self, int code) except -1 nogil
    cdef void _release(self) noexcept
