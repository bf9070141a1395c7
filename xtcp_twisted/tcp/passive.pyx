"""The record of a connection that its peer opened: what the handshake has agreed on becomes its variables.

Of the handshake it knows only what a half-open entry holds; whether that lay in
the table is the business of `listen` and of who else keeps it.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy

from xtcp_twisted import config
from xtcp_twisted.memory.slab cimport NONE, slab_take
from xtcp_twisted.tcp.acknowledge cimport first_window
from xtcp_twisted.tcp.congestion cimport initial_window, round_trip_sample
from xtcp_twisted.tcp.connection cimport EVENT_ESTABLISHED, EVENT_WRITABLE, conn_load, conn_report
from xtcp_twisted.tcp.counters cimport C_PASSIVE_OPENS
from xtcp_twisted.tcp.layout cimport (
    RECORD_NARROWED,
    RECORD_PAUSED,
    RECORD_SACK,
    RECORD_SCALING,
    RECORD_SHORT,
    RECORD_TIMESTAMPS,
    record_at,
    record_t,
)
from xtcp_twisted.tcp.pathmtu cimport pathmtu_begin
from xtcp_twisted.tcp.states cimport ESTABLISHED, SYN_RECEIVED, set_state
from xtcp_twisted.tcp.tuples cimport timestamp_offset
from xtcp_twisted.wire.segment cimport HAS_SACK_PERMITTED, HAS_SCALE, HAS_TIMESTAMPS

cdef uint32_t WINDOW_SCALE = config.WINDOW_SCALE
cdef uint32_t INITIAL_RTO_MS = config.INITIAL_RTO_MS
cdef uint32_t RTO_AFTER_LOST_SYN_MS = config.RTO_AFTER_LOST_SYN_MS


cdef uint32_t passive_record(stack_t *s, const half_open_t *h, uint32_t group_row) noexcept nogil:
    cdef uint32_t slot = slab_take(&s.records)
    cdef record_t *r
    if slot == NONE:
        return NONE
    r = record_at(s, slot)
    memcpy(r.remote, h.remote, 16)
    r.remote_port = h.remote_port
    r.local_port = h.local_port
    r.local_row = h.local_row
    r.group_row = <uint16_t>group_row
    r.active = NONE
    r.mss = h.mss
    r.created = <uint32_t>(s.now_us // 1_000_000)
    r.last_heard = s.now_ms
    r.rcv_nxt = r.rcv_ackd = r.rcv_adv = h.irs + 1
    r.snd_una = r.snd_nxt = r.snd_lbb = h.iss + 1
    pathmtu_begin(s, slot)
    s.groups[group_row].references += 1
    r.state = SYN_RECEIVED
    return slot


cdef void _complete(record_t *r, const half_open_t *h, const segment_t *seg, uint32_t window) noexcept nogil:
    """The sequence variables of a connection whose handshake this segment completes."""
    r.rcv_adv = h.irs + 1 + window
    r.scales = <uint8_t>(WINDOW_SCALE << 4 | h.scale)
    # What the application said and was told before.
    r.flags &= RECORD_PAUSED | RECORD_SHORT | RECORD_NARROWED
    if h.has & HAS_SCALE:
        r.flags |= RECORD_SCALING
    if h.has & HAS_SACK_PERMITTED:
        r.flags |= RECORD_SACK
    if h.has & HAS_TIMESTAMPS:
        r.flags |= RECORD_TIMESTAMPS
        r.ts_recent = seg.ts_val
    r.snd_wnd = <uint32_t>seg.window << h.scale
    r.max_snd_wnd = r.snd_wnd
    r.snd_wl1 = seg.seq
    r.snd_wl2 = seg.ack
    r.cwnd = initial_window(r)
    r.ssthresh = 0x3FFFFFFF


cdef void _measure(stack_t *s, record_t *r, const half_open_t *h) noexcept nogil:
    """The handshake is the first round trip, if its SYN-ACK was sent once."""
    if h.tries == 1:
        round_trip_sample(r, (s.now_ms - (h.due - INITIAL_RTO_MS)) * 1000)
    elif not r.flags & RECORD_TIMESTAMPS:
        r.rttvar = RTO_AFTER_LOST_SYN_MS * 1000


cdef void passive_establish(
    stack_t *s, uint32_t slot, const half_open_t *h, const segment_t *seg, uint32_t tag, conn_t *c
) noexcept nogil:
    cdef record_t *r = record_at(s, slot)
    conn_load(c, s, slot)
    s.state_counts[SYN_RECEIVED] += 1
    c.g.connections += 1
    _complete(r, h, seg, first_window(c.p.chunks.capacity, c.g.weight))
    r.tag = tag
    r.ts_offset = timestamp_offset(s, seg)
    _measure(s, r, h)
    set_state(s, r, ESTABLISHED)
    s.counters[C_PASSIVE_OPENS] += 1
    conn_report(c, EVENT_ESTABLISHED)
    if r.flags & RECORD_SHORT:
        r.flags &= ~<uint32_t>RECORD_SHORT
        conn_report(c, EVENT_WRITABLE)
