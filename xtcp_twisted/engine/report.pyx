"""Snapshots: copies of engine state as frozen Python objects (see snapshot.py)."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from dataclasses import fields

from xtcp_twisted.engine.ids cimport make_id
from xtcp_twisted.engine.snapshot import (
    BufferSnapshot,
    ConnectionInfo,
    EngineSnapshot,
    GroupSnapshot,
    PoolSnapshot,
    PressureSnapshot,
)
from xtcp_twisted.engine.unix_group import UnixGroup
from xtcp_twisted.memory.index cimport slot_t
from xtcp_twisted.memory.slab cimport slab_t
from xtcp_twisted.tcp.congestion cimport retransmission_timeout
from xtcp_twisted.tcp.groups cimport GROUP_COUNTERS, THROTTLE_COUNTERS, group_row_t, pool_row_t
from xtcp_twisted.tcp.flags cimport (
    RECORD_ECN,
    RECORD_ENDED,
    RECORD_FIN_RECEIVED,
    RECORD_KEEPALIVE,
    RECORD_NAGLE,
    RECORD_SCALING,
    RECORD_TIMESTAMPS,
)
from xtcp_twisted.tcp.layout cimport active_t, local_at, record_t, stack_t, time_wait_t
from xtcp_twisted.tcp.pressure cimport pressure_seen, pressure_t
from xtcp_twisted.tcp.receive cimport receive_out_of_order
from xtcp_twisted.tcp.states cimport STATES
from xtcp_twisted.tcp.urgent cimport urgent_left
from xtcp_twisted.tcp.counters import GROUP_NAMES, NAMES as COUNTER_NAMES, THROTTLE_NAMES
from xtcp_twisted.tcp.pressure import NAMES as PRESSURE_NAMES
from xtcp_twisted.tcp.states import NAMES as STATE_NAMES
from xtcp_twisted.wire.codec cimport host


cdef extern from "Python.h":
    # As object.__setattr__: the class is frozen.
    int PyObject_GenericSetAttr(object owner, object name, object value) except -1

cdef tuple _FIELDS = tuple([field.name for field in fields(GroupSnapshot)])


cdef tuple host_and_port(const uint8_t *address, int port):
    return (host(address), port)


cdef object connection_info(const conn_t *c):
    cdef const record_t *r = c.r
    cdef const active_t *a = c.a
    cdef bint scaling = r.flags & RECORD_SCALING
    cdef tuple local = ("", r.local_port)
    if not r.flags & RECORD_ENDED:
        local = host_and_port(local_at(c.s, r.local_row).address, r.local_port)
    return ConnectionInfo(
        cd=make_id(r.generation, c.slot),
        state=STATE_NAMES[r.state],
        local=local,
        peer=host_and_port(r.remote, r.remote_port),
        snd_una=r.snd_una,
        snd_nxt=r.snd_nxt,
        snd_lbb=r.snd_lbb,
        snd_wnd=r.snd_wnd,
        rcv_nxt=r.rcv_nxt,
        rcv_wnd=<uint32_t>(r.rcv_adv - r.rcv_nxt),
        rcv_ackd=r.rcv_ackd,
        wire_ack=a.wire_ack if a != NULL else r.rcv_nxt,
        delivered=<uint32_t>(a.delivered - r.rcv_ackd) if a != NULL else 0,
        held=<uint32_t>(r.rcv_nxt - r.rcv_ackd - (r.flags & RECORD_FIN_RECEIVED != 0)),
        out_of_order=receive_out_of_order(c),
        urgent=urgent_left(c),
        mss=r.mss,
        snd_scale=r.scales & 15 if scaling else 0,
        rcv_scale=r.scales >> 4 if scaling else 0,
        timestamps=bool(r.flags & RECORD_TIMESTAMPS),
        ecn=bool(r.flags & RECORD_ECN),
        srtt_us=r.srtt,
        rttvar_us=r.rttvar,
        rto_ms=retransmission_timeout(r),
        cwnd=r.cwnd,
        ssthresh=r.ssthresh,
        nagle=bool(r.flags & RECORD_NAGLE),
        keepalive=bool(r.flags & RECORD_KEEPALIVE),
        retransmits=r.resends,
        idle_ms=<uint32_t>(c.s.now_ms - r.last_heard),
        age_s=<uint32_t>(c.s.now_us // 1_000_000) - r.created,
        user=r.user,
        active=a != NULL,
    )


cdef uint64_t _slab_bytes(const slab_t *slab) noexcept:
    return <uint64_t>slab.used * slab.stride


cdef object _pressure(State state, const pressure_t *p, thresholds):
    cdef int i
    entries, durations = {}, {}
    for i, name in enumerate(PRESSURE_NAMES):
        entries[name] = p.entries[i]
        durations[name] = (p.durations_us[i] + (state.stack.now_us - p.since_us if i == p.state else 0)) / 1e6
    return PressureSnapshot(
        state=PRESSURE_NAMES[p.state],
        since=p.since_us / 1e6,
        entries=entries,
        durations=durations,
        thresholds=thresholds,
    )


cdef object _buffer(State state, const slab_t *slab, const pressure_t *pressure, thresholds):
    return BufferSnapshot(
        size=<uint64_t>slab.capacity * slab.stride,
        used=_slab_bytes(slab),
        peak=<uint64_t>slab.peak * slab.stride,
        pressure=_pressure(state, pressure, thresholds),
    )


cdef object _group_snapshot(State state, group):
    """The one of the last time, if nothing of the group has changed: most groups do nothing in a second."""
    cdef group_row_t *g = &state.stack.groups[<uint32_t>group.row]
    cdef bytes row = PyBytes_FromStringAndSize(<char *>g, sizeof(group_row_t))
    pressure = PRESSURE_NAMES[pressure_seen(&state.stack.pools[g.pool_row].pressure, g.priority)]
    shown = state.shown.get(group.serial)
    if shown is not None and shown[0] == row and shown[1] is pressure:
        return shown[2]
    snapshot = _new_group_snapshot(g, group, pressure)
    state.shown[group.serial] = (row, pressure, snapshot)
    return snapshot


cdef object _new_group_snapshot(const group_row_t *g, group, pressure):
    """What its class makes of these by name, without the calls of Python that take most of the time."""
    cdef object snapshot = GroupSnapshot.__new__(GroupSnapshot)
    cdef dict counters = {}
    cdef tuple values
    cdef int i
    for i in range(GROUP_COUNTERS):
        counters[GROUP_NAMES[i]] = g.counters[i]
    values = (
        group.name,
        g.eventfd if g.eventfd >= 0 else None,
        group.row,
        group.serial,
        group.domain,
        group.address,
        g.port,
        g.connections,
        g.pending.count,
        g.ready.count,
        g.held,
        group.options.priority,
        group.options.ack_policy,
        pressure,
        counters,
    )
    for i in range(<int>len(_FIELDS)):
        PyObject_GenericSetAttr(snapshot, _FIELDS[i], values[i])
    return snapshot


cdef object _any_group(State state, const pool_row_t *p, group):
    if isinstance(group, UnixGroup):
        return group.snapshot(PRESSURE_NAMES[pressure_seen(&p.pressure, group.priority)])
    return _group_snapshot(state, group)


cdef object _pool_snapshot(State state, pool):
    cdef const pool_row_t *p = &state.stack.pools[<uint32_t>pool.row]
    cdef int i
    return PoolSnapshot(
        name=pool.name,
        row=pool.row,
        serial=pool.serial,
        receive_buffer=_buffer(state, &p.chunks, &p.pressure, pool.thresholds),
        throttling=pool.throttling,
        groups=tuple(_any_group(state, p, group) for group in pool.groups()),
        counters={THROTTLE_NAMES[i]: p.counters[i] for i in range(THROTTLE_COUNTERS)},
    )


cdef dict all_counters(State state):
    cdef int i
    return {name: state.stack.counters[i] for i, name in enumerate(COUNTER_NAMES)}


cdef dict all_transitions(State state):
    cdef int i, j
    return {
        (STATE_NAMES[i], STATE_NAMES[j]): state.stack.transitions[i * STATES + j]
        for i in range(STATES)
        for j in range(STATES)
        if state.stack.transitions[i * STATES + j]
    }


cdef uint64_t _connection_bytes(const stack_t *s) noexcept:
    cdef uint64_t total = (<uint64_t>s.index.used + s.local_index.used) * sizeof(slot_t)
    cdef uint32_t i
    total += _slab_bytes(&s.records) + _slab_bytes(&s.actives) + _slab_bytes(&s.half_opens)
    total += _slab_bytes(&s.recoveries) + _slab_bytes(&s.fast_opens.texts)
    total += s.time_wait_count * sizeof(time_wait_t)
    total += _slab_bytes(&s.locals) + _slab_bytes(&s.extents) + _slab_bytes(&s.payloads)
    for i in range(s.pool_count):
        total += _slab_bytes(&s.pools[i].chunks)
    return total


cdef object engine_snapshot(State state, object engine, uint32_t unix_connections):
    cdef int i
    states = {}
    for i, name in enumerate(STATE_NAMES):
        states[name] = state.stack.state_counts[i]
    return EngineSnapshot(
        time=state.stack.now_us / 1e6,
        connections=sum(states.values()),
        half_open=state.stack.half_opens.used,
        time_wait=state.stack.time_wait_live,
        active=state.stack.actives.used,
        max_connections=engine.config.max_connections,
        states=states,
        arena_bytes=state.stack.arena.used - state.stack.arena.returned,
        connection_bytes=_connection_bytes(&state.stack),
        transmit_buffer=_buffer(state, &state.stack.payloads, &state.stack.pressure, engine.thresholds),
        unacked_bytes=state.stack.unacked_bytes,
        queued_bytes=state.stack.queued_bytes,
        sending=state.stack.sending,
        pools=tuple(_pool_snapshot(state, pool) for pool in engine.pools()),
        counters=all_counters(state),
        unix_connections=unix_connections,
    )
