from libc.stdint cimport uint8_t, uint32_t

from xtcp_twisted.wire.segment cimport segment_t


cdef enum:
    TCP_CHECKSUM = 16          # offset of the field in the TCP header
    VERIFIED = 1               # no offset of a checksum's field


# Reads a whole packet: IP, TCP, options.  `vouched`: the link vouches for the TCP checksum, if its field is
# at this offset, or wherever it is (VERIFIED); 0: it does not.  `looped`: it comes from the engine itself.
# Returns PACKET_OK or why the packet is refused.
cdef int parse_packet(
    const uint8_t *data, uint32_t size, uint32_t vouched, bint looped, segment_t *out
) noexcept nogil

# IP and TCP header bytes of what `fields` describes.
cdef int headers_length(const segment_t *fields) noexcept nogil

# Writes the headers in front of `fields.length` payload bytes that lie there already; returns the length of
# the whole packet.
cdef uint32_t write_headers(uint8_t *data, const segment_t *fields) noexcept nogil
# The same, with the sum of the pseudo header alone where the checksum will be.
cdef uint32_t write_headers_partial(uint8_t *data, const segment_t *fields) noexcept nogil
