"""The connections of a group, found by walking the record table: for broadcasts and at the end."""

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
from xtcp_twisted.tcp.layout cimport record_at, record_t
from xtcp_twisted.tcp.halfopen cimport half_open_of, half_open_refuse

cdef enum:
    # A connection with any of these is not quiet, or is nobody's any more.
    BUSY = RECORD_DETACHED | RECORD_ENDED | RECORD_PROMISED | RECORD_UNANSWERED


cdef list group_members(const stack_t *s, uint32_t group_row):
    cdef uint32_t slot
    cdef const record_t *r
    cdef list found = []
    for slot in range(s.records.fresh):
        r = record_at(s, slot)
        if r.generation & 1 and r.group_row == group_row and not r.flags & RECORD_DETACHED:
            found.append(make_id(r.generation, slot))
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


cdef void group_sweep(stack_t *s, uint32_t group_row, uint32_t most) noexcept nogil:
    cdef group_row_t *g = &s.groups[group_row]
    cdef uint32_t end = s.records.fresh
    cdef record_t *r
    cdef conn_t c
    if end - g.sweep_at > most:
        end = g.sweep_at + most
    while g.sweep_at < end:
        r = record_at(s, g.sweep_at)
        if r.generation & 1 and r.group_row == group_row and not r.flags & RECORD_DETACHED:
            conn_load(&c, s, g.sweep_at)
            if not promise_refused(&c):
                if g.flags & GROUP_SWEEP_ABORT:
                    conn_abort(&c)
                else:
                    conn_finish(&c)
        g.sweep_at += 1
    if g.sweep_at >= s.records.fresh:
        g.flags &= ~<uint32_t>GROUP_SWEEP
        s.sweeping -= 1
