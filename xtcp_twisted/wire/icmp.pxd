"""A parsed message of ICMPv4 (RFC 792) or ICMPv6 (RFC 4443), and what an error quotes."""

from libc.stdint cimport uint8_t, uint32_t

from xtcp_twisted.wire.segment cimport segment_t

cdef enum:
    # Types of ICMPv4
    ECHO_REPLY = 0
    UNREACHABLE = 3
    SOURCE_QUENCH = 4
    ECHO = 8
    TIME_EXCEEDED = 11
    PARAMETER_PROBLEM = 12
    # Codes of UNREACHABLE
    UNREACHABLE_PROTOCOL = 2
    UNREACHABLE_PORT = 3
    UNREACHABLE_TOO_BIG = 4
    UNREACHABLE_ROUTE = 5
    UNREACHABLE_NET_PROHIBITED = 9
    UNREACHABLE_HOST_PROHIBITED = 10
    UNREACHABLE_PROHIBITED = 13

    # Types of ICMPv6
    UNREACHABLE_6 = 1
    TOO_BIG_6 = 2
    TIME_EXCEEDED_6 = 3
    PARAMETER_PROBLEM_6 = 4
    ECHO_6 = 128
    ECHO_REPLY_6 = 129
    # Codes of UNREACHABLE_6
    UNREACHABLE_PROHIBITED_6 = 1
    UNREACHABLE_PORT_6 = 4
    # Codes of PARAMETER_PROBLEM_6
    PROBLEM_FIELD_6 = 0
    PROBLEM_NEXT_HEADER_6 = 1
    PROBLEM_OPTION_6 = 2

    ICMP_HEADER = 8

    # Results of parse_icmp and parse_quote
    ICMP_OK = 0
    ICMP_TRUNCATED = 1
    ICMP_CHECKSUM = 2
    ICMP_NOT_TCP = 3           # quotes no TCP segment from its first byte on

cdef struct icmp_t:
    uint8_t type
    uint8_t code
    uint32_t rest              # what follows the checksum: identifier and number, pointer, or MTU
    uint32_t length            # bytes behind that
    const uint8_t *data


# Reads the message that `ip`, as parse_ip left it, carries; ICMPv4 or ICMPv6 by its addresses.
cdef int parse_icmp(const segment_t *ip, icmp_t *out) noexcept nogil

# Reads the segment that an error quotes: addresses and ports as the connection has them, `seq`, and as
# `length` the size of the whole packet by its IP header.  Nothing else of `out` is filled.
cdef int parse_quote(const icmp_t *message, bint v6, segment_t *out) noexcept nogil

# Writes a whole packet from `ip`'s local to its remote address; returns its length.
cdef uint32_t write_icmp(uint8_t *data, const segment_t *ip, const icmp_t *message) noexcept nogil
