"""What must always be true of an engine's tables; the debug build asks after every batch."""

from libc.stdint cimport uint32_t, uint64_t

from xtcp_twisted.memory.links cimport END, UNLINKED
from xtcp_twisted.memory.slab cimport NONE, slab_t
from xtcp_twisted.tcp.connection cimport conn_load, conn_t
from xtcp_twisted.tcp.counters cimport C_ACTIVE_OPENS, C_ENDED, C_PASSIVE_OPENS
from xtcp_twisted.tcp.disorder cimport recovery_of, recovery_t
from xtcp_twisted.tcp.flags cimport (
    ACTIVE_SYN,
    ACTIVE_TRANSMIT,
    EXTENT_AGAIN,
    EXTENT_LOST,
    EXTENT_SACKED,
    EXTENT_SENT,
    HALF_FAST_OPEN,
    RECORD_CWR,
    RECORD_ECHOED,
    RECORD_ECE,
    RECORD_ECN,
    RECORD_ENDED,
    RECORD_FAST_OPEN,
    RECORD_PROMISED,
    RECORD_SACK,
)
from xtcp_twisted.tcp.groups cimport group_row_t
from xtcp_twisted.tcp.layout cimport extent_at, extent_t, half_open_at, record_at, record_t, stack_t
from xtcp_twisted.tcp.pressure cimport PRESSURE_DISCARDING, pressure_t
from xtcp_twisted.tcp.states cimport FIN_WAIT_1, SYN_RECEIVED, SYN_SENT
from xtcp_twisted.wire.sequence cimport seq_le, seq_lt, seq_min

cdef struct totals_t:
    uint64_t unacked
    uint64_t queued
    uint32_t sending


cdef int _check_record(const conn_t *c) except -1:
    cdef const record_t *r = c.r
    assert seq_le(r.snd_una, r.snd_nxt), "SND.UNA =< SND.NXT"
    assert seq_le(r.rcv_ackd, r.rcv_nxt), "rcv_ackd =< RCV.NXT"
    assert seq_le(r.rcv_nxt, r.rcv_adv), "RCV.NXT =< right edge"
    assert r.flags & RECORD_ECN or not r.flags & (RECORD_ECE | RECORD_CWR), "marks are told with ECN only"
    assert r.flags & RECORD_CWR or not r.flags & RECORD_ECHOED, "an echo is answered by a smaller window"
    if c.a == NULL:
        assert r.snd_una == r.snd_nxt or r.flags & RECORD_ENDED, "bytes in flight need an active block"
        return 0
    assert c.a.slot == c.slot, "the active block names its record"
    assert seq_le(c.a.wire_ack, r.rcv_nxt), "wire_ack =< RCV.NXT"
    assert (c.a.tx_head == NONE) == (c.a.tx_chunks == 0), "queued extents and their chunks"
    return 0


cdef int _check_opening(const conn_t *c) except -1:
    """A SYN that is not acknowledged has its timer, and only the FIN of FIN-WAIT-1 goes before that."""
    cdef bint unacknowledged = c.a != NULL and c.a.flags & ACTIVE_SYN
    cdef int state = c.r.state
    if state == SYN_SENT or state == SYN_RECEIVED:
        assert unacknowledged, "a connecting connection has an active block with its SYN"
        assert c.r.snd_una == c.r.snd_nxt or c.r.flags & RECORD_FAST_OPEN, (
            "nothing leaves before the connection is established"
        )
    else:
        assert not unacknowledged or state == FIN_WAIT_1, "our SYN is acknowledged"
    if unacknowledged:
        assert c.a.flags & ACTIVE_TRANSMIT or c.a.output.next != UNLINKED, "a SYN waits for its timer"
    return 0


cdef int _add_transmit_queue(const conn_t *c, totals_t *totals) except -1:
    """Walks the extents: they lie from SND.UNA to snd_lbb without a gap."""
    cdef uint32_t row = c.a.tx_head, seq = c.r.snd_una, sent
    cdef const extent_t *extent
    if row == NONE:
        return 0
    totals.sending += 1
    while row != NONE:
        extent = extent_at(c.s, row)
        assert extent.seq == seq, "extents lie one after the other from SND.UNA on"
        seq += extent.length
        sent = seq_min(c.r.snd_nxt, seq) - extent.seq if seq_le(extent.seq, c.r.snd_nxt) else 0
        totals.unacked += sent
        totals.queued += extent.length - sent
        row = extent.next
    assert seq == c.r.snd_lbb, "the last extent ends at snd_lbb"
    return 0


cdef int _check_scoreboard(const conn_t *c) except -1:
    """The sums of the recovery row are those of the extents' marks; its blocks lie behind RCV.NXT."""
    cdef const recovery_t *x = recovery_of(c)
    cdef uint32_t row = c.a.tx_head, sacked = 0, lost = 0, again = 0, end
    cdef const extent_t *extent
    cdef bint due = False
    while row != NONE:
        extent = extent_at(c.s, row)
        end = extent.seq + extent.length
        assert row != c.a.tx_next or seq_le(c.r.snd_nxt, end), "tx_next has bytes unsent"
        if extent.flags & (EXTENT_SACKED | EXTENT_LOST | EXTENT_AGAIN):
            assert extent.flags & EXTENT_SENT, "only what was sent is marked"
            assert not (extent.flags & EXTENT_SACKED and extent.flags & EXTENT_LOST), "held and lost"
        sacked += extent.length if extent.flags & EXTENT_SACKED else 0
        lost += extent.length if extent.flags & EXTENT_LOST else 0
        again += extent.length if extent.flags & EXTENT_AGAIN else 0
        due = due or x != NULL and row == x.resend
        assert due or not extent.flags & EXTENT_LOST or extent.flags & EXTENT_AGAIN, "lost before the hint"
        row = extent.next
    if x == NULL:
        assert sacked == lost == again == 0, "marks without a recovery row"
        return 0
    assert sacked == x.sacked or not c.r.flags & RECORD_SACK, f"sacked: {sacked} bytes, {x.sacked} counted"
    assert lost == x.lost, f"lost: {lost} bytes, {x.lost} counted"
    assert again == x.again, f"sent again: {again} bytes, {x.again} counted"
    for row in range(x.blocks):
        assert seq_lt(c.r.rcv_nxt, x.block[2 * row]), "a SACK block lies behind RCV.NXT"
        assert seq_lt(x.block[2 * row], x.block[2 * row + 1]), "a SACK block is not empty"
    return 0


