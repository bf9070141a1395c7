"""A link that writes down what passes."""

from libc.stdint cimport int64_t, uint32_t

from xtcp_twisted.link.base cimport frame_t
from xtcp_twisted.link.wrapper cimport Wrapper

cdef class CaptureLink(Wrapper):
    cdef object _file
    cdef object _writer          # None once the file is closed or has failed
    cdef bint _owns_file
    cdef int64_t _offset_us      # from the engine's time to 1970
    cdef uint32_t _snaplen
    cdef readonly int64_t captured
    cdef readonly object error

    cdef int _record(self, frame_t *frames, int count, int64_t now_us, int direction) except -1
