"""SACK blocks out (RFC 2018 section 4) and duplicates reported (RFC 2883 section 4).

The four most recent blocks are kept as pairs of edges, so that neither a
segment in nor an acknowledgement out walks the queue behind the gap.  A block
may be smaller than what is held around it, never larger: when queued bytes are
given up for in-order ones, the blocks shrink with them.

Every block lies behind rcv_nxt.  One that began at the acknowledgement number
would look like reneging to the peer.
"""

from libc.stdint cimport uint8_t, uint32_t

from xtcp_twisted.memory.slab cimport NONE
from xtcp_twisted.tcp.counters cimport C_DSACK_OLD_SENT, C_DSACK_OFO_SENT
from xtcp_twisted.tcp.disorder cimport RECOVERY_DUPLICATE, recovery_lease, recovery_of, recovery_t
from xtcp_twisted.tcp.flags cimport RECORD_SACK, RECORD_TIMESTAMPS
from xtcp_twisted.wire.segment cimport HAS_SACK
from xtcp_twisted.wire.sequence cimport seq_ge, seq_gt, seq_le, seq_lt, seq_max, seq_min

cdef enum:
    KEPT = 4                   # blocks remembered
    WITH_TIMESTAMPS = 3        # blocks that fit beside timestamps


cdef void _remove(recovery_t *x, int i) noexcept nogil:
    cdef int k
    for k in range(2 * i, 2 * (x.blocks - 1)):
        x.block[k] = x.block[k + 2]
    x.blocks -= 1


cdef void sack_keep(conn_t *c, uint32_t start, uint32_t end) noexcept nogil:
    """RFC 2018 section 4: the first block holds the segment that triggered the acknowledgement."""
    cdef recovery_t *x
    cdef int i = 0
    if not c.r.flags & RECORD_SACK:
        return
    x = recovery_lease(c)
    while i < x.blocks:
        if seq_gt(start, x.block[2 * i + 1]) or seq_lt(end, x.block[2 * i]):
            i += 1
            continue
        start = seq_min(start, x.block[2 * i])
        end = seq_max(end, x.block[2 * i + 1])
        _remove(x, i)
        # What it has grown to may touch one that was passed.
        i = 0
    if x.blocks == KEPT:
        x.blocks -= 1
    for i in range(2 * x.blocks, 0, -1):
        x.block[i + 1] = x.block[i - 1]
    x.block[0] = start
    x.block[1] = end
    x.blocks += 1


cdef void sack_advance(conn_t *c) noexcept nogil:
    cdef recovery_t *x = recovery_of(c)
    cdef int i = 0
    if x == NULL:
        return
    if c.a.ooo_head == NONE:
        x.blocks = 0
    while i < x.blocks:
        # In-order data may have reached into a block, whose chunk then joined it.
        if seq_le(x.block[2 * i], c.r.rcv_nxt):
            _remove(x, i)
        else:
            i += 1


cdef void sack_evicted(conn_t *c, uint32_t start) noexcept nogil:
    cdef recovery_t *x = recovery_of(c)
    cdef int i = 0
    if x == NULL:
        return
    while i < x.blocks:
        if seq_ge(x.block[2 * i], start):
            _remove(x, i)
            continue
        x.block[2 * i + 1] = seq_min(x.block[2 * i + 1], start)
        i += 1
    if seq_gt(x.duplicate[1], start):
        x.flags &= ~RECOVERY_DUPLICATE


cdef void sack_duplicate(conn_t *c, uint32_t start, uint32_t end) noexcept nogil:
    """RFC 2883 section 4: a block for bytes that came twice, below the ACK number or behind a gap."""
    cdef recovery_t *x
    if not c.r.flags & RECORD_SACK:
        return
    x = recovery_lease(c)
    x.duplicate[0] = start
    x.duplicate[1] = end
    x.flags |= RECOVERY_DUPLICATE


cdef uint8_t _blocks_now(const conn_t *c, const recovery_t *x) noexcept nogil:
    cdef int most = WITH_TIMESTAMPS if c.r.flags & RECORD_TIMESTAMPS else KEPT
    cdef int have = x.blocks + (x.flags & RECOVERY_DUPLICATE != 0)
    return <uint8_t>(have if have < most else most)


cdef uint32_t sack_length(const conn_t *c) noexcept nogil:
    cdef recovery_t *x = recovery_of(c)
    cdef uint32_t blocks = _blocks_now(c, x) if x != NULL else 0
    return 4 + 8 * blocks if blocks else 0


cdef void _count_duplicate(conn_t *c, const recovery_t *x) noexcept nogil:
    if seq_lt(x.duplicate[0], c.r.rcv_nxt):
        c.s.counters[C_DSACK_OLD_SENT] += 1
    else:
        c.s.counters[C_DSACK_OFO_SENT] += 1


cdef void sack_fill(conn_t *c, segment_t *fields) noexcept nogil:
    cdef recovery_t *x = recovery_of(c)
    cdef uint8_t blocks = _blocks_now(c, x) if x != NULL else 0
    cdef int at = 0, i
    if blocks == 0:
        return
    fields.has |= HAS_SACK
    fields.sacks = blocks
    if x.flags & RECOVERY_DUPLICATE:
        x.flags &= ~RECOVERY_DUPLICATE
        fields.sack[0] = x.duplicate[0]
        fields.sack[1] = x.duplicate[1]
        at = 2
        _count_duplicate(c, x)
    for i in range(2 * blocks - at):
        fields.sack[at + i] = x.block[i]
