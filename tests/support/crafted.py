"""TCP packets made fast, for floods: a hundred thousand where scapy makes a few.

Only what is sent is made here; what the engine answers is still read by `packets`
where a test is about its form, and by `numbers` where only its numbers count.
"""

from __future__ import annotations

import ipaddress
import struct

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16

_V4 = struct.Struct("!BBHHHBBH4s4s")
_V6 = struct.Struct("!IHBB16s16s")
_TCP = struct.Struct("!HHIIBBHHH")


def packed(address: str) -> bytes:
    """The 4 or 16 bytes of an address."""
    return ipaddress.ip_address(address).packed


def _checksum(data: bytes) -> int:
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


def craft(
    src: bytes,
    dst: bytes,
    sport: int,
    dport: int,
    seq: int,
    ack: int = 0,
    flags: int = SYN,
    data: bytes = b"",
    options: bytes = b"",
) -> bytes:
    """One packet; addresses as of `packed`, numbers modulo 2**32, `options` in whole words."""
    offset = (20 + len(options)) << 2
    length = 20 + len(options) + len(data)
    fields = (sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, offset, flags, 65_535)
    bare = _TCP.pack(*fields, 0, 0) + options + data
    pseudo = src + dst + struct.pack("!IBBH", length, 0, 0, 6)
    segment = _TCP.pack(*fields, _checksum(pseudo + bare), 0) + options + data
    if len(src) == 16:
        return _V6.pack(6 << 28, length, 6, 64, src, dst) + segment
    header = _V4.pack(0x45, 0, 20 + length, 0, 0x4000, 64, 6, 0, src, dst)
    return header[:10] + struct.pack("!H", _checksum(header)) + header[12:] + segment


def numbers(packet: bytes) -> tuple[int, int, int, int]:
    """(destination port, SEQ, ACK, flags) of a packet of the engine."""
    at = 20 if packet[0] >> 4 == 4 else 40
    _, dport, seq, ack, _, flags = struct.unpack_from("!HHIIBB", packet, at)
    return dport, seq, ack, flags
