from libc.stdint cimport uint8_t, uint16_t, uint32_t

from xtcp_twisted.wire.segment cimport is_mapped, segment_t

cdef enum:
    PROTOCOL_ICMP = 1
    PROTOCOL_TCP = 6
    PROTOCOL_ICMP6 = 58


# Reads the IP header.  Fills the addresses of `out`, and points `payload` and `length` at what the header
# carries; where the sender may be told (PACKET_NOT_TCP, PACKET_ROUTE, PACKET_OPTION), at the whole packet.
# Returns PACKET_OK for TCP, PACKET_ICMP for ICMP, or why the packet is refused.
cdef int parse_ip(const uint8_t *data, uint32_t size, bint looped, segment_t *out) noexcept nogil


cdef inline int ip_header_length(const uint8_t *remote) noexcept nogil:
    """Header bytes for packets to this address."""
    return 20 if is_mapped(remote) else 40


# Writes the IP header for `payload` bytes of a protocol; returns its length.  Of `fields` it takes the
# addresses; `ttl` 0 is the usual one.
cdef int write_ip(
    uint8_t *data, const segment_t *fields, uint8_t protocol, uint32_t payload, uint8_t tos, uint8_t ttl
) noexcept nogil
