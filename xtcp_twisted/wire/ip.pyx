"""IPv4 (RFC 791, RFC 1122) and IPv6 (RFC 8200) headers.

Fragments are refused and never reassembled; a source route is refused (RFC
7126); other IPv4 options are skipped.  IPv6's extension headers are skipped, at
most eight of them and 256 bytes (attacks: chains); a routing header that is not
at its end, of type 0 like any other (RFC 5095), and an option that must be
understood are refused.  Addresses that no TCP peer can have are martians
(RFC 9293 MUST-57, MUST-63): broadcast and multicast end here, whatever they carry.
Those of loopback MUST NOT come from outside (RFC 1122 section 3.2.1.3, RFC 4291
section 2.5.3); `looped` packets have never left the engine.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy

from xtcp_twisted.wire.bytes cimport get16, put16, put32
from xtcp_twisted.wire.checksum cimport checksum_add, checksum_fold
from xtcp_twisted.wire.segment cimport (
    PACKET_ADDRESS,
    PACKET_FRAGMENT,
    PACKET_ICMP,
    PACKET_IP_CHECKSUM,
    PACKET_IP_HEADER,
    PACKET_NOT_TCP,
    PACKET_OK,
    PACKET_OPTION,
    PACKET_ROUTE,
    PACKET_TRUNCATED,
    PACKET_VERSION,
    is_mapped,
    map_address,
    segment_t,
)

cdef enum:
    PROTOCOL_AT_4 = 9          # offset of the field that names the protocol
    NEXT_HEADER_AT_6 = 6
    HOP_BY_HOP = 0
    ROUTING = 43
    FRAGMENT = 44
    NO_NEXT_HEADER = 59
    DESTINATION_OPTIONS = 60
    MOST_EXTENSIONS = 8
    MOST_EXTENSION_BYTES = 256
    PAD1 = 0                   # an option of one byte
    OPTION_LOOSE_ROUTE = 0x83
    OPTION_STRICT_ROUTE = 0x89
    USUAL_TTL = 64             # the default that IANA recommends (RFC 1700)
    DONT_FRAGMENT = 0x4000


cdef bint martian4(const uint8_t *a, bint looped) noexcept nogil:
    """0/8, 127/8, 224/4 (multicast) and 240/4 with the broadcast address."""
    return a[0] == 0 or a[0] == 127 and not looped or a[0] >= 224


cdef bint martian6(const uint8_t *a, bint looped) noexcept nogil:
    """Multicast, ::, ::1 and IPv4-mapped addresses."""
    cdef int i
    if a[0] == 0xFF or is_mapped(a):
        return True
    for i in range(15):
        if a[i]:
            return False
    return a[15] == 0 or a[15] == 1 and not looped


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


cdef int _parse4(const uint8_t *data, uint32_t size, bint looped, segment_t *out) noexcept nogil:
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
    if martian4(data + 12, looped) or martian4(data + 16, looped):
        return PACKET_ADDRESS
    map_address(out.remote, data + 12)
    map_address(out.local, data + 16)
    out.tos = data[1]
    if data[PROTOCOL_AT_4] != PROTOCOL_TCP and data[PROTOCOL_AT_4] != PROTOCOL_ICMP:
        out.problem = PROTOCOL_AT_4
        out.payload = data
        out.length = total
        return PACKET_NOT_TCP
    out.payload = data + header
    out.length = total - header
    return PACKET_OK if data[PROTOCOL_AT_4] == PROTOCOL_TCP else PACKET_ICMP


cdef int _scan_options6(const uint8_t *data, uint32_t at, uint32_t end, segment_t *out) noexcept nogil:
    """RFC 8200 section 4.2: the two highest bits of an option's type say what to do without knowing it."""
    while at < end:
        if data[at] == PAD1:
            at += 1
            continue
        if at + 2 > end or at + 2 + data[at + 1] > end or data[at] >> 6 == 1:
            return PACKET_IP_HEADER
        if data[at] >> 6 > 1:
            out.problem = <uint16_t>at
            return PACKET_OPTION
        at += 2 + data[at + 1]
    return PACKET_OK


cdef inline bint _extends(int kind) noexcept nogil:
    return kind == HOP_BY_HOP or kind == DESTINATION_OPTIONS or kind == ROUTING or kind == FRAGMENT


