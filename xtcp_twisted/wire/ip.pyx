"""IPv4 (RFC 791, RFC 1122) and IPv6 (RFC 8200) headers.

Fragments are refused and never reassembled; a source route is refused (RFC
7126); other IPv4 options are skipped.  Of IPv6's extension headers the options
kinds are skipped, at most eight of them and 256 bytes (attacks: chains).
Addresses that no TCP peer can have are martians (RFC 9293 MUST-57, MUST-63).
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset

from xtcp_twisted.wire.bytes cimport get16, put16, put32
from xtcp_twisted.wire.checksum cimport checksum_add, checksum_fold
from xtcp_twisted.wire.segment cimport (
    PACKET_ADDRESS,
    PACKET_FRAGMENT,
    PACKET_IP_CHECKSUM,
    PACKET_IP_HEADER,
    PACKET_NOT_TCP,
    PACKET_OK,
    PACKET_TRUNCATED,
    PACKET_VERSION,
    is_mapped,
    segment_t,
)

cdef enum:
    PROTOCOL_TCP = 6
    HOP_BY_HOP = 0
    ROUTING = 43
    FRAGMENT = 44
    DESTINATION_OPTIONS = 60
    OPTION_LOOSE_ROUTE = 0x83
    OPTION_STRICT_ROUTE = 0x89
    TTL = 64
    DONT_FRAGMENT = 0x4000


cdef bint martian4(const uint8_t *a) noexcept nogil:
    """0/8, 127/8, 224/4 (multicast) and 240/4 with the broadcast address."""
    return a[0] == 0 or a[0] == 127 or a[0] >= 224


cdef bint martian6(const uint8_t *a) noexcept nogil:
    """Multicast, ::, ::1 and IPv4-mapped addresses."""
    cdef int i
    if a[0] == 0xFF or is_mapped(a):
        return True
    for i in range(15):
        if a[i]:
            return False
    return a[15] <= 1


cdef int _scan_options4(const uint8_t *option, int size) noexcept nogil:
    """Source routes and impossible lengths are refused, the rest is skipped (MUST-50)."""
    cdef int i = 0
    while i < size:
        if option[i] == 0:
            return PACKET_OK
        if option[i] == 1:
            i += 1
            continue
        if option[i] == OPTION_LOOSE_ROUTE or option[i] == OPTION_STRICT_ROUTE:
            return PACKET_IP_HEADER
        if i + 1 >= size or option[i + 1] < 2 or i + option[i + 1] > size:
            return PACKET_IP_HEADER
        i += option[i + 1]
    return PACKET_OK


cdef void _map4(uint8_t *out, const uint8_t *address) noexcept nogil:
    memset(out, 0, 10)
    out[10] = 0xFF
    out[11] = 0xFF
    memcpy(out + 12, address, 4)


cdef int _parse4(const uint8_t *data, uint32_t size, segment_t *out) noexcept nogil:
    cdef uint32_t header, total
    cdef int reason
    if size < 20:
        return PACKET_TRUNCATED
    header = (data[0] & 15) * 4
    total = get16(data + 2)
    if header < 20:
        return PACKET_IP_HEADER
    if total < header or total > size:
        return PACKET_TRUNCATED
    if checksum_fold(checksum_add(data, header, 0)):
        return PACKET_IP_CHECKSUM
    if get16(data + 6) & 0x3FFF:
        return PACKET_FRAGMENT
    if header > 20:
        reason = _scan_options4(data + 20, header - 20)
        if reason:
            return reason
    if martian4(data + 12) or martian4(data + 16):
        return PACKET_ADDRESS
    if data[9] != PROTOCOL_TCP:
        return PACKET_NOT_TCP
    _map4(out.remote, data + 12)
    _map4(out.local, data + 16)
    out.payload = data + header
    out.length = total - header
    return PACKET_OK


cdef int _parse6(const uint8_t *data, uint32_t size, segment_t *out) noexcept nogil:
    cdef uint32_t offset = 40, end, step
    cdef int following, count = 0
    if size < 40:
        return PACKET_TRUNCATED
    end = 40 + <uint32_t>get16(data + 4)
    if end > size:
        return PACKET_TRUNCATED
    if martian6(data + 8) or martian6(data + 24):
        return PACKET_ADDRESS
    following = data[6]
    while (
        following == HOP_BY_HOP
        or following == DESTINATION_OPTIONS
        or following == ROUTING
        or following == FRAGMENT
    ):
        count += 1
        if count > 8 or offset + 8 > end:
            return PACKET_IP_HEADER
        if following == FRAGMENT:
            # RFC 6946: an atomic fragment is a whole packet.
            if get16(data + offset + 2) & 0xFFF9:
                return PACKET_FRAGMENT
            step = 8
        else:
            step = (data[offset + 1] + 1) * 8
        # RFC 8200 section 4.4: with segments left, we are not the destination.
        if following == ROUTING and data[offset + 3]:
            return PACKET_IP_HEADER
        following = data[offset]
        offset += step
        if offset > end or offset > 40 + 256:
            return PACKET_IP_HEADER
    if following != PROTOCOL_TCP:
        return PACKET_NOT_TCP
    memcpy(out.remote, data + 8, 16)
    memcpy(out.local, data + 24, 16)
    out.payload = data + offset
    out.length = end - offset
    return PACKET_OK


cdef int parse_ip(const uint8_t *data, uint32_t size, segment_t *out) noexcept nogil:
    cdef int version
    if size < 1:
        return PACKET_TRUNCATED
    version = data[0] >> 4
    if version == 4:
        return _parse4(data, size, out)
    if version == 6:
        return _parse6(data, size, out)
    return PACKET_VERSION


cdef int ip_header_length(const uint8_t *remote) noexcept nogil:
    return 20 if is_mapped(remote) else 40


cdef int write_ip(uint8_t *data, const segment_t *fields, uint32_t payload) noexcept nogil:
    if is_mapped(fields.remote):
        data[0] = 0x45
        data[1] = 0
        put16(data + 2, <uint16_t>(20 + payload))
        # RFC 6864 section 4.1: the ID of an atomic datagram carries nothing.
        put16(data + 4, 0)
        put16(data + 6, DONT_FRAGMENT)
        data[8] = TTL
        data[9] = PROTOCOL_TCP
        put16(data + 10, 0)
        memcpy(data + 12, fields.local + 12, 4)
        memcpy(data + 16, fields.remote + 12, 4)
        put16(data + 10, checksum_fold(checksum_add(data, 20, 0)))
        return 20
    put32(data, 6U << 28)
    put16(data + 4, <uint16_t>payload)
    data[6] = PROTOCOL_TCP
    data[7] = TTL
    memcpy(data + 8, fields.local, 16)
    memcpy(data + 24, fields.remote, 16)
    return 40
