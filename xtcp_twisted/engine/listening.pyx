"""The chains of groups that listen on each port."""

from libc.stdint cimport uint16_t, uint32_t
from libc.string cimport memcmp

from xtcp_twisted.errors import AddressInUse
from xtcp_twisted.engine.ids cimport make_id
from xtcp_twisted.memory.links cimport END
from xtcp_twisted.tcp.flags cimport HALF_REPORTED
from xtcp_twisted.tcp.groups cimport (
    GROUP_ANY_ADDRESS,
    GROUP_LISTENING,
    GROUP_SHARE,
    GROUP_V4,
    GROUP_V6,
    MAX_GROUPS,
    group_row_t,
)
from xtcp_twisted.tcp.halfopen cimport half_open_hand_over
from xtcp_twisted.tcp.layout cimport half_open_at, half_open_t
from xtcp_twisted.tcp.precedence cimport precedence_listens
from xtcp_twisted.tcp.sharing cimport request_count, request_seen, sharer_first, sharer_next

cdef enum:
    # RFC 6335 section 6: the dynamic ports.
    FIRST_DYNAMIC = 49_152
    LAST_DYNAMIC = 65_535


cdef bint _collide(const group_row_t *a, const group_row_t *b) noexcept:
    """Whether two groups that do not share would take the same requests: same address, or one takes any."""
    if not a.flags & b.flags & (GROUP_V4 | GROUP_V6) or a.flags & b.flags & GROUP_SHARE:
        return False
    if (a.flags | b.flags) & GROUP_ANY_ADDRESS:
        return True
    return memcmp(a.address, b.address, 16) == 0


cdef int listening_start(State state, uint32_t group_row) except -1:
    cdef group_row_t *g = &state.stack.groups[group_row]
    cdef uint16_t *place = &state.stack.listeners[g.port]
    if g.flags & GROUP_LISTENING:
        return 0
    while place[0] != MAX_GROUPS:
        if _collide(g, &state.stack.groups[place[0]]):
            other = state.group_objects[place[0]]
            raise AddressInUse(
                f"port {g.port} is taken by group {other.name!r}; close that group,"
                " give another port or address, or share=True to both"
            )
        place = &state.stack.groups[place[0]].next_on_port
    place[0] = <uint16_t>group_row
    g.next_on_port = MAX_GROUPS
    g.flags |= GROUP_LISTENING
    precedence_listens(&state.stack, g, 1)
    request_count(&state.stack, group_row)
    if g.offered:
        _offer(state, group_row)
    return 0


cdef int _offer(State state, uint32_t group_row) except -1:
    """Requests that its neighbours have been told of are news to a group that has just joined them."""
    cdef uint32_t holder = sharer_first(&state.stack, group_row), row
    cdef const half_open_t *h
    while holder != MAX_GROUPS:
        row = state.stack.groups[holder].pending.head
        while row != END:
            h = half_open_at(&state.stack, row)
            if h.flags & HALF_REPORTED and request_seen(&state.stack, group_row, h):
                state.offers.append((group_row, make_id(h.generation, row)))
            row = h.link.next
        holder = sharer_next(&state.stack, group_row, holder)
    state.note_work()
    return 0


cdef int listening_stop(State state, uint32_t group_row) except -1:
    cdef group_row_t *g = &state.stack.groups[group_row]
    cdef uint16_t *place = &state.stack.listeners[g.port]
    if not g.flags & GROUP_LISTENING:
        return 0
    while place[0] != group_row:
        place = &state.stack.groups[place[0]].next_on_port
    place[0] = g.next_on_port
    g.flags &= ~<uint32_t>GROUP_LISTENING
    precedence_listens(&state.stack, g, -1)
    half_open_hand_over(&state.stack, group_row)
    request_count(&state.stack, group_row)
    return 0


cdef int free_port(State state) except -1:
    cdef int port
    for port in range(FIRST_DYNAMIC, LAST_DYNAMIC + 1):
        if state.stack.listeners[port] == MAX_GROUPS:
            return port
    raise AddressInUse("every dynamic port from 49152 to 65535 has a group; give a port")