cdef int _check_transmit_totals(const stack_t *s, const totals_t *totals) except -1:
    assert totals.sending == s.sending, f"sending: {totals.sending} connections, {s.sending} counted"
    assert totals.unacked == s.unacked_bytes, f"unacked: {totals.unacked} bytes, {s.unacked_bytes} counted"
    assert totals.queued == s.queued_bytes, f"queued: {totals.queued} bytes, {s.queued_bytes} counted"
    return 0


cdef int _check_fast_opens(const stack_t *s) except -1:
    """Each group counts its requests of Fast Open that are pending; those undecided have their SYN's data."""
    cdef uint32_t row, undecided = 0, pending = 0, counted = 0
    for row in range(s.records.fresh):
        if record_at(s, row).generation & 1 and record_at(s, row).flags & RECORD_FAST_OPEN:
            pending += 1
    for row in range(s.half_opens.fresh):
        if half_open_at(s, row).generation & 1 and half_open_at(s, row).flags & HALF_FAST_OPEN:
            undecided += 1
    for row in range(s.group_rows.fresh):
        if s.groups[row].flags:
            counted += s.groups[row].fast_open_pending
    assert pending + undecided == counted, f"fast opens: {pending} and {undecided}, {counted} counted"
    assert undecided == s.fast_opens.texts.used, f"{undecided} undecided, {s.fast_opens.texts.used} rows"
    return 0


cdef int _check_holding(const stack_t *s, bint fired) except -1:
    """Who holds back has something to tell, for so few connections only and not for too long."""
    cdef uint32_t row = s.holding.head, count = 0
    cdef const group_row_t *g
    while row != END:
        g = &s.groups[row]
        assert 0 < g.ready.count < g.notify_connections, "a group holds back what it has of too few only"
        assert not fired or s.now_us < g.notify_at_us, "a group holds back after its delay"
        count += 1
        row = g.holding.next
    assert count == s.holding.count, f"holding: {count} groups, {s.holding.count} counted"
    return 0


cdef int _check_pressure(const pressure_t *p, const slab_t *chunks) except -1:
    assert p.least == p.fall[p.state] <= chunks.used, "a pressure state ends below its lower bound"
    if p.state < PRESSURE_DISCARDING:
        assert chunks.used < p.next_rise == p.rise[p.state + 1], "pressure rises at the next threshold"
    return 0


cdef int check_invariants(State state) except -1:
    cdef uint32_t slot, in_use = 0, promised = 0, active = 0, leased = 0, chunks = 0, held = 0, states = 0
    cdef uint32_t throttled = 0, listed = 0
    cdef uint64_t opened
    cdef totals_t totals = totals_t(0, 0, 0)
    cdef conn_t c
    cdef int i
    for slot in range(state.stack.records.fresh):
        if not record_at(&state.stack, slot).generation & 1:
            continue
        in_use += 1
        if record_at(&state.stack, slot).flags & RECORD_PROMISED:
            promised += 1
            active += record_at(&state.stack, slot).active != NONE
            continue
        conn_load(&c, &state.stack, slot)
        _check_record(&c)
        _check_opening(&c)
        if c.a != NULL:
            active += 1
            chunks += c.a.rx_chunks
            throttled += c.a.throttled.next != UNLINKED
            leased += c.a.recovery != NONE
            _add_transmit_queue(&c, &totals)
            _check_scoreboard(&c)
    _check_transmit_totals(&state.stack, &totals)
    _check_fast_opens(&state.stack)
    _check_holding(&state.stack, state.turn_open)
    for i in range(11):
        states += state.stack.state_counts[i]
    _check_pressure(&state.stack.pressure, &state.stack.payloads)
    for i in range(state.stack.pool_count):
        held += state.stack.pools[i].chunks.used
        listed += state.stack.pools[i].throttled.count
        _check_pressure(&state.stack.pools[i].pressure, &state.stack.pools[i].chunks)
    assert in_use == state.stack.records.used, f"records: {in_use} in use, {state.stack.records.used} counted"
    assert active == state.stack.actives.used, (
        f"active blocks: {active} leased, {state.stack.actives.used} counted"
    )
    assert throttled == listed == state.stack.throttled, (
        f"throttled: {throttled} connections, {listed} in the pools' lists, {state.stack.throttled} counted"
    )
    assert leased == state.stack.recoveries.used, (
        f"recovery rows: {leased} leased, {state.stack.recoveries.used} counted"
    )
    chunks += state.unix_chunks
    assert chunks == held, f"receive chunks: {chunks} held, {held} counted"
    assert states == in_use - promised, f"states: {states} counted, {in_use} records, {promised} promised"
    opened = state.stack.counters[C_PASSIVE_OPENS] + state.stack.counters[C_ACTIVE_OPENS]
    assert states == opened - state.stack.counters[C_ENDED], (
        "connections are those that were opened and have not ended"
    )
    return 0
