"""A deterministic bad network around a link."""

from libc.stdint cimport int64_t, uint64_t

from xtcp_twisted.link.base cimport frame_t
from xtcp_twisted.link.wrapper cimport Wrapper

cdef struct impairments_t:
    double loss, reorder, duplicate, corrupt, truncate, mark  # probabilities
    double bad_begins, bad_ends      # Gilbert-Elliott: good -> bad, bad -> good, per packet
    double rate                      # bits per second, 0: no limit
    int64_t delay_us, jitter_us, reorder_us, queue_us

cdef class Path:
    cdef impairments_t _p
    cdef uint64_t _key           # of this direction's decisions
    cdef bint _bad               # in a burst of losses
    cdef int64_t _free_ns        # when the rate-limited line is free again
    cdef int64_t _last_us        # due time that a packet in order must not go before
    cdef list _queue             # heap of (due_us, order, packet)
    cdef uint64_t _order         # packets queued ever
    cdef int64_t next_us         # due time of the first in the queue, -1: none
    cdef readonly uint64_t packets, lost, overflowed, duplicated, reordered, corrupted, truncated
    cdef readonly uint64_t marked, delivered

    cdef double _draw(self, int which) noexcept
    cdef bint _is_lost(self) noexcept
    cdef int64_t _leave_us(self, Py_ssize_t length, int64_t now_us) noexcept
    cdef bytes _mark(self, bytes packet)
    cdef bytes _damage(self, bytes packet)
    cdef int _push(self, int64_t due_us, bytes packet) except -1
    cdef int enter(self, bytes packet, int64_t now_us) except -1
    cdef bytes leave(self)

cdef class ImpairedLink(Wrapper):
    cdef readonly Path inbound
    cdef readonly Path outbound
    cdef frame_t *_frames        # room for one batch of the inner link's
    cdef object _buffer

    cdef int _enter(self, Path path, frame_t *frame, int64_t now_us) except -1
    cdef int _enter_cut(self, Path path, frame_t *frame, int64_t now_us) except -1
    cdef int _take_in(self, int limit, int64_t now_us) except -1
    cdef int _hand_over(self, frame_t *frames, int limit, int64_t now_us) except -1
    cdef int _release(self, int64_t now_us) except -1
