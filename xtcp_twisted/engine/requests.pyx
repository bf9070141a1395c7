"""Connection requests that wait for the application; see requests.pxd."""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from xtcp_twisted.config import UNLIMITED
from xtcp_twisted.engine.ids cimport make_id
from xtcp_twisted.engine.report cimport host_and_port
from xtcp_twisted.errors import LocalError, NothingPending, PoolExhausted, StalePending
from xtcp_twisted.memory.links cimport END
from xtcp_twisted.memory.slab cimport NONE
from xtcp_twisted.tcp.groups cimport MAX_GROUPS, group_row_t, requests_seen
from xtcp_twisted.tcp.halfopen cimport (
    credits_forget,
    credits_spend,
    half_open_accept,
    half_open_promise,
)
from xtcp_twisted.tcp.layout cimport half_open_at, half_open_t, record_at
from xtcp_twisted.tcp.sharing cimport request_oldest, request_seen, sharer_first, sharer_next

cdef uint32_t WITHOUT_END = UNLIMITED


cdef list requests_of(State state, uint32_t group_row, uint32_t limit):
    cdef uint32_t holder = sharer_first(&state.stack, group_row)
    cdef list found = []
    while holder != MAX_GROUPS:
        _collect(state, group_row, holder, limit, found)
        holder = sharer_next(&state.stack, group_row, holder)
    if state.stack.groups[group_row].offered:
        found = sorted(found, key=_by_age)[:limit]
    return [request for _, request in found]


def _by_age(entry):
    return entry[0]


cdef int _collect(State state, uint32_t group_row, uint32_t holder, uint32_t limit, list found) except -1:
    """Appends (time left, request) for what a group sees of the pending list of `holder`."""
    cdef uint32_t row = state.stack.groups[holder].pending.head
    cdef half_open_t *h
    while row != END and limit:
        h = half_open_at(&state.stack, row)
        if holder == group_row or request_seen(&state.stack, group_row, h):
            request = (make_id(h.generation, row), host_and_port(h.remote, h.remote_port))
            limit -= 1
            found.append((<int32_t>(h.due - state.stack.now_ms), request))
        row = h.link.next
    return 0


cdef int64_t request_row(State state, uint32_t group_row, object group_name, object pending_id) except -1:
    cdef group_row_t *g = &state.stack.groups[group_row]
    cdef uint64_t value
    cdef uint32_t row
    cdef half_open_t *h
    if pending_id is None:
        if requests_seen(g) == 0:
            raise NothingPending(f"no connection request is pending for group {group_name!r}")
        return request_oldest(&state.stack, group_row)
    if isinstance(pending_id, int) and 0 <= pending_id < 1 << 63:
        value = pending_id
        row = <uint32_t>value
        if row < state.stack.half_opens.fresh:
            h = half_open_at(&state.stack, row)
            if h.generation == value >> 32 and h.generation & 1:
                if request_seen(&state.stack, group_row, h):
                    return row
    raise StalePending(f"{pending_id!r} is no request that waits for group {group_name!r}")


cdef object request_from(State state, uint32_t row):
    cdef half_open_t *h = half_open_at(&state.stack, row)
    return host_and_port(h.remote, h.remote_port)


cdef object request_accept(State state, uint32_t row, uint32_t group_row):
    cdef uint32_t slot = half_open_promise(&state.stack, row, group_row)
    if slot == NONE:
        raise PoolExhausted("the record table is full; raise max_connections")
    half_open_accept(&state.stack, row, group_row, slot)
    return make_id(record_at(&state.stack, slot).generation, slot)


cdef int request_credit(State state, uint32_t group_row, object n) except -1:
    cdef group_row_t *g = &state.stack.groups[group_row]
    if not isinstance(n, int) or not 0 <= n <= UNLIMITED:
        raise LocalError(f"n: {n!r} is not allowed; give an integer from 0 to {UNLIMITED}")
    if n == 0 or n == UNLIMITED or g.credits == WITHOUT_END:
        credits_forget(&state.stack, group_row)
        g.credits = n
    else:
        g.credits = min(g.credits + n, UNLIMITED - 1)
    credits_spend(&state.stack, group_row)
    return 0
