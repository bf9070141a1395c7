"""The chains of groups that listen on each port."""

from libc.stdint cimport uint16_t, uint32_t
from libc.string cimport memcmp

from xtcp_twisted.errors import AddressInUse
from xtcp_twisted.tcp.groups cimport (
    GROUP_ANY_ADDRESS,
    GROUP_LISTENING,
    GROUP_V4,
    GROUP_V6,
    MAX_GROUPS,
    group_row_t,
)
from xtcp_twisted.tcp.halfopen cimport half_open_refuse

cdef enum:
    # RFC 6335 section 6: the dynamic ports.
    FIRST_DYNAMIC = 49_152
    LAST_DYNAMIC = 65_535


cdef bint _collide(const group_row_t *a, const group_row_t *b) noexcept:
    """Whether two groups would take the same requests: same address, or one takes any."""
    if not a.flags & b.flags & (GROUP_V4 | GROUP_V6):
        return False
    if (a.flags | b.flags) & GROUP_ANY_ADDRESS:
        return True
    return memcmp(a.address, b.address, 16) == 0


cdef int listening_start(State state, uint32_t group_row) except -1:
    cdef group_row_t *g = &state.stack.groups[group_row]
    cdef uint32_t row = state.stack.listeners[g.port]
    if g.flags & GROUP_LISTENING:
        return 0
    while row != MAX_GROUPS:
        if _collide(g, &state.stack.groups[row]):
            other = state.group_objects[row]
            raise AddressInUse(
                f"port {g.port} is taken by group {other.name!r}; close that group,"
                " or give another port or address"
            )
        row = state.stack.groups[row].next_on_port
    g.next_on_port = state.stack.listeners[g.port]
    state.stack.listeners[g.port] = <uint16_t>group_row
    g.flags |= GROUP_LISTENING
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
    while g.pending.count:
        half_open_refuse(&state.stack, g.pending.head, False)
    return 0


cdef int free_port(State state) except -1:
    cdef int port
    for port in range(FIRST_DYNAMIC, LAST_DYNAMIC + 1):
        if state.stack.listeners[port] == MAX_GROUPS:
            return port
    raise AddressInUse("every dynamic port from 49152 to 65535 has a group; give a port")
