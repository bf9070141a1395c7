"""The connections of a group, found by walking the record table: for broadcasts and at the end.

All groups that are closing share one walk, so that a thousand of them cost no more than one.
It goes round and round, a slice at a time; each group is through when it has gone round once.
"""

from libc.stdint cimport uint32_t

from xtcp_twisted.engine.ids cimport make_id
from xtcp_twisted.memory.slab cimport NONE
from xtcp_twisted.tcp.close cimport conn_abort, conn_finish
from xtcp_twisted.tcp.connection cimport conn_load
from xtcp_twisted.tcp.groups cimport GROUP_SWEEP, GROUP_SWEEP_ABORT, group_row_t
from xtcp_twisted.tcp.flags cimport (
    RECORD_DETACHED,
    RECORD_ENDED,
    RECORD_PROMISED,
    RECORD_UNANSWERED,
)
from xtcp_twisted.tcp.halfopen cimport half_open_of, half_open_refuse
from xtcp_twisted.tcp.layout cimport REPLIES, record_at, record_t
from xtcp_twisted.tcp.readiness cimport group_release

cdef enum:
    # A connection with any of these is not quiet, or is nobody's any more.
    BUSY = RECORD_DETACHED | RECORD_ENDED | RECORD_PROMISED | RECORD_UNANSWERED
    ENDED_AT_ONCE = 2_048      # connections that one slice of the walk ends


cdef bint group_has(const stack_t *s, uint32_t group_row, uint32_t slot) noexcept nogil:
    cdef const record_t *r = record_at(s, slot)
    return r.generation & 1 and r.group_row == group_row and not r.flags & RECORD_DETACHED


cdef list group_members(const stack_t *s, uint32_t group_row):
    cdef uint32_t slot
    cdef list found = []
    for slot in range(s.records.fresh):
        if group_has(s, group_row, slot):
            found.append(make_id(record_at(s, slot).generation, slot))
    return found


cdef object quiet_members(const stack_t *s, uint32_t group_row, uint32_t first, uint32_t most):
    cdef uint32_t slot, end = s.records.fresh
    cdef const record_t *r
    cdef list found = []
    if first < end and end - first > most:
        end = first + most
    for slot in range(first, end):
        r = record_at(s, slot)
        if r.generation & 1 and r.group_row == group_row and r.active == NONE and not r.flags & BUSY:
            found.append(make_id(r.generation, slot))
    return found, end if end < s.records.fresh else 0


cdef bint promise_refused(conn_t *c) noexcept nogil:
    if not c.r.flags & RECORD_PROMISED:
        return False
    half_open_refuse(c.s, half_open_of(c.s, c.slot), False)
    return True


cdef void _end(stack_t *s, uint32_t slot) noexcept nogil:
    cdef conn_t c
    conn_load(&c, s, slot)
    if promise_refused(&c):
        return
    if c.g.flags & GROUP_SWEEP_ABORT:
        conn_abort(&c)
    else:
        conn_finish(&c)


cdef bint _swept(const stack_t *s, uint32_t slot) noexcept nogil:
    cdef const record_t *r = record_at(s, slot)
    return r.generation & 1 and s.groups[r.group_row].flags & GROUP_SWEEP and not r.flags & RECORD_DETACHED


cdef void members_sweep(stack_t *s, uint32_t rows) noexcept nogil:
    # Each end may be a reset, for which there has to be room.
    cdef uint32_t ends = min(<uint32_t>ENDED_AT_ONCE, REPLIES - s.reply_count)
    if rows > s.records.fresh:
        rows = s.records.fresh
    if rows > s.records.fresh:
        rows = s.records.fresh
    while rows and ends:
        if s.sweep_hand >= s.records.fresh:
            s.sweep_hand = 0
        if _swept(s, s.sweep_hand):
            _end(s, s.sweep_hand)
            ends -= 1
        s.sweep_hand += 1
        s.swept += 1
        rows -= 1


cdef void group_sweep(stack_t *s, uint32_t group_row, bint abort) noexcept nogil:
    cdef group_row_t *g = &s.groups[group_row]
    g.flags |= GROUP_SWEEP | (GROUP_SWEEP_ABORT if abort else 0)
    g.sweep_until = s.swept + s.records.fresh
    s.pools[g.pool_row].sweeping += 1
    s.sweeping += 1


cdef bint group_swept(stack_t *s, uint32_t group_row) noexcept nogil:
    cdef group_row_t *g = &s.groups[group_row]
    if s.swept < g.sweep_until:
        return False
    g.flags &= ~<uint32_t>GROUP_SWEEP
    s.pools[g.pool_row].sweeping -= 1
    s.sweeping -= 1
    group_release(s, group_row)
    return True
