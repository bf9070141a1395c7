"""The transmit queue of a connection, in the one transmit buffer (P19)."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from xtcp_twisted.tcp.connection cimport conn_t
from xtcp_twisted.tcp.layout cimport extent_t, stack_t


# Bytes that a connection may add to its queue now.
cdef uint32_t transmit_room(const conn_t *c) noexcept nogil
# Whether the pressure of the transmit buffer keeps broadcasts out.
cdef bint transmit_paused(const stack_t *s) noexcept nogil
# Copies bytes into a payload of its own; returns its first chunk, or NONE, and the bytes taken.
cdef uint32_t payload_store(stack_t *s, const uint8_t *data, uint32_t length, uint32_t *taken) noexcept nogil
cdef void payload_hold(stack_t *s, uint32_t payload) noexcept nogil
cdef void payload_drop(stack_t *s, uint32_t payload) noexcept nogil
# Queues a payload (a reference is taken) at snd_lbb; -1 when no extent is free.
cdef int transmit_queue(conn_t *c, uint32_t payload, uint32_t length) noexcept nogil
# Frees what the peer has acknowledged up to `ack`; *resent: some of it was sent more than once;
# *sent_at: when the latest of it was sent, us.
cdef void transmit_acknowledged(conn_t *c, uint32_t ack, bint *resent, uint32_t *sent_at) noexcept nogil
# Copies queued bytes from `seq` on into a frame, adds their checksum; marks their extents as sent.
cdef void transmit_copy(conn_t *c, uint32_t seq, uint8_t *out, uint32_t length, uint64_t *sum) noexcept nogil
# `n` bytes, the next that were never sent, were sent.
cdef void transmit_sent(conn_t *c, uint32_t n) noexcept nogil
cdef void transmit_clear(conn_t *c) noexcept nogil
