from xtcp_twisted.tcp.connection cimport conn_t
from xtcp_twisted.wire.segment cimport segment_t


# RFC 9293 section 3.10.7.4: a segment for a connection in a synchronized state.  The record may be
# gone when it returns.
cdef void segment_arrives(conn_t *c, segment_t *seg) noexcept nogil
# Its steps from the sixth on, for a segment whose header was dealt with.
cdef void segment_text(conn_t *c, segment_t *seg) noexcept nogil
