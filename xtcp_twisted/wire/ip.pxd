from libc.stdint cimport uint8_t, uint16_t, uint32_t

from xtcp_twisted.wire.segment cimport segment_t


# Reads the IP header.  On success fills the addresses of `out`, and points `payload` and `length` at
# what the header carries.  Returns PACKET_OK or why the packet is refused.
cdef int parse_ip(const uint8_t *data, uint32_t size, segment_t *out) noexcept nogil

# Header bytes for packets to this address: 20 or 40.
cdef int ip_header_length(const uint8_t *remote) noexcept nogil

# Writes the IP header for `payload` bytes of TCP; returns its length.
cdef int write_ip(uint8_t *data, const segment_t *fields, uint32_t payload) noexcept nogil
