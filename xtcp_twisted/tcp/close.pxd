"""How connections end (RFC 9293 sections 3.10.4 to 3.10.6)."""

from libc.stdint cimport uint16_t

from xtcp_twisted.tcp.connection cimport conn_t


# Frees the record: nothing of the connection is left.
cdef void conn_free(conn_t *c) noexcept nogil
# Reset by the peer or given up: queues are dropped; the end is reported, or the record freed.
cdef void conn_fail(conn_t *c, int kind, uint16_t detail) noexcept nogil
# RST to the peer, then freed.
cdef void conn_abort(conn_t *c) noexcept nogil
# The CLOSE call: our FIN comes after what is queued; the state changes at once.  In SYN-SENT the
# connection is freed.
cdef void conn_shutdown(conn_t *c) noexcept nogil
# Both FINs are acknowledged: over TIME-WAIT if `wait`, then CLOSED is reported when all was received.
cdef void conn_finished(conn_t *c, bint wait) noexcept nogil
# Reports CLOSED if it is due and the application has taken everything.
cdef void conn_report_closed(conn_t *c) noexcept nogil
# The application is done with it: what was delivered is acknowledged, undelivered bytes make it a reset.
cdef void conn_finish(conn_t *c) noexcept nogil
