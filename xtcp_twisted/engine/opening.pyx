"""Active open: what the application names is checked, a source is chosen, a record is made (P09)."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset

import ipaddress

from xtcp_twisted.engine.demux cimport is_own
from xtcp_twisted.errors import (
    AddressInUse,
    AddressNotAvailable,
    LocalError,
    PoolExhausted,
    PortsExhausted,
)
from xtcp_twisted.memory.index cimport VACANT
from xtcp_twisted.memory.slab cimport NONE
from xtcp_twisted.tcp.connect cimport connect_open
from xtcp_twisted.tcp.groups cimport GROUP_V4, GROUP_V6
from xtcp_twisted.tcp.ports cimport port_choose
from xtcp_twisted.tcp.tuples cimport tuple_find, tuple_tag
from xtcp_twisted.wire.codec cimport pack_address
from xtcp_twisted.wire.segment cimport is_mapped, segment_t

cdef enum:
    LONGEST_S = 1_000_000


cdef tuple _place(str name, object place, int least):
    """(host, port) of an argument; the host may be missing where the port may."""
    try:
        host, port = place
    except (TypeError, ValueError):
        raise LocalError(f"{name}: {place!r} is not allowed; give (host, port)") from None
    if isinstance(port, bool) or not isinstance(port, int) or not least <= port <= 65_535:
        raise LocalError(f"{name}: port {port!r} is not allowed; give an integer from {least} to 65535")
    return host, port


cdef bytes _packed(str name, object host):
    try:
        return pack_address(host)
    except (TypeError, ValueError):
        raise LocalError(f"{name}: {host!r} is no IP address; names are not looked up here") from None


cdef bint _is_host(bytes packed) except -1:
    """Whether a TCP peer can have the address: RFC 9293 MUST-46 and MUST-57."""
    address = ipaddress.ip_address(packed)
    if address.ipv4_mapped is not None:
        # 0/8, multicast, 240/4 with the broadcast address: as packets from there are refused.
        return packed[12] != 0 and packed[12] < 224
    return not (address.is_multicast or address.is_unspecified)


cdef bint _is_loopback(bytes packed) except -1:
    address = ipaddress.ip_address(packed)
    return (address.ipv4_mapped or address).is_loopback


cdef int _check_remote(State state, uint32_t group_row, object host, bytes packed) except -1:
    cdef const uint8_t *address = packed
    cdef int family = GROUP_V4 if is_mapped(address) else GROUP_V6
    if not _is_host(packed):
        raise LocalError(f"remote: {host} is not the address of one host")
    if not state.stack.groups[group_row].flags & family:
        raise LocalError(f"remote: {host} is not of the group's domain")
    return 0


cdef list _sources(State state, object remote_host, bytes remote, object local_host):
    """The addresses that may be the connection's own, the preferred one first."""
    cdef bint v4 = is_mapped(<const uint8_t *>remote)
    cdef list found
    if local_host:
        found = [_packed("local", local_host)]
        if not is_own(&state.own, <const uint8_t *>(<bytes>found[0])):
            raise AddressNotAvailable(
                f"local: {local_host} is not one of this engine's; they are set in EngineConfig.addresses"
            )
    elif _is_loopback(remote):
        found = [_packed("local", "127.0.0.1" if v4 else "::1")]
    else:
        found = list(state.sources)
    if not is_own(&state.own, <const uint8_t *>remote):
        # RFC 1122 section 3.2.1.3: such an address must not appear outside a host.
        found = [packed for packed in found if not _is_loopback(packed)]
    found = [packed for packed in found if is_mapped(<const uint8_t *>(<bytes>packed)) == v4]
    if not found:
        raise AddressNotAvailable(
            f"local: {local_host or 'the engine'} has no {'IPv4' if v4 else 'IPv6'} address to reach"
            f" {remote_host} from"
        )
    return found


cdef bint _take_tuple(State state, segment_t *tuple_, bytes source, int port) except -1:
    """Completes the 4-tuple by a source; False: with this address there is none that is free."""
    memcpy(tuple_.local, <const uint8_t *>source, 16)
    if port == 0:
        return port_choose(&state.stack, tuple_) != 0
    tuple_.local_port = <uint16_t>port
    return tuple_find(&state.stack, tuple_, tuple_tag(&state.stack, tuple_)) == VACANT


cdef uint32_t _timeout_ms(State state, uint32_t group_row, object timeout_s) except? 0:
    if timeout_s is None:
        return state.stack.groups[group_row].connect_timeout_ms
    if not isinstance(timeout_s, (int, float)) or not 0.001 <= timeout_s <= LONGEST_S:
        raise LocalError(f"timeout_s: {timeout_s!r} is not allowed; give seconds from 0.001 to {LONGEST_S:,}")
    return <uint32_t>(timeout_s * 1000)


cdef int64_t connection_open(
    State state, uint32_t group_row, object address, object remote, object local, object timeout_s
) except -1:
    cdef segment_t tuple_
    cdef uint32_t slot, timeout_ms = _timeout_ms(state, group_row, timeout_s)
    remote_host, remote_port = _place("remote", remote, 1)
    local_host, local_port = _place("local", local, 0) if local is not None else (None, 0)
    packed = _packed("remote", remote_host)
    _check_remote(state, group_row, remote_host, packed)
    memset(&tuple_, 0, sizeof(tuple_))
    memcpy(tuple_.remote, <const uint8_t *>(<bytes>packed), 16)
    tuple_.remote_port = <uint16_t>remote_port
    for source in _sources(state, remote_host, packed, local_host or address):
        if _take_tuple(state, &tuple_, source, local_port):
            break
    else:
        if local_port:
            raise AddressInUse(
                f"local: port {local_port} has a connection with {remote_host} port {remote_port} already,"
                " or had one a moment ago (TIME-WAIT); give another port, or 0 for a free one"
            )
        raise PortsExhausted(
            f"no port from {state.stack.limits.first_port} to {state.stack.limits.last_port} is free for"
            f" {remote_host} port {remote_port}; widen ephemeral_ports, or give the engine more addresses"
        )
    if is_own(&state.own, tuple_.remote):
        state.connect_self()
    slot = connect_open(&state.stack, group_row, &tuple_, timeout_ms)
    if slot == NONE:
        raise PoolExhausted("the record table, or that of local addresses, is full; raise max_connections")
    return slot
