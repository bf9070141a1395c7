"""A link around another link: the part that all wrappers share.

Descriptor, MTU and end of life are the inner link's.  The counters are the
wrapper's own, so what a wrapper swallows is the difference between the two.
"""

from libc.stdint cimport int64_t

from xtcp_twisted.link.base cimport Link, frame_t


cdef class Wrapper(Link):
    """Passes everything through; a base for wrappers that do more.

    :param link: the link to wrap.
    :ivar inner: that link.
    """

    def __init__(self, Link link not None):
        self.inner = link
        self.mtu = link.mtu
        self.offload = link.offload

    cdef int read_frames(self, frame_t *frames, int limit, int64_t now_us) except -1 nogil:
        cdef int count = self.take_over(frames, limit, now_us)
        self.received += count
        return count

    cdef int write_frames(self, frame_t *frames, int count, int64_t now_us) except -1 nogil:
        self.sent += count
        return self.pass_on(frames, count, now_us)

    cdef int64_t next_time_us(self) noexcept nogil:
        return self.inner.next_time_us()

    cdef int take_over(self, frame_t *frames, int limit, int64_t now_us) except -1 nogil:
        cdef unsigned long long before = self.inner.refused
        cdef int count = self.inner.read_frames(frames, limit, now_us)
        self.refused += self.inner.refused - before
        return count

    cdef int pass_on(self, frame_t *frames, int count, int64_t now_us) except -1 nogil:
        cdef unsigned long long before = self.inner.dropped
        cdef int taken = self.inner.write_frames(frames, count, now_us)
        self.dropped += self.inner.dropped - before
        return taken

    def fileno(self):
        """The inner link's descriptor."""
        return self.inner.fileno()

    def close(self):
        """Close the inner link; may be called twice."""
        self.inner.close()
