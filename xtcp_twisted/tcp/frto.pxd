"""F-RTO (RFC 5682): was the timeout spurious?  It needs neither timestamps nor D-SACK."""

from xtcp_twisted.tcp.connection cimport conn_t
from xtcp_twisted.tcp.disorder cimport delivery_t, recovery_t


# The retransmission timer has expired; called before the phase changes.
cdef void frto_begin(const conn_t *c, recovery_t *x) noexcept nogil
# An acknowledgement after it.  True: what was sent once has arrived, so the timeout was spurious.
cdef bint frto_spurious(conn_t *c, recovery_t *x, const delivery_t *d) noexcept nogil
# Whether new data, and nothing else, is to leave now, if there is any.
cdef bint frto_wants_new(const recovery_t *x) noexcept nogil
# There was no (more) new data.  True: lost data waits for the next acknowledgement all the same.
cdef bint frto_waits(const conn_t *c, recovery_t *x) noexcept nogil
# Whether the one retransmission that leaves before the next acknowledgement is out.
cdef bint frto_holds_back(const conn_t *c, const recovery_t *x) noexcept nogil
