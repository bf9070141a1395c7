"""SYN cookies (RFC 4987 section 3.6): handshakes of which nothing is kept."""

from libc.stdint cimport uint32_t

from xtcp_twisted.tcp.connection cimport conn_t
from xtcp_twisted.tcp.layout cimport stack_t
from xtcp_twisted.wire.segment cimport segment_t

cdef enum:
    COOKIE_NONE = 0            # the segment returns no cookie of ours
    COOKIE_HELD_UP = 1         # it does, but there is no room now: the client will say it again
    COOKIE_OPENED = 2


# Whether a SYN to this group, or to one that shares its port, is answered by a cookie.
cdef bint cookie_due(const stack_t *s, uint32_t group_row, const segment_t *seg) noexcept nogil
# Answers a SYN by a cookie, if the accept rate of the group that is to have it allows one more
# connection now.
cdef void cookie_answer(stack_t *s, uint32_t group_row, const segment_t *seg) noexcept nogil
# An acknowledgement that belongs to no connection; COOKIE_OPENED: `c` is the new one, whose first
# segment this is.
cdef int cookie_returned(
    stack_t *s, uint32_t group_row, const segment_t *seg, uint32_t tag, conn_t *c
) noexcept nogil
