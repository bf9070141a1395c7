"""Segments out (RFC 9293 sections 3.7.4, 3.8.6 and 3.10.2)."""

from libc.stdint cimport uint32_t

from xtcp_twisted.link.base cimport frame_t
from xtcp_twisted.tcp.connection cimport conn_t
from xtcp_twisted.tcp.layout cimport stack_t

cdef enum:
    OUT_FRAMES = 64
    OUT_BYTES = 65_536         # after so many the batch leaves, while it is in the processor's cache

cdef struct out_t:
    frame_t frames[64]
    int count
    uint32_t bytes


# A batch that has no room for another frame, or is large enough.
cdef inline bint out_full(const out_t *out) noexcept nogil:
    return out.count == OUT_FRAMES or out.bytes >= OUT_BYTES


# The next frame is written.
cdef inline void out_add(out_t *out) noexcept nogil:
    out.bytes += out.frames[out.count].length
    out.count += 1


# Sends what the connection may send; False when the frames are full and it has more.
# When it returns True the connection is out of the output list and settled.
cdef bint output_connection(conn_t *c, out_t *out) noexcept nogil
# Queued replies; False when the frames are full.
cdef bint output_replies(stack_t *s, out_t *out) noexcept nogil
