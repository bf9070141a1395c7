"""What the application prefers for one connection, where it differs from its group's options."""

from xtcp_twisted.tcp.connection cimport conn_t


# R2 in seconds; 0: none, None: the group's again.  Raises LocalError.
cdef int prefer_user_timeout(conn_t *c, object timeout_s) except -1
cdef int prefer_keepalive(conn_t *c, bint on) except -1
cdef int prefer_nagle(conn_t *c, bint on) except -1
# Its group's options have changed: they hold for a connection that the application left to them.
cdef void follow_keepalive(conn_t *c) noexcept nogil
cdef void follow_nagle(conn_t *c) noexcept nogil
