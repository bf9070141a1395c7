"""A parsed TCP segment, and what its header may hold."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from xtcp_twisted.wire.bytes cimport get32

cdef enum:
    FIN = 0x01
    SYN = 0x02
    RST = 0x04
    PSH = 0x08
    ACK = 0x10
    URG = 0x20
    ECE = 0x40
    CWR = 0x80

cdef enum:
    # Which options a segment carried, or shall carry.
    HAS_MSS = 1
    HAS_SCALE = 2
    HAS_TIMESTAMPS = 4
    HAS_SACK_PERMITTED = 8
    HAS_SACK = 16
    HAS_FAST_OPEN = 32         # a cookie of Fast Open, or the request for one (RFC 7413)
    HAS_FAST_OPEN_EXPERIMENT = 64  # with it: in the option of the time before that (RFC 6994)

cdef enum:
    MOST_COOKIE = 16           # bytes (RFC 7413 section 4.1.1)
    LEAST_COOKIE = 4

cdef enum:
    # The ECN field, the two lowest bits of TOS and traffic class (RFC 3168 section 5).
    NOT_ECT = 0
    ECT_1 = 1
    ECT_0 = 2
    CE = 3

cdef enum:
    # Why a packet is refused; the order is that of REFUSALS in codec.pyx.
    PACKET_OK = 0
    PACKET_TRUNCATED = 1       # shorter than its headers or its own length field
    PACKET_VERSION = 2         # neither IPv4 nor IPv6
    PACKET_IP_HEADER = 3       # IHL, source route, extension header chain
    PACKET_IP_CHECKSUM = 4
    PACKET_FRAGMENT = 5        # never reassembled
    PACKET_ADDRESS = 6         # martian source or destination
    PACKET_NOT_TCP = 7
    PACKET_TCP_HEADER = 8      # data offset
    PACKET_TCP_CHECKSUM = 9
    PACKET_ICMP = 10           # no segment, but a message of ICMP (wire/icmp.pxd)
    PACKET_ROUTE = 11          # IPv6: a routing header says that it has further to go
    PACKET_OPTION = 12         # IPv6: an option that we do not know forbids to go on
    PACKET_REASONS = 13

cdef struct segment_t:
    uint8_t remote[16]         # source of what arrives, destination of what leaves; IPv4 mapped
    uint8_t local[16]
    uint16_t remote_port
    uint16_t local_port
    uint32_t seq
    uint32_t ack
    uint32_t ts_val
    uint32_t ts_ecr
    uint16_t window            # as on the wire, not scaled
    uint16_t urgent
    uint16_t mss
    uint8_t scale
    uint8_t has                # HAS_*
    uint8_t flags
    uint8_t bad_options        # an option with an impossible length was met (MUST-7)
    uint8_t tos                # IPv4's TOS, IPv6's traffic class: DSCP and ECN field
    uint8_t ttl                # or hop limit, of what leaves; 0: the usual one
    uint16_t problem           # refused for what it asks: offset of the field that asks it; 0: not to be told
    uint8_t sacks              # blocks in `sack`, with HAS_SACK
    uint32_t sack[8]           # left and right edges; four blocks fit into 40 bytes of options
    uint16_t merged            # segments of the wire that it stands for; 1 but for a super-segment
    uint8_t cookie_length      # with HAS_FAST_OPEN; 0: one is asked for
    uint8_t cookie[16]
    uint32_t length            # payload bytes
    const uint8_t *payload


cdef inline bint is_mapped(const uint8_t *address) noexcept nogil:
    """Whether 16 bytes hold an IPv4 address, ::ffff:a.b.c.d."""
    cdef uint64_t zeros
    memcpy(&zeros, address, 8)
    return zeros == 0 and get32(address + 8) == 0xFFFF


cdef inline void map_address(uint8_t *out, const uint8_t *address) noexcept nogil:
    """The 16 bytes of a 4-byte address, ::ffff:a.b.c.d."""
    memset(out, 0, 10)
    out[10] = 0xFF
    out[11] = 0xFF
    memcpy(out + 12, address, 4)
