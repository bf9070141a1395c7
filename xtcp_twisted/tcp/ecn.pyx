"""Explicit congestion notification; see ecn.pxd.

Whatever reduces the window makes the next new data carry CWR (section 6.1.2);
that is done where it is reduced, in control.pyx.
"""

from xtcp_twisted.tcp.control cimport control_reduce
from xtcp_twisted.tcp.counters cimport C_ECN_FALLBACKS, C_ECN_REDUCTIONS
from xtcp_twisted.tcp.disorder cimport (
    PHASE_OPEN,
    RECOVERY_ECN,
    RECOVERY_MARKED,
    recovery_lease,
    recovery_of,
    recovery_t,
)
from xtcp_twisted.tcp.flags cimport RECORD_CWR, RECORD_ECE, RECORD_ECHOED
from xtcp_twisted.tcp.states cimport SYN_SENT
from xtcp_twisted.wire.segment cimport ECT_0
from xtcp_twisted.wire.sequence cimport seq_le


cdef void ecn_fall_back(conn_t *c) noexcept nogil:
    """Section 6.1.1.1: something on the path may drop SYNs that ask.  Linux stops asking at once, too."""
    if c.r.flags & RECORD_ECN and c.r.state == SYN_SENT:
        c.r.flags &= ~<uint32_t>RECORD_ECN
        c.s.counters[C_ECN_FALLBACKS] += 1


cdef void ecn_leaves(conn_t *c, segment_t *fields) noexcept nogil:
    """Section 6.1.2.  What is sent again is not ECT (6.1.5), nor a pure ACK (6.1.4) or a probe (6.1.6)."""
    cdef recovery_t *x
    fields.tos |= ECT_0
    if not c.r.flags & RECORD_CWR:
        return
    fields.flags |= CWR
    if c.r.flags & RECORD_ECHOED:
        x = recovery_lease(c)
        if x.phase == PHASE_OPEN:
            # Nothing has left since the window was reduced, but the row that knew may have been given back.
            x.flags |= RECOVERY_ECN
            x.reduced = fields.seq
    c.r.flags &= ~<uint32_t>(RECORD_CWR | RECORD_ECHOED)


cdef void ecn_arrives(conn_t *c, const segment_t *seg) noexcept nogil:
    """Section 6.1.3: ECE from the first mark on, until the peer says that it has heard."""
    if seg.flags & CWR:
        c.r.flags &= ~<uint32_t>RECORD_ECE
    # The segment that brings CWR may be marked itself.
    if seg.tos & CE == CE:
        c.r.flags |= RECORD_ECE


cdef void ecn_acknowledged(conn_t *c, const segment_t *seg, delivery_t *d) noexcept nogil:
    """Section 6.1.2: as if a segment was lost, but nothing is sent again; once per window of data."""
    cdef recovery_t *x = recovery_of(c)
    if not seg.flags & ECE:
        return
    # It does not let the window grow.
    d.congested = True
    if x == NULL:
        x = recovery_lease(c)
    elif x.phase != PHASE_OPEN:
        x.flags |= RECOVERY_MARKED
        if c.r.flags & RECORD_CWR:
            c.r.flags |= RECORD_ECHOED
        return
    # ECE is repeated until the peer has seen CWR, which is in what follows `reduced`.
    if c.r.flags & RECORD_ECHOED or x.flags & RECOVERY_ECN and seq_le(seg.ack, x.reduced):
        return
    x.flags &= ~RECOVERY_ECN
    c.s.counters[C_ECN_REDUCTIONS] += 1
    control_reduce(c)
    c.r.cwnd = c.r.ssthresh
    c.r.flags |= RECORD_ECHOED
    x.flags |= RECOVERY_ECN | RECOVERY_MARKED
    x.reduced = c.r.snd_nxt
