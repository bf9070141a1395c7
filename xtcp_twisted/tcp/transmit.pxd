"""The transmit queue of a connection, in the one transmit buffer (P19)."""

from libc.stdint cimport uint8_t, uint32_t

from xtcp_twisted.tcp.connection cimport conn_t
from xtcp_twisted.tcp.disorder cimport delivery_t
from xtcp_twisted.tcp.layout cimport stack_t
from xtcp_twisted.wire.segment cimport segment_t


# Bytes that a connection may add to its queue now.
cdef uint32_t transmit_room(const conn_t *c) noexcept nogil
# Tells a connection that a short send may be tried again: others had filled the buffer, and no ACK of its own
# will tell it.
cdef void transmit_wake(conn_t *c) noexcept nogil
# Whether the pressure of the transmit buffer keeps broadcasts out.
cdef bint transmit_paused(const stack_t *s) noexcept nogil
# Copies bytes into a payload of its own; returns its first chunk, or NONE, and the bytes taken.
cdef uint32_t payload_store(stack_t *s, const uint8_t *data, uint32_t length, uint32_t *taken) noexcept nogil
cdef void payload_hold(stack_t *s, uint32_t payload) noexcept nogil
cdef void payload_drop(stack_t *s, uint32_t payload) noexcept nogil
# Queues a payload (a reference is taken) at snd_lbb; -1 when no extent is free.
cdef int transmit_queue(conn_t *c, uint32_t payload, uint32_t length) noexcept nogil
# Frees what `seg` acknowledges in order, and tells what it was.
cdef void transmit_acknowledged(conn_t *c, const segment_t *seg, delivery_t *d) noexcept nogil
# Copies queued bytes into a frame, from `seq` on, which lies in extent `row`.
cdef void transmit_copy(
    const conn_t *c, uint32_t row, uint32_t seq, uint8_t *out, uint32_t length
) noexcept nogil
# These bytes of extent `row` and those behind it have left, in segments of `size`: from here on those are
# extents of their own.
cdef void transmit_sent(conn_t *c, uint32_t row, uint32_t seq, uint32_t length, uint32_t size) noexcept nogil
cdef void transmit_clear(conn_t *c) noexcept nogil
