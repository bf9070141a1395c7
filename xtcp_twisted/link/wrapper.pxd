"""A link around another link."""

from libc.stdint cimport int64_t

from xtcp_twisted.link.base cimport Link, frame_t

cdef class Wrapper(Link):
    cdef readonly Link inner

    # Take frames from the inner link and count what it refused.
    cdef int take_over(self, frame_t *frames, int limit, int64_t now_us) except -1 nogil
    # Hand `count` frames to the inner link and count what it dropped.
    cdef int pass_on(self, frame_t *frames, int count, int64_t now_us) except -1 nogil
