"""Packets that the engine sends to its own addresses (architecture section 3)."""

from libc.stdint cimport uint8_t, uint32_t

from xtcp_twisted.engine.demux cimport addresses_t
from xtcp_twisted.link.base cimport frame_t
from xtcp_twisted.tcp.output cimport out_t

cdef struct loop_t:
    uint8_t *ring              # NULL: the engine has never connected to itself
    uint32_t head              # byte of the oldest packet
    uint32_t used              # bytes
    uint32_t count             # packets


# Makes the ring when there is none.
cdef int loop_open(loop_t *loop) except -1
cdef void loop_close(loop_t *loop) noexcept nogil
# Takes the packets to own addresses out of `out`; returns how many, those that had no room included.
cdef int loop_divert(loop_t *loop, const addresses_t *own, out_t *out, uint32_t *dropped) noexcept nogil
# The oldest packets, as a link would deliver them; returns how many.
cdef int loop_take(loop_t *loop, frame_t *frames, int limit) noexcept nogil
