"""Completing checksums and cutting super-segments, as a network card does (RFC 1071, RFC 9293, RFC 3168).

For links that look into packets: a capture that shall show valid checksums, a bad
network that loses packets one by one.  The engine itself needs none of it.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from xtcp_twisted.wire.bytes cimport get32, put16, put32
from xtcp_twisted.wire.checksum cimport checksum_add, checksum_fold
from xtcp_twisted.wire.ip cimport PROTOCOL_TCP
from xtcp_twisted.wire.segment cimport CWR, FIN, PSH

cdef enum:
    TCP_CHECKSUM = 16          # offsets in the TCP header
    TCP_SEQUENCE = 4
    TCP_DATA_OFFSET = 12
    TCP_FLAGS = 13


cdef void complete_checksum(uint8_t *data, uint32_t length, uint16_t start, uint16_t offset) noexcept nogil:
    # The field is part of what is summed: it brings the pseudo header in.
    put16(data + start + offset, checksum_fold(checksum_add(data + start, length - start, 0)))


cdef uint32_t _tcp_offset(const uint8_t *data, uint32_t length) noexcept nogil:
    """Where the TCP header begins; 0: not at all, or behind extension headers."""
    if length >= 40 and data[0] >> 4 == 4 and data[0] & 15 >= 5 and data[9] == PROTOCOL_TCP:
        return (data[0] & 15) * 4
    if length >= 60 and data[0] >> 4 == 6 and data[6] == PROTOCOL_TCP:
        return 40
    return 0


cdef bint cut_begin(const uint8_t *data, uint32_t length, uint32_t size, cut_t *cut) noexcept nogil:
    cdef uint32_t tcp = _tcp_offset(data, length), header
    if size == 0 or tcp == 0 or tcp + 20 > length:
        return False
    header = (data[tcp + TCP_DATA_OFFSET] >> 4) * 4
    if header < 20 or tcp + header >= length:
        return False
    cut.tcp = tcp
    cut.headers = tcp + header
    cut.size = size
    cut.count = (length - cut.headers + size - 1) // size
    return True


cdef uint64_t _pseudo_sum(const uint8_t *packet, uint32_t tcp_length) noexcept nogil:
    if packet[0] >> 4 == 4:
        return checksum_add(packet + 12, 8, PROTOCOL_TCP + tcp_length)
    return checksum_add(packet + 8, 32, PROTOCOL_TCP + tcp_length)


cdef void _write_lengths(uint8_t *packet, uint32_t length) noexcept nogil:
    """In the IP header.  The ID of IPv4 stays: that of an atomic datagram carries nothing (RFC 6864)."""
    if packet[0] >> 4 == 6:
        put16(packet + 4, <uint16_t>(length - 40))
        return
    put16(packet + 2, <uint16_t>length)
    put16(packet + 10, 0)
    put16(packet + 10, checksum_fold(checksum_add(packet, (packet[0] & 15) * 4, 0)))


cdef uint32_t cut_packet(
    const uint8_t *data, uint32_t length, const cut_t *cut, uint32_t k, uint8_t *out
) noexcept nogil:
    cdef uint32_t begin = k * cut.size, size = min(cut.size, length - cut.headers - begin)
    cdef uint32_t total = cut.headers + size
    cdef uint8_t *tcp = out + cut.tcp
    memcpy(out, data, cut.headers)
    memcpy(out + cut.headers, data + cut.headers + begin, size)
    _write_lengths(out, total)
    put32(tcp + TCP_SEQUENCE, get32(tcp + TCP_SEQUENCE) + begin)
    if k:
        # RFC 3168 section 6.1.2: only one packet says that the window was reduced.
        tcp[TCP_FLAGS] &= ~<uint8_t>CWR
    if k + 1 < cut.count:
        tcp[TCP_FLAGS] &= ~<uint8_t>(FIN | PSH)
    put16(tcp + TCP_CHECKSUM, 0)
    put16(
        tcp + TCP_CHECKSUM,
        checksum_fold(checksum_add(tcp, total - cut.tcp, _pseudo_sum(out, total - cut.tcp))),
    )
    return total