cdef int _skip_extension(
    const uint8_t *data, int kind, uint32_t *offset, uint32_t end, segment_t *out
) noexcept nogil:
    """One extension header; `offset` moves behind it."""
    cdef uint32_t at = offset[0], step
    cdef int reason = PACKET_OK
    if at + 8 > end:
        return PACKET_IP_HEADER
    step = 8 if kind == FRAGMENT else (data[at + 1] + 1) * 8
    if at + step > end or at + step > 40 + MOST_EXTENSION_BYTES:
        return PACKET_IP_HEADER
    if kind == FRAGMENT:
        # RFC 6946: an atomic fragment is a whole packet.
        if get16(data + at + 2) & 0xFFF9:
            return PACKET_FRAGMENT
    elif kind == ROUTING:
        # RFC 8200 section 4.4: with segments left, we are not the destination.
        if data[at + 3]:
            out.problem = <uint16_t>(at + 2)
            return PACKET_ROUTE
    else:
        reason = _scan_options6(data, at + 2, at + step, out)
    offset[0] = at + step
    return reason


cdef int _walk_extensions(
    const uint8_t *data, uint32_t *offset, uint32_t end, segment_t *out
) noexcept nogil:
    """From the fixed header to the protocol that the packet carries."""
    cdef uint32_t named_at = NEXT_HEADER_AT_6
    cdef int kind = data[named_at], count = 0, reason
    while _extends(kind):
        # RFC 8200 section 4.1: hop-by-hop options stand first or nowhere.
        if kind == HOP_BY_HOP and count:
            out.problem = <uint16_t>named_at
            return PACKET_NOT_TCP
        count += 1
        if count > MOST_EXTENSIONS:
            return PACKET_IP_HEADER
        named_at = offset[0]
        reason = _skip_extension(data, kind, offset, end, out)
        if reason:
            return reason
        kind = data[named_at]
    if kind == PROTOCOL_TCP:
        return PACKET_OK
    if kind == PROTOCOL_ICMP6:
        return PACKET_ICMP
    # RFC 8200 section 4.7: what says that nothing follows asks for nothing.
    out.problem = <uint16_t>(named_at if kind != NO_NEXT_HEADER else 0)
    return PACKET_NOT_TCP


cdef int _parse6(const uint8_t *data, uint32_t size, bint looped, segment_t *out) noexcept nogil:
    cdef uint32_t offset = 40, end
    cdef int reason
    if size < 40:
        return PACKET_TRUNCATED
    end = 40 + <uint32_t>get16(data + 4)
    if end > size:
        return PACKET_TRUNCATED
    if martian6(data + 8, looped) or martian6(data + 24, looped):
        return PACKET_ADDRESS
    memcpy(out.remote, data + 8, 16)
    memcpy(out.local, data + 24, 16)
    out.tos = <uint8_t>(get16(data) >> 4)
    reason = _walk_extensions(data, &offset, end, out)
    if reason != PACKET_OK and reason != PACKET_ICMP:
        offset = 0
    out.payload = data + offset
    out.length = end - offset
    return reason


cdef int parse_ip(const uint8_t *data, uint32_t size, bint looped, segment_t *out) noexcept nogil:
    cdef int version
    out.problem = 0
    if size < 1:
        return PACKET_TRUNCATED
    version = data[0] >> 4
    if version == 4:
        return _parse4(data, size, looped, out)
    if version == 6:
        return _parse6(data, size, looped, out)
    return PACKET_VERSION


cdef int write_ip(
    uint8_t *data, const segment_t *fields, uint8_t protocol, uint32_t payload, uint8_t tos, uint8_t ttl
) noexcept nogil:
    if ttl == 0:
        ttl = USUAL_TTL
    if is_mapped(fields.remote):
        data[0] = 0x45
        data[1] = tos
        put16(data + 2, <uint16_t>(20 + payload))
        # RFC 6864 section 4.1: the ID of an atomic datagram carries nothing.
        put16(data + 4, 0)
        put16(data + 6, DONT_FRAGMENT)
        data[8] = ttl
        data[9] = protocol
        put16(data + 10, 0)
        memcpy(data + 12, fields.local + 12, 4)
        memcpy(data + 16, fields.remote + 12, 4)
        put16(data + 10, checksum_fold(checksum_add(data, 20, 0)))
        return 20
    put32(data, 6U << 28 | <uint32_t>tos << 20)
    put16(data + 4, <uint16_t>payload)
    data[6] = protocol
    data[7] = ttl
    memcpy(data + 8, fields.local, 16)
    memcpy(data + 24, fields.remote, 16)
    return 40
