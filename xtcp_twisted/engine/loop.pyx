"""The engine's way to itself; see loop.pxd.

A flush puts packets to own addresses into a ring, the next poll takes them from
there: nothing is processed while something is sent, so there is no recursion,
and a poll takes at most half of its packets from here, so that a conversation
of the engine with itself starves nobody outside.  The ring is bounded; what
does not fit is lost, as on any network, and TCP sends it again.

No link sees these packets: they are in no capture, and no ImpairedLink harms
them.  From a link, a source address of our own is forged (demux.pyx).
"""

from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from xtcp_twisted.engine.demux cimport is_own
from xtcp_twisted.link.base cimport CHECKSUM_VALID
from xtcp_twisted.wire.segment cimport map_address

cdef enum:
    RING_BYTES = 4_194_304     # a power of two
    DESTINATION_AT_4 = 16
    DESTINATION_AT_6 = 24


cdef int loop_open(loop_t *loop) except -1:
    if loop.ring == NULL:
        loop.ring = <uint8_t *>malloc(RING_BYTES)
        if loop.ring == NULL:
            raise MemoryError()
    return 0


cdef void loop_close(loop_t *loop) noexcept nogil:
    free(loop.ring)
    loop.ring = NULL
    loop.used = loop.count = 0


cdef void _copy_in(loop_t *loop, const void *data, uint32_t length) noexcept nogil:
    cdef uint32_t at = (loop.head + loop.used) % RING_BYTES
    cdef uint32_t first = min(length, RING_BYTES - at)
    memcpy(loop.ring + at, data, first)
    memcpy(loop.ring, <const uint8_t *>data + first, length - first)
    loop.used += length


cdef void _copy_out(loop_t *loop, void *data, uint32_t length) noexcept nogil:
    cdef uint32_t first = min(length, RING_BYTES - loop.head)
    memcpy(data, loop.ring + loop.head, first)
    memcpy(<uint8_t *>data + first, loop.ring, length - first)
    loop.head = (loop.head + length) % RING_BYTES
    loop.used -= length


cdef bint _to_own(const addresses_t *own, const frame_t *frame) noexcept nogil:
    """Whether a packet of ours, which is well formed, goes to one of our addresses."""
    cdef uint8_t address[16]
    if frame.data[0] >> 4 == 4:
        map_address(address, frame.data + DESTINATION_AT_4)
        return is_own(own, address)
    return is_own(own, frame.data + DESTINATION_AT_6)


cdef bint _put(loop_t *loop, const frame_t *frame) noexcept nogil:
    if RING_BYTES - loop.used < sizeof(frame_t) + frame.length:
        return False
    _copy_in(loop, frame, sizeof(frame_t))
    _copy_in(loop, frame.data, frame.length)
    loop.count += 1
    return True


cdef int loop_divert(loop_t *loop, const addresses_t *own, out_t *out, uint32_t *dropped) noexcept nogil:
    cdef int i, kept = 0, diverted
    cdef frame_t frame
    for i in range(out.count):
        frame = out.frames[i]
        if _to_own(own, &frame):
            if not _put(loop, &frame):
                dropped[0] += 1
            continue
        # Each frame keeps a buffer of its own.
        out.frames[i] = out.frames[kept]
        out.frames[kept] = frame
        kept += 1
    diverted = out.count - kept
    out.count = kept
    return diverted


cdef int loop_take(loop_t *loop, frame_t *frames, int limit) noexcept nogil:
    cdef int count = 0
    cdef uint8_t *data
    while loop.count and count < limit:
        data = frames[count].data
        _copy_out(loop, &frames[count], sizeof(frame_t))
        frames[count].data = data
        # It has been in no hands but ours.
        frames[count].checksum_state = CHECKSUM_VALID
        _copy_out(loop, data, frames[count].length)
        loop.count -= 1
        count += 1
    return count
