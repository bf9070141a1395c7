"""When a segment that is not full waits: silly windows and Nagle's algorithm (RFC 9293, 3.8.6.2.1 and 3.7.4).

The sender's rule of section 3.8.6.2.1 has four conditions; a segment leaves when one holds:

    (1)  it is full                                      output.pyx: nobody is asked
    (2)  it is all that is queued, and Nagle agrees       |  window_is_silly,
    (3)  it is half of the largest window ever offered,   |  nagle_waits
         and Nagle agrees                                 |
    (4)  the override timer has fired                    timers.pyx, output.pyx

Nagle's condition is Minshall's, which Linux has, too: what is short waits only
for another short segment, here the one right before it.  The end of a long
answer then never waits, and still no two short segments in a row are in the
network.

Three things never wait.  What carries an acknowledgement is the answer to a
request: a packet leaves for it in any case, and the peer, which may defer its
own acknowledgements as we do, would let both sides wait.  The last bytes before
a FIN are complete.  And after a retransmission timeout what was held goes: the
peer may be one that acknowledges only what it could process.

Off unless the group's `nagle` or the connection asks for it: the engine joins
what one turn writes anyway, and a group protocol hands over whole messages.
Connections of ordinary Twisted protocols have it on, as on a kernel's sockets,
and off by `setTcpNoDelay`.
"""

from libc.stdint cimport uint32_t

from xtcp_twisted.tcp.connection cimport conn_t


# Whether `length` of `queued` bytes, less than a full segment, are too few for this window.
cdef bint window_is_silly(const conn_t *c, uint32_t length, uint32_t queued) noexcept nogil
# Whether what is less than a full segment waits for an acknowledgement.
cdef bint nagle_waits(const conn_t *c) noexcept nogil
# A segment with new data is about to leave.
cdef void nagle_sent(conn_t *c, bint full) noexcept nogil
# The application's choice for one connection; what was held leaves when it is switched off.
cdef void nagle_set(conn_t *c, bint on) noexcept nogil
