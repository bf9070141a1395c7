"""ICMPv4 (RFC 792) and ICMPv6 (RFC 4443): messages, and the TCP segment that an error quotes.

Knows bytes only.  What an error means to a connection, and whether it may be
believed, is the business of tcp/icmp.pyx.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from xtcp_twisted.wire.bytes cimport get16, get32, put16, put32
from xtcp_twisted.wire.checksum cimport checksum_add, checksum_fold
from xtcp_twisted.wire.ip cimport PROTOCOL_ICMP, PROTOCOL_ICMP6, PROTOCOL_TCP, write_ip
from xtcp_twisted.wire.segment cimport is_mapped, map_address

cdef enum:
    QUOTED_PORTS_AND_SEQ = 8   # RFC 792: at least so many bytes behind the IP header are quoted


cdef uint64_t _pseudo_sum(const segment_t *ip, uint32_t length) noexcept nogil:
    """RFC 4443 section 2.3; ICMPv4 has no pseudo header."""
    cdef uint64_t total = PROTOCOL_ICMP6 + length
    if is_mapped(ip.remote):
        return 0
    total = checksum_add(ip.remote, 16, total)
    return checksum_add(ip.local, 16, total)


cdef int parse_icmp(const segment_t *ip, icmp_t *out) noexcept nogil:
    if ip.length < ICMP_HEADER:
        return ICMP_TRUNCATED
    if checksum_fold(checksum_add(ip.payload, ip.length, _pseudo_sum(ip, ip.length))):
        return ICMP_CHECKSUM
    out.type = ip.payload[0]
    out.code = ip.payload[1]
    out.rest = get32(ip.payload + 4)
    out.data = ip.payload + ICMP_HEADER
    out.length = ip.length - ICMP_HEADER
    return ICMP_OK


cdef int _quoted_header(const icmp_t *message, bint v6, segment_t *out) noexcept nogil:
    """Length of the quoted IP header, with the addresses turned round; 0: not what we send."""
    cdef const uint8_t *quoted = message.data
    cdef uint32_t header
    if v6:
        if message.length < 40 or quoted[0] >> 4 != 6 or quoted[6] != PROTOCOL_TCP:
            return 0
        memcpy(out.local, quoted + 8, 16)
        memcpy(out.remote, quoted + 24, 16)
        out.length = 40 + <uint32_t>get16(quoted + 4)
        return 40
    if message.length < 20 or quoted[0] >> 4 != 4 or quoted[9] != PROTOCOL_TCP:
        return 0
    header = (quoted[0] & 15) * 4
    if header < 20 or get16(quoted + 6) & 0x3FFF:
        return 0
    map_address(out.local, quoted + 12)
    map_address(out.remote, quoted + 16)
    out.length = get16(quoted + 2)
    return header


cdef int parse_quote(const icmp_t *message, bint v6, segment_t *out) noexcept nogil:
    cdef uint32_t header = _quoted_header(message, v6, out)
    cdef const uint8_t *tcp
    if header == 0:
        return ICMP_NOT_TCP
    if message.length < header + QUOTED_PORTS_AND_SEQ:
        return ICMP_TRUNCATED
    tcp = message.data + header
    out.local_port = get16(tcp)
    out.remote_port = get16(tcp + 2)
    out.seq = get32(tcp + 4)
    return ICMP_OK


cdef uint32_t write_icmp(uint8_t *data, const segment_t *ip, const icmp_t *message) noexcept nogil:
    cdef uint32_t length = ICMP_HEADER + message.length
    cdef int protocol = PROTOCOL_ICMP if is_mapped(ip.remote) else PROTOCOL_ICMP6
    cdef int header = write_ip(data, ip, <uint8_t>protocol, length, 0, 0)
    cdef uint8_t *icmp = data + header
    icmp[0] = message.type
    icmp[1] = message.code
    put16(icmp + 2, 0)
    put32(icmp + 4, message.rest)
    memcpy(icmp + ICMP_HEADER, message.data, message.length)
    put16(icmp + 2, checksum_fold(checksum_add(icmp, length, _pseudo_sum(ip, length))))
    return header + length
