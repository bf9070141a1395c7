"""The source port of an active open: RFC 6056 section 3.3.4, double-hash port selection.

A keyed hash of the two addresses and the remote port says where the search in
the range begins, so that nobody outside can tell one destination's ports from
another's.  A second one chooses the counter that each choice moves on, so that
the ports of one destination follow each other and are used again as late as
possible, while those of another tell nothing about how many there were.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from xtcp_twisted.memory.index cimport VACANT
from xtcp_twisted.memory.siphash cimport siphash_2_4
from xtcp_twisted.tcp.groups cimport MAX_GROUPS
from xtcp_twisted.tcp.layout cimport PORT_COUNTERS
from xtcp_twisted.tcp.tuples cimport tuple_find, tuple_tag

cdef enum:
    DESTINATION_BYTES = 34


cdef uint16_t port_choose(stack_t *s, segment_t *tuple_) noexcept nogil:
    cdef uint8_t destination[DESTINATION_BYTES]
    cdef uint32_t size = s.limits.last_port - s.limits.first_port + 1, offset, _
    cdef uint64_t hashed
    cdef uint32_t *counter
    memcpy(destination, tuple_.local, 16)
    memcpy(destination + 16, tuple_.remote, 16)
    memcpy(destination + 32, &tuple_.remote_port, 2)
    hashed = siphash_2_4(s.keys.ports, destination, DESTINATION_BYTES)
    # F() and G() of the RFC are the two halves of one keyed hash.
    offset = <uint32_t>hashed
    counter = &s.port_counters[(hashed >> 32) % PORT_COUNTERS]
    for _ in range(size):
        tuple_.local_port = <uint16_t>(s.limits.first_port + (offset + counter[0]) % size)
        counter[0] += 1
        if tuple_.local_port == tuple_.remote_port and memcmp(tuple_.local, tuple_.remote, 16) == 0:
            # It would be connected with itself.
            continue
        if s.listeners[tuple_.local_port] == MAX_GROUPS:
            if tuple_find(s, tuple_, tuple_tag(s, tuple_)) == VACANT:
                return tuple_.local_port
    return 0
