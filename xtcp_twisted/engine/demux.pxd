"""Packets in: parsed, looked up and handed to their connection, a batch at a time."""

from libc.stdint cimport uint8_t

from xtcp_twisted.link.base cimport frame_t
from xtcp_twisted.tcp.layout cimport stack_t

cdef enum:
    IN_FRAMES = 64

cdef struct prefix_t:
    uint8_t address[16]
    int bits

cdef struct addresses_t:
    prefix_t *prefixes
    int count
    bint self_connected        # there may be connections between two of them


cdef bint is_own(const addresses_t *own, const uint8_t *address) noexcept nogil
# Takes at most IN_FRAMES frames in, of a link or, `looped`, of the engine itself.
cdef void take_in(
    stack_t *s, const addresses_t *own, frame_t *frames, int count, bint looped
) noexcept nogil
