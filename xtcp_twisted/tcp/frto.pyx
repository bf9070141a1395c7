"""F-RTO; see frto.pxd.

After a timeout the oldest segment is sent again.  If the first acknowledgement
then moves on, new data is tried before anything else is sent a second time: the
next acknowledgement tells whether the original segments arrive, merely late,
or duplicates come, caused by the new data, because they are lost.

The steps are those of RFC 5682 section 3.1, for SACK; without it those of
section 2.1, which differ as noted.  Segments that an acknowledgement covers and
that left only once are looked at wherever they can be told, as Linux does, so
that the verdict may come with the first acknowledgement already.
"""

from libc.stdint cimport uint32_t

from xtcp_twisted.memory.slab cimport NONE
from xtcp_twisted.tcp.congestion cimport segment_size
from xtcp_twisted.tcp.counters cimport C_SPURIOUS_RTOS
from xtcp_twisted.tcp.disorder cimport PHASE_OPEN, RECOVERY_FRTO, RECOVERY_FRTO_NEW
from xtcp_twisted.tcp.flags cimport EXTENT_AGAIN, RECORD_SACK
from xtcp_twisted.tcp.layout cimport extent_at
from xtcp_twisted.wire.sequence cimport seq_gt, seq_lt

cdef enum:
    MOST_SEGMENTS = 3          # of the window after a timeout that was right


cdef void frto_begin(const conn_t *c, recovery_t *x) noexcept nogil:
    # Step 1: not within another recovery, unless the same segment times out again.
    x.flags &= ~(RECOVERY_FRTO | RECOVERY_FRTO_NEW)
    if x.phase == PHASE_OPEN or c.a.backoff:
        x.flags |= RECOVERY_FRTO


cdef bint _original(const conn_t *c, const delivery_t *d) noexcept nogil:
    """Whether what was sent once has arrived; without SACK only an acknowledgement of nothing else tells."""
    return d.original and (c.r.flags & RECORD_SACK != 0 or d.timed)


cdef void _was_right(conn_t *c, recovery_t *x) noexcept nogil:
    """Step 3a: the conventional recovery, with a window of three segments at most."""
    cdef uint32_t most = MOST_SEGMENTS * segment_size(c.r)
    x.flags &= ~RECOVERY_FRTO
    if c.r.cwnd > most:
        c.r.cwnd = most


cdef bint frto_spurious(conn_t *c, recovery_t *x, const delivery_t *d) noexcept nogil:
    if not x.flags & RECOVERY_FRTO:
        return False
    x.flags &= ~RECOVERY_FRTO_NEW
    if _original(c, d):
        # Step 3b.
        x.flags &= ~RECOVERY_FRTO
        c.s.counters[C_SPURIOUS_RTOS] += 1
        return True
    if seq_gt(c.r.snd_nxt, x.recover):
        if d.selective or d.repeated:
            _was_right(c, x)
    elif d.acked and seq_lt(c.r.snd_una, x.recover):
        # Step 2b.
        x.flags |= RECOVERY_FRTO_NEW
    elif d.repeated:
        # Section 2.1, step 2a: without SACK a duplicate tells that the segment behind the gap has arrived.
        x.flags &= ~RECOVERY_FRTO
    return False


cdef bint frto_wants_new(const recovery_t *x) noexcept nogil:
    return x.flags & RECOVERY_FRTO_NEW != 0


cdef bint frto_waits(const conn_t *c, recovery_t *x) noexcept nogil:
    if seq_gt(c.r.snd_nxt, x.recover):
        return True
    # Step 2b: the application has nothing new, or the peer no room for it.
    x.flags &= ~(RECOVERY_FRTO | RECOVERY_FRTO_NEW)
    return False


cdef bint frto_holds_back(const conn_t *c, const recovery_t *x) noexcept nogil:
    # Step 1: only the first unacknowledged segment is sent again.
    return (
        x.flags & RECOVERY_FRTO != 0
        and c.a.tx_head != NONE
        and extent_at(c.s, c.a.tx_head).flags & EXTENT_AGAIN != 0
    )
