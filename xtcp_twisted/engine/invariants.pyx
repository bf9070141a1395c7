"""What must always be true of an engine's tables; the debug build asks after every batch."""

from libc.stdint cimport uint32_t

from xtcp_twisted.memory.slab cimport NONE
from xtcp_twisted.tcp.connection cimport conn_load, conn_t
from xtcp_twisted.tcp.layout cimport RECORD_ENDED, RECORD_PROMISED, record_at, record_t
from xtcp_twisted.wire.sequence cimport seq_le


cdef int _check_record(const conn_t *c) except -1:
    cdef const record_t *r = c.r
    assert seq_le(r.snd_una, r.snd_nxt), "SND.UNA =< SND.NXT"
    assert seq_le(r.rcv_ackd, r.rcv_nxt), "rcv_ackd =< RCV.NXT"
    assert seq_le(r.rcv_nxt, r.rcv_adv), "RCV.NXT =< right edge"
    if c.a == NULL:
        assert r.snd_una == r.snd_nxt or r.flags & RECORD_ENDED, "bytes in flight need an active block"
        return 0
    assert c.a.slot == c.slot, "the active block names its record"
    assert seq_le(c.a.wire_ack, r.rcv_nxt), "wire_ack =< RCV.NXT"
    assert seq_le(r.snd_una, c.a.resend_nxt), "SND.UNA =< resend_nxt"
    assert seq_le(c.a.resend_nxt, r.snd_nxt), "resend_nxt =< SND.NXT"
    assert (c.a.tx_head == NONE) == (c.a.tx_chunks == 0), "queued extents and their chunks"
    return 0


cdef int check_invariants(State state) except -1:
    cdef uint32_t slot, in_use = 0, promised = 0, active = 0, chunks = 0, held = 0, states = 0
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
        if c.a != NULL:
            active += 1
            chunks += c.a.rx_chunks
    for i in range(11):
        states += state.stack.state_counts[i]
    for i in range(state.stack.pool_count):
        held += state.stack.pools[i].chunks.used
    assert in_use == state.stack.records.used, f"records: {in_use} in use, {state.stack.records.used} counted"
    assert active == state.stack.actives.used, (
        f"active blocks: {active} leased, {state.stack.actives.used} counted"
    )
    assert chunks == held, f"receive chunks: {chunks} held, {held} counted"
    assert states == in_use - promised, f"states: {states} counted, {in_use} records, {promised} promised"
    return 0
