"""The receive queue of a connection, in the chunks of its pool (P12)."""

from libc.stdint cimport uint8_t, uint32_t

from xtcp_twisted.tcp.connection cimport conn_t

# Bytes of a segment that came for the second time: their first run; equal edges: none.
cdef struct overlap_t:
    uint32_t start
    uint32_t end


# Bytes that the connection may hold now: max(guaranteed, weight x free/64).
cdef uint32_t receive_quota(const conn_t *c) noexcept nogil
# Room for new in-order bytes, within quota and pool.
cdef uint32_t receive_room(const conn_t *c) noexcept nogil
# Takes bytes from rcv_nxt on, and what was held behind them; returns the new rcv_nxt, the caller's to
# store.  *whole: nothing had to be left out; *twice: what was held already.
cdef uint32_t receive_append(
    conn_t *c, uint32_t rcv_nxt, const uint8_t *data, uint32_t length, bint *whole, overlap_t *twice
) noexcept nogil
# Keeps bytes behind a gap; those that are held already stay (first received byte wins).  Returns how
# many are new; *reached: from `seq` up to here all are held now; *twice: what was before.
cdef uint32_t receive_keep(
    conn_t *c, uint32_t seq, const uint8_t *data, uint32_t length, uint32_t *reached, overlap_t *twice
) noexcept nogil
# Copies up to `size` bytes of the queue, after the first `skip`; returns how many.
cdef uint32_t receive_copy(const conn_t *c, uint32_t skip, uint8_t *out, uint32_t size) noexcept nogil
# Drops `length` bytes that the application acknowledged from the head; `rcv_ackd` stands behind them already.
cdef void receive_drop(conn_t *c, uint32_t length) noexcept nogil
cdef void receive_clear(conn_t *c) noexcept nogil
cdef uint32_t receive_out_of_order(const conn_t *c) noexcept nogil
