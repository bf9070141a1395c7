"""Explicit congestion notification (RFC 3168): who agrees to it, who tells whom, and what comes of it.

      sender                     router                   receiver
        |-- data, ECT(0) ---------->|-- data, CE ------------>|  RECORD_ECE
        |<---------------- ACK, ECE --------------------------|  on every ACK
    cwnd reduced, RECORD_CWR                                  |
        |-- new data, ECT(0), CWR --------------------------->|  no ECE any more

Routers mark instead of dropping what says that its ends understand marks.  The
ECN nonce (RFC 3540) is historic: its bit is not looked at, ECT(1) means ECT(0).
"""

from libc.stdint cimport uint32_t

from xtcp_twisted.tcp.connection cimport conn_t
from xtcp_twisted.tcp.disorder cimport delivery_t
from xtcp_twisted.tcp.groups cimport GROUP_ECN, group_row_t
from xtcp_twisted.tcp.flags cimport RECORD_ECN
from xtcp_twisted.wire.segment cimport ACK, CWR, ECE, NOT_ECT, CE, segment_t


cdef inline bint ecn_setup(const segment_t *seg) noexcept nogil:
    """Section 6.1.1: whether a SYN asks for ECN (both flags), or a SYN-ACK agrees to it (ECE alone).

    A SYN must not be ECT: one that is was changed on its way, by something that would ruin marks, too.
    """
    if seg.flags & ACK:
        return seg.flags & (ECE | CWR) == ECE
    return seg.flags & (ECE | CWR) == ECE | CWR and seg.tos & CE == NOT_ECT


cdef inline bint ecn_agrees(const group_row_t *g, const segment_t *syn) noexcept nogil:
    """Whether the group's SYN-ACK to this SYN carries ECE.

    One bit is all that has to be kept until the handshake is complete.
    """
    return g.flags & GROUP_ECN and ecn_setup(syn)


# The peer's SYN or SYN-ACK: whether the connection keeps what our own asked for.
cdef inline void ecn_answered(conn_t *c, const segment_t *seg) noexcept nogil:
    if not ecn_setup(seg):
        c.r.flags &= ~<uint32_t>RECORD_ECN

# Our SYN is lost: the next one does not ask (section 6.1.1.1).
cdef void ecn_fall_back(conn_t *c) noexcept nogil
# A segment with new data is about to leave.
cdef void ecn_leaves(conn_t *c, segment_t *fields) noexcept nogil
# Data that lies in the window has arrived.
cdef void ecn_arrives(conn_t *c, const segment_t *seg) noexcept nogil
# An acknowledgement of what is in flight has arrived; before it is counted.
cdef void ecn_acknowledged(conn_t *c, const segment_t *seg, delivery_t *d) noexcept nogil
