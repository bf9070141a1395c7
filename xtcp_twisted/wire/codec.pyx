"""The wire formats as Python sees them: for tests, tools and captures.

The engine does not come this way; it uses `parse_packet` and `write_headers`
of `wire.tcp` directly.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memset

import ipaddress

from xtcp_twisted.wire.checksum cimport checksum_add, checksum_fold
from xtcp_twisted.wire.segment cimport (
    HAS_MSS,
    HAS_SACK,
    HAS_SCALE,
    HAS_TIMESTAMPS,
    is_mapped,
    segment_t,
)
from xtcp_twisted.wire.tcp cimport parse_packet

#: Why a packet is refused, by the number that `parse_packet` returns.
REFUSALS = (
    "accepted",
    "truncated",
    "version",
    "ip-header",
    "ip-checksum",
    "fragment",
    "address",
    "not-tcp",
    "tcp-header",
    "tcp-checksum",
    "icmp",
    "route",
    "option",
)


def checksum(bytes data not None, unsigned long long initial=0):
    """The Internet checksum of `data` (RFC 1071).

    :param data: bytes to sum; an odd last byte is padded with zero.
    :param initial: running sum to start from.
    :returns: the 16-bit value for the checksum field.
    """
    return checksum_fold(checksum_add(<const uint8_t *>data, <uint32_t>len(data), initial))


cdef str host(const uint8_t *address):
    if is_mapped(address):
        return str(ipaddress.IPv4Address(address[12:16]))
    return str(ipaddress.IPv6Address(address[:16]))


cpdef bytes pack_address(str text):
    """The 16 bytes of an address, IPv4 mapped into IPv6; ValueError when it is none."""
    address = ipaddress.ip_address(text)
    if address.version == 4:
        return b"\0" * 10 + b"\xff\xff" + address.packed
    return address.packed


cpdef str unpack_address(bytes address):
    """The text of 16 bytes that `pack_address` made."""
    return host(<const uint8_t *>address)


def parse(bytes packet not None):
    """The fields of one IP packet with a TCP segment.

    :param packet: the packet, from its IP header on.
    :returns: a dict of fields, or the reason of refusal (one of `REFUSALS`).
    """
    cdef segment_t s
    memset(&s, 0, sizeof(s))
    cdef int reason = parse_packet(<const uint8_t *>packet, <uint32_t>len(packet), 0, False, &s)
    if reason:
        return REFUSALS[reason]
    return {
        "src": host(s.remote),
        "dst": host(s.local),
        "sport": s.remote_port,
        "dport": s.local_port,
        "seq": s.seq,
        "ack": s.ack,
        "flags": s.flags,
        "window": s.window,
        "urgent": s.urgent,
        "tos": s.tos,
        "payload": s.payload[: s.length],
        "mss": s.mss if s.has & HAS_MSS else None,
        "wscale": s.scale if s.has & HAS_SCALE else None,
        "tsval": s.ts_val if s.has & HAS_TIMESTAMPS else None,
        "tsecr": s.ts_ecr if s.has & HAS_TIMESTAMPS else None,
        "sack": [(s.sack[2 * i], s.sack[2 * i + 1]) for i in range(s.sacks)] if s.has & HAS_SACK else [],
        "bad_options": bool(s.bad_options),
    }
