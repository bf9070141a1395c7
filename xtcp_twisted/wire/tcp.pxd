from libc.stdint cimport uint8_t, uint32_t, uint64_t

from xtcp_twisted.wire.segment cimport segment_t


# Reads a whole packet: IP, TCP, options.  `verified` skips the TCP checksum (the link vouches for it).
# Returns PACKET_OK or why the packet is refused.
cdef int parse_packet(const uint8_t *data, uint32_t size, bint verified, segment_t *out) noexcept nogil

# IP and TCP header bytes of what `fields` describes.
cdef int headers_length(const segment_t *fields) noexcept nogil

# Writes the headers in front of `fields.length` payload bytes that lie there already and add up to
# `payload_sum`; returns the length of the whole packet.
cdef uint32_t write_headers(uint8_t *data, const segment_t *fields, uint64_t payload_sum) noexcept nogil
