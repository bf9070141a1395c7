"""A request that comes again; see replay.pxd.

Its sender has seen neither the acknowledgement nor the answer.  It is told that
the request is here, and what was answered is sent again from the cache; the
application is not woken.

Whoever can send a copy of a request could make us send an answer, which may be
the longer of the two, so the cached answer leaves only where the copy is surely
the client's call for help, and then as the retransmission that the timer would
make later: the congestion window, the timer's backoff, the marks of the
scoreboard (Karn, RACK) and what can be undone are those of a timeout.
"""

from libc.stdint cimport int32_t, uint32_t

from xtcp_twisted import config
from xtcp_twisted.memory.slab cimport NONE
from xtcp_twisted.tcp.acknowledge cimport ack_paced
from xtcp_twisted.tcp.bucket cimport bucket_take
from xtcp_twisted.tcp.congestion cimport retransmission_timeout
from xtcp_twisted.tcp.connection cimport conn_queue_output
from xtcp_twisted.tcp.counters cimport C_ANSWERS_REPLAYED, C_REPLAYS_LIMITED, C_REPLAYS_REFUSED
from xtcp_twisted.tcp.disorder cimport RECOVERY_REPLAYED, recovery_lease, recovery_of, recovery_t
from xtcp_twisted.tcp.flags cimport (
    ACTIVE_REORDER,
    ACTIVE_TAIL,
    ACTIVE_TRANSMIT,
    EXTENT_SENT,
    RECORD_TIMESTAMPS,
)
from xtcp_twisted.tcp.layout cimport earlier, extent_at
from xtcp_twisted.tcp.pathmtu cimport pathmtu_timeout
from xtcp_twisted.tcp.recovery cimport recovery_back_off, recovery_timeout
from xtcp_twisted.tcp.sackblocks cimport sack_duplicate
from xtcp_twisted.wire.segment cimport ACK
from xtcp_twisted.wire.sequence cimport seq_le

cdef uint32_t MIN_AGE_US = 1_000 * config.REPLAY_MIN_AGE_MS


cdef bint _outstanding(const conn_t *c) noexcept nogil:
    """Whether answer bytes have left and are not acknowledged."""
    return c.a != NULL and c.a.tx_head != NONE and extent_at(c.s, c.a.tx_head).flags & EXTENT_SENT != 0


cdef uint32_t _age_us(const conn_t *c) noexcept nogil:
    """Since the beginning of the answer was sent last."""
    return <uint32_t>c.s.now_us - extent_at(c.s, c.a.tx_head).sent_at


cdef bint _waited(const conn_t *c) noexcept nogil:
    """Whether the copy may have come to the link before the answer left: of that it tells nothing then."""
    return c.s.now_us - _age_us(c) > c.s.heard_us


cdef bint _predates(const conn_t *c, const segment_t *seg) noexcept nogil:
    """Whether the client had heard nothing of us since then: its TSecr is older than that TSval."""
    cdef uint32_t sent_ts = <uint32_t>((c.s.now_us - _age_us(c)) // 1000) + c.r.ts_offset
    return not c.r.flags & RECORD_TIMESTAMPS or <int32_t>(seg.ts_ecr - sent_ts) < 0


cdef bint _recently(const conn_t *c) noexcept nogil:
    """Whether a copy of a request has brought an answer within the present RTO."""
    cdef const recovery_t *x = recovery_of(c)
    return x != NULL and x.flags & RECOVERY_REPLAYED and earlier(
        c.s.now_ms, x.replayed_at + retransmission_timeout(c.r)
    )


cdef bint _may_replay(conn_t *c, const segment_t *seg, uint32_t expected) noexcept nogil:
    """The conditions of section 6; the first, PAWS and RFC 5961, the caller has seen to."""
    cdef uint32_t least = c.r.srtt if c.r.srtt > MIN_AGE_US else MIN_AGE_US
    # 2. SEG.ACK equals SND.UNA: of the answer's bytes that were outstanding, none has come to the client.
    if not seg.flags & ACK or seg.ack != expected:
        return False
    # 3. The answer was last sent at least max(SRTT, 10 ms) ago: else its acknowledgement may be on its way.
    if _age_us(c) < least:
        return False
    # 4. With timestamps, the client's TSecr predates that sending.
    if not _predates(c, seg):
        return False
    # 5. Not more than once per RTO.
    if _recently(c):
        return False
    # A closed window is the persist timer's business.
    return c.r.snd_wnd != 0


cdef void _replay(conn_t *c) noexcept nogil:
    cdef recovery_t *x = recovery_lease(c)
    c.s.counters[C_ANSWERS_REPLAYED] += 1
    recovery_timeout(c)
    # The client's timer may always be before ours, and the answer be lost for its size.
    pathmtu_timeout(c)
    c.a.flags &= ~(ACTIVE_REORDER | ACTIVE_TAIL)
    c.a.flags |= ACTIVE_TRANSMIT
    recovery_back_off(c)
    x.flags |= RECOVERY_REPLAYED
    x.replayed_at = c.s.now_ms
    conn_queue_output(c)


cdef void replay_duplicate(conn_t *c, const segment_t *seg, uint32_t expected) noexcept nogil:
    cdef uint32_t end = seg.seq + seg.length
    cdef uint32_t told = c.a.wire_ack if c.a != NULL else c.r.rcv_nxt
    if _outstanding(c) and seq_le(end, told) and _waited(c):
        # The answer acknowledges it, or its timer will; of many that waited, each would be one packet more.
        c.s.counters[C_REPLAYS_REFUSED] += 1
        return
    # What the client was told of is reported as a duplicate (RFC 2883).  Of held data the bare
    # acknowledgement speaks, which ends the hold of the policy `bounded`.
    if ack_paced(c) and seq_le(end, told):
        sack_duplicate(c, seg.seq, end)
    if not _outstanding(c):
        return
    if not _may_replay(c, seg, expected):
        c.s.counters[C_REPLAYS_REFUSED] += 1
    # 6. The engine's ration of them.
    elif not bucket_take(&c.s.replays, c.s.now_us):
        c.s.counters[C_REPLAYS_LIMITED] += 1
    else:
        _replay(c)
