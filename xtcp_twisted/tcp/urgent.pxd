"""Urgent data (RFC 9293 section 3.8.5, RFC 6093): in line, and told as an event.

No byte is taken out of the stream: RFC 6093 section 6 tells applications to
receive urgent data in line, and middle boxes clear the pointer as they like.
What remains of the mechanism is RCV.UP, the end of the urgent data, as far as
the application has not read up to it.  It lies in the active block, so a
connection without urgent data has nothing of it.

The sending side is not offered (SHLD-13: new applications should not use it).
"""

from libc.stdint cimport uint32_t

from xtcp_twisted.tcp.connection cimport conn_t
from xtcp_twisted.wire.segment cimport segment_t


# The URG field of a segment, before its text is trimmed.
cdef void urgent_arrives(conn_t *c, const segment_t *seg) noexcept nogil
# The application has read on, or will read no more.
cdef void urgent_read(conn_t *c) noexcept nogil
# Bytes that recv has still to return until the end of the urgent data; 0: there is none.
cdef uint32_t urgent_left(const conn_t *c) noexcept nogil
