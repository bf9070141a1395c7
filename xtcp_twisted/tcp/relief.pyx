"""The last resort of a buffer that goes on discarding: whom it aborts (architecture section 8; P27 to P30).

**A pool** that discards is waiting for the application to acknowledge.  When it
has acknowledged nothing for PATIENCE_MS, it is stuck, perhaps because each of
its requests is a part of one, and the largest holder is aborted; of equals the
oldest.  While that does not help, so are two a second later, then four, and so on.

So are those who hold parts of requests when the pool has been withholding for PATIENCE_MS
and more than half of what is in it are such parts.  They wait for their peers, not for
the application, whose work makes no room then; and a pool that withholds accepts nobody.

**The transmit buffer** that discards is waiting for peers.  One that has
acknowledged less than a segment for PATIENCE_MS has stalled, whether it is gone,
reads by drops, or keeps its window closed and answers each probe, as RFC 9293
lets it for ever (MUST-37) and RFC 6429 lets us end: the attack called Sockstress.
Of the last sixteenth, a closed window is given IMPATIENCE_MS only.  Those are
aborted who have kept most for longest (chunks x time), until the buffer discards
no more.  How far the others have come is looked at once a second, and only while
the buffer discards: no connection pays for it else.

Both prefer, of those who hold more than is guaranteed to each, groups of low
priority to others.  One buffer at a time has a walk over the records, in slices.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from xtcp_twisted.memory.slab cimport NONE, slab_free_rows
from xtcp_twisted.tcp.acknowledge cimport request_incomplete
from xtcp_twisted.tcp.close cimport conn_fail
from xtcp_twisted.tcp.congestion cimport segment_size
from xtcp_twisted.tcp.connection cimport EVENT_DOWN, conn_load, conn_t, group_throttled
from xtcp_twisted.tcp.counters cimport C_TRANSMIT_ABORTS
from xtcp_twisted.tcp.flags cimport ACTIVE_SYN, ACTIVE_WATCHED, RECORD_ENDED, RECORD_PROMISED, RECORD_SHORT
from xtcp_twisted.tcp.groups cimport T_ABORTS
from xtcp_twisted.tcp.holders cimport HOLDERS, holder_t, relief_t, stall_t
from xtcp_twisted.tcp.layout cimport earlier, record_at, record_t
from xtcp_twisted.tcp.pressure cimport PRESSURE_DISCARDING, PRESSURE_WITHHOLDING, pressure_t
from xtcp_twisted.tcp.reply cimport reply_abort
from xtcp_twisted.tcp.transmit cimport transmit_wake

cdef enum:
    PATIENCE_MS = 10_000
    IMPATIENCE_MS = 1_000
    PAUSE_MS = 900             # from one walk for a buffer to the next: two slices of the clock hand
    LAST_SHARE = 16
    VISITED_AT_ONCE = 65_536   # records in one poll
    ENOBUFS = 105

cdef uint64_t MOST_KEPT = (1 << 62) - 1


cdef pressure_t *_pressure(stack_t *s, uint32_t buffer) noexcept nogil:
    return &s.pools[buffer - 1].pressure if buffer else &s.pressure


cdef bint _parts_count(const pressure_t *p, bint is_pool) noexcept nogil:
    return is_pool and p.state == PRESSURE_WITHHOLDING


cdef uint32_t _allowed(const stack_t *s, const pressure_t *p, bint is_pool) noexcept nogil:
    """How many connections a walk for this buffer may abort now."""
    cdef bint parts = _parts_count(p, is_pool)
    cdef int64_t begun = p.since_us if parts else max(p.since_us, p.eased_us)
    cdef bint again = p.relieved_us > begun
    if p.state != PRESSURE_DISCARDING and not parts:
        return 0
    if again and s.now_us - p.relieved_us < PAUSE_MS * <int64_t>1_000:
        return 0
    if not is_pool:
        return HOLDERS
    if s.now_us - begun < PATIENCE_MS * <int64_t>1_000:
        return 0
    return min(max(2 * p.relief, <uint32_t>1), <uint32_t>HOLDERS) if again else 1


cdef void relief_look(stack_t *s) noexcept nogil:
    cdef relief_t *x = &s.relief
    cdef pressure_t *p
    if x.walking:
        return
    for _ in range(s.pool_count + 1):
        x.buffer = x.buffer + 1 if x.buffer < s.pool_count else 0
        p = _pressure(s, x.buffer)
        x.most = _allowed(s, p, x.buffer != 0)
        if x.most:
            p.relieved_us = s.now_us
            p.relief = x.most
            x.walking = True
            x.parts = _parts_count(p, x.buffer != 0)
            x.held = x.held_parts = 0
            x.to_visit = s.records.fresh
            x.found = 0
            return


cdef bint _is_needed(stack_t *s) noexcept nogil:
    """Whether the present walk still is: it takes several polls, and the application may acknowledge."""
    cdef pressure_t *p = _pressure(s, s.relief.buffer)
    if s.relief.parts:
        return p.state == PRESSURE_WITHHOLDING
    return p.state == PRESSURE_DISCARDING and p.eased_us <= p.relieved_us


cdef uint64_t _rank(const conn_t *c, uint32_t chunks) noexcept nogil:
    """What goes before all else: more than is guaranteed, and then low priority."""
    return <uint64_t>(1 + c.g.priority if chunks > c.g.guaranteed else 0) << 62


cdef uint64_t _held(const conn_t *c) noexcept nogil:
    """What there is to be won for its pool: chunks, then age in seconds."""
    cdef uint32_t age = <uint32_t>(c.s.now_us // 1_000_000) - c.r.created
    if c.a.rx_chunks == 0 or c.s.relief.parts and not request_incomplete(c):
        return 0
    return _rank(c, c.a.rx_chunks) | <uint64_t>c.a.rx_chunks << 31 | age & 0x7FFFFFFF


cdef uint32_t _stalled_ms(conn_t *c) noexcept nogil:
    """For how long its peer has acknowledged less than a segment, as far as we have looked."""
    cdef stall_t *stall = &c.s.relief.stalls[c.slot]
    if not c.a.flags & ACTIVE_WATCHED or c.r.snd_una - stall.snd_una >= segment_size(c.r):
        c.a.flags |= ACTIVE_WATCHED
        stall.snd_una = c.r.snd_una
        stall.since = c.s.now_ms
    # Of what waits in the link nothing is known yet.
    return c.s.heard_ms - stall.since if earlier(stall.since, c.s.heard_ms) else 0


cdef uint64_t _kept(conn_t *c) noexcept nogil:
    """What there is to be won for the transmit buffer: chunks x time, if the peer has stalled."""
    cdef bint last = slab_free_rows(&c.s.payloads) <= c.s.payloads.capacity // LAST_SHARE
    cdef uint32_t stalled
    if c.a.tx_head == NONE or c.a.flags & ACTIVE_SYN:
        return 0
    stalled = _stalled_ms(c)
    if stalled < <uint32_t>(IMPATIENCE_MS if last and c.r.snd_wnd == 0 else PATIENCE_MS):
        return 0
    return _rank(c, c.a.tx_chunks) | min(<uint64_t>c.a.tx_chunks * stalled, MOST_KEPT)


cdef uint64_t _weight(conn_t *c) noexcept nogil:
    """How worthwhile its end would be for the buffer of this walk; 0: not at all."""
    cdef uint32_t buffer = c.s.relief.buffer
    if c.r.flags & (RECORD_ENDED | RECORD_PROMISED) or c.a == NULL:
        return 0
    if buffer == 0:
        return _kept(c)
    return _held(c) if c.g.pool_row == buffer - 1 else 0


cdef void _sink(relief_t *x, uint32_t at, uint32_t count) noexcept nogil:
    """Restores the heap below one of its places."""
    cdef uint32_t child
    cdef holder_t moved = x.holders[at]
    while 2 * at + 1 < count:
        child = 2 * at + 1
        if child + 1 < count and x.holders[child + 1].weight < x.holders[child].weight:
            child += 1
        if moved.weight <= x.holders[child].weight:
            break
        x.holders[at] = x.holders[child]
        at = child
    x.holders[at] = moved


cdef void _keep(relief_t *x, holder_t found) noexcept nogil:
    """The `most` worthwhile so far."""
    cdef uint32_t at = x.found
    if x.found == x.most:
        if found.weight > x.holders[0].weight:
            x.holders[0] = found
            _sink(x, 0, x.found)
        return
    x.found += 1
    while at and x.holders[(at - 1) // 2].weight > found.weight:
        x.holders[at] = x.holders[(at - 1) // 2]
        at = (at - 1) // 2
    x.holders[at] = found


cdef void _visit(stack_t *s, uint32_t slot) noexcept nogil:
    cdef record_t *r = record_at(s, slot)
    cdef uint64_t weight
    cdef conn_t c
    if not r.generation & 1 or r.flags & (RECORD_ENDED | RECORD_PROMISED):
        return
    if r.active == NONE and not r.flags & RECORD_SHORT:
        return
    conn_load(&c, s, slot)
    if s.relief.buffer == 0:
        # While the buffer discards on, no fall of its pressure tells that others have made room.
        transmit_wake(&c)
    weight = _weight(&c)
    if s.relief.parts and c.a != NULL and c.g.pool_row == s.relief.buffer - 1:
        s.relief.held += c.a.rx_chunks
        s.relief.held_parts += c.a.rx_chunks if weight else 0
    if weight:
        _keep(&s.relief, holder_t(weight, slot, r.generation))


cdef void _abort(conn_t *c) noexcept nogil:
    """By reset to the peer and DOWN to the application, whose errno says why."""
    if c.s.relief.buffer:
        group_throttled(c.s, c.g, T_ABORTS, 1)
    else:
        c.s.counters[C_TRANSMIT_ABORTS] += 1
    reply_abort(c.s, c.r, c.r.snd_nxt, c.a.wire_ack)
    conn_fail(c, EVENT_DOWN, ENOBUFS)


cdef void _abort_most_worthwhile(stack_t *s) noexcept nogil:
    """Those that were found, the most worthwhile first, until the buffer is in another state."""
    cdef relief_t *x = &s.relief
    cdef uint32_t left = x.found
    cdef uint8_t state = PRESSURE_WITHHOLDING if x.parts else PRESSURE_DISCARDING
    cdef holder_t held
    cdef conn_t c
    if x.parts and 2 * x.held_parts <= x.held:
        # Whole requests fill it.  When that changes, one is the first again.
        _pressure(s, x.buffer).relief = 0
        return
    while left > 1:
        # Sorts the heap: the least worthwhile to its end.
        left -= 1
        held = x.holders[0]
        x.holders[0] = x.holders[left]
        x.holders[left] = held
        _sink(x, 0, left)
    for left in range(x.found):
        if _pressure(s, x.buffer).state != state:
            return
        held = x.holders[left]
        if record_at(s, held.slot).generation == held.generation:
            conn_load(&c, s, held.slot)
            if _weight(&c):
                _abort(&c)


cdef void relief_walk(stack_t *s) noexcept nogil:
    cdef uint32_t left = VISITED_AT_ONCE
    cdef relief_t *x = &s.relief
    if not x.walking:
        return
    if not _is_needed(s):
        x.walking = False
        return
    while left and x.to_visit:
        left -= 1
        x.to_visit -= 1
        _visit(s, x.to_visit)
    if x.to_visit == 0:
        _abort_most_worthwhile(s)
        x.walking = False
