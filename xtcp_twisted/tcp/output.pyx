"""Building and sending segments.

Every segment is made anew from the connection's state at the moment it leaves:
acknowledgement, window and timestamps are those of now, for a retransmission
too.  What may leave is what lies in both windows:

         snd_una         resend_nxt          snd_nxt           snd_lbb
    --------+----------------+-----------------+-----------------+----
            |   in flight    |  to send again  |   never sent    |
            |<------- min(cwnd, snd_wnd) ------------->|

`resend_nxt` equals `snd_nxt` except after a timeout, when everything in flight
is sent again under the congestion window (RFC 5681 section 3.1).
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from xtcp_twisted.tcp.acknowledge cimport ack_number, ack_sent, window_field
from xtcp_twisted.tcp.congestion cimport retransmission_timeout, segment_size
from xtcp_twisted.tcp.connection cimport conn_arm, conn_settle, conn_unqueue_output
from xtcp_twisted.tcp.counters cimport (
    C_DATA_SEGS_OUT,
    C_OUT_BYTES,
    C_OUT_SEGS,
    C_RETRANS_SEGS,
    C_WINDOW_PROBES,
)
from xtcp_twisted.tcp.groups cimport G_DATA_OUT, G_OUT_BYTES, G_OUT_SEGMENTS, G_RESENDS
from xtcp_twisted.tcp.layout cimport (
    ACTIVE_ACK_NOW,
    ACTIVE_PROBE,
    ACTIVE_TRANSMIT,
    RECORD_ENDED,
    RECORD_FIN_QUEUED,
    RECORD_FIN_SENT,
    RECORD_TIMESTAMPS,
    local_at,
)
from xtcp_twisted.tcp.reply cimport reply_pop
from xtcp_twisted.tcp.transmit cimport transmit_copy, transmit_sent
from xtcp_twisted.wire.segment cimport ACK, FIN, HAS_TIMESTAMPS, PSH, segment_t
from xtcp_twisted.wire.sequence cimport seq_gt, seq_lt
from xtcp_twisted.wire.tcp cimport headers_length, write_headers


cdef struct plan_t:
    uint32_t seq
    uint32_t length
    uint8_t flags


cdef bint _plan_probe(conn_t *c, plan_t *plan) noexcept nogil:
    """One byte, or the FIN, into a closed window (RFC 9293 MUST-36)."""
    if not c.a.flags & ACTIVE_PROBE:
        return False
    c.a.flags &= ~ACTIVE_PROBE
    plan.seq = c.r.snd_una if c.r.snd_una != c.r.snd_nxt else c.r.snd_nxt
    plan.length = 1 if plan.seq != c.r.snd_lbb and seq_lt(plan.seq, c.r.snd_lbb) else 0
    plan.flags = 0
    if plan.length == 0:
        if not c.r.flags & RECORD_FIN_QUEUED:
            return False
        plan.flags = FIN
    c.s.counters[C_WINDOW_PROBES] += 1
    return True


cdef bint _plan_data(conn_t *c, plan_t *plan) noexcept nogil:
    """The next segment that both windows allow, or none."""
    cdef uint32_t window = c.r.cwnd if c.r.cwnd < c.r.snd_wnd else c.r.snd_wnd
    cdef uint32_t mss = segment_size(c.r), used, left, length
    cdef bint again = seq_lt(c.a.resend_nxt, c.r.snd_nxt)
    plan.seq = c.a.resend_nxt if again else c.r.snd_nxt
    plan.flags = 0
    used = plan.seq - c.r.snd_una
    left = window - used if window > used else 0
    if seq_gt(plan.seq, c.r.snd_lbb):
        return False
    length = c.r.snd_lbb - plan.seq
    if again and seq_lt(c.r.snd_nxt, c.r.snd_lbb):
        length = c.r.snd_nxt - plan.seq
    if length == 0:
        # Only a FIN may be left; it takes one byte of the window.
        if not c.r.flags & RECORD_FIN_QUEUED or left == 0:
            return False
        if c.r.flags & RECORD_FIN_SENT and not again:
            return False
        plan.length = 0
        plan.flags = FIN
        return True
    plan.length = length if length < left else left
    if plan.length > mss:
        plan.length = mss
    if plan.length == 0:
        return False
    # Sender's silly window avoidance (section 3.8.6.2.1): full, or all there is, or half the largest window.
    if plan.length < mss and plan.length < length and plan.length < c.r.max_snd_wnd // 2:
        return False
    if plan.length == c.r.snd_lbb - plan.seq:
        plan.flags = PSH
        if c.r.flags & RECORD_FIN_QUEUED and left > plan.length:
            plan.flags |= FIN
    return True


cdef void _fill_fields(
    conn_t *c, segment_t *fields, uint32_t seq, uint8_t flags, uint32_t length
) noexcept nogil:
    memcpy(fields.remote, c.r.remote, 16)
    memcpy(fields.local, local_at(c.s, c.r.local_row).address, 16)
    fields.remote_port = c.r.remote_port
    fields.local_port = c.r.local_port
    fields.seq = seq
    fields.ack = ack_number(c)
    fields.window = window_field(c, fields.ack)
    fields.flags = flags | ACK
    fields.urgent = 0
    fields.length = length
    fields.has = 0
    if c.r.flags & RECORD_TIMESTAMPS:
        fields.has = HAS_TIMESTAMPS
        fields.ts_val = c.s.now_ms + c.r.ts_offset
        fields.ts_ecr = c.r.ts_recent


cdef void _emit(conn_t *c, out_t *out, uint32_t seq, uint8_t flags, uint32_t length) noexcept nogil:
    cdef segment_t fields
    cdef uint64_t total = 0
    cdef uint8_t *data = out.frames[out.count].data
    _fill_fields(c, &fields, seq, flags, length)
    if length:
        transmit_copy(c, seq, data + headers_length(&fields), length, &total)
    out.frames[out.count].length = write_headers(data, &fields, total)
    out.count += 1
    c.s.counters[C_OUT_SEGS] += 1
    c.g.counters[G_OUT_SEGMENTS] += 1
    ack_sent(c, fields.ack, length != 0 or flags & FIN)


cdef void _account(conn_t *c, const plan_t *plan) noexcept nogil:
    """Sequence variables, counters and the retransmission timer after a segment left (RFC 6298 5.1)."""
    cdef uint32_t text_end = plan.seq + plan.length, end = text_end + (plan.flags & FIN != 0)
    if seq_lt(plan.seq, c.r.snd_nxt):
        # TCP-MIB: tcpOutSegs does not count what carries only retransmitted bytes.
        c.s.counters[C_RETRANS_SEGS] += 1
        c.s.counters[C_OUT_SEGS] -= 1
        c.g.counters[G_RESENDS] += 1
    if plan.length:
        c.s.counters[C_DATA_SEGS_OUT] += 1
        c.s.counters[C_OUT_BYTES] += plan.length
        c.g.counters[G_DATA_OUT] += 1
        c.g.counters[G_OUT_BYTES] += plan.length
    if seq_gt(text_end, c.r.snd_nxt):
        transmit_sent(c, text_end - c.r.snd_nxt)
    if plan.flags & FIN:
        c.r.flags |= RECORD_FIN_SENT
    if c.r.snd_una == c.r.snd_nxt:
        c.a.progress = c.s.now_ms
    if seq_lt(c.a.resend_nxt, c.r.snd_nxt):
        c.a.resend_nxt = end
    if seq_gt(end, c.r.snd_nxt):
        c.r.snd_nxt = end
        c.a.resend_nxt = end
    if not c.a.flags & ACTIVE_TRANSMIT:
        c.a.flags |= ACTIVE_TRANSMIT
        c.a.transmit_at = c.s.now_ms + retransmission_timeout(c.r)


cdef void _wait_for_window(conn_t *c) noexcept nogil:
    """Something to send, nothing in flight, and no window: the persist timer (section 3.8.6.1)."""
    cdef bint unsent = c.r.snd_nxt != c.r.snd_lbb + (c.r.flags & RECORD_FIN_SENT != 0)
    if c.r.flags & RECORD_FIN_QUEUED and not c.r.flags & RECORD_FIN_SENT:
        unsent = True
    if unsent and not c.a.flags & ACTIVE_TRANSMIT:
        c.a.flags |= ACTIVE_TRANSMIT
        c.a.progress = c.s.now_ms
        c.a.transmit_at = c.s.now_ms + retransmission_timeout(c.r)


cdef bint output_connection(conn_t *c, out_t *out) noexcept nogil:
    cdef plan_t plan
    while not c.r.flags & RECORD_ENDED:
        if out.count == OUT_FRAMES:
            return False
        if not _plan_probe(c, &plan) and not _plan_data(c, &plan):
            break
        _emit(c, out, plan.seq, plan.flags, plan.length)
        _account(c, &plan)
    if not c.r.flags & RECORD_ENDED:
        if c.a.flags & ACTIVE_ACK_NOW:
            _emit(c, out, c.r.snd_nxt, 0, 0)
        _wait_for_window(c)
    conn_unqueue_output(c)
    conn_arm(c)
    conn_settle(c)
    return True


cdef bint output_replies(stack_t *s, out_t *out) noexcept nogil:
    cdef segment_t *reply
    while s.reply_count:
        if out.count == OUT_FRAMES:
            return False
        reply = reply_pop(s)
        out.frames[out.count].length = write_headers(out.frames[out.count].data, reply, 0)
        out.count += 1
        s.counters[C_OUT_SEGS] += 1
    return True
