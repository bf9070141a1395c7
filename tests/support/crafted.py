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
    window: int = 65_535,
) -> bytes:
    """One packet; addresses as of `packed`, numbers modulo 2**32, `options` in whole words."""
    offset = (20 + len(options)) << 2
    length = 20 + len(options) + len(data)
    fields = (sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, offset, flags, window)
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


class Strangers:
    """Packets that differ in who sends them and in their numbers, 2**32 of them, made by writing eight bytes.

    What one field gains another loses, so that no checksum changes: over IPv4 the
    identification makes up for the address, the sequence number for address and port.
    """

    def __init__(self, prefix: str, dst: str, dport: int, flags: int = SYN, ack: int = 0) -> None:
        """
        :param prefix: an address; its last 16 bits vary.
        """
        src = bytearray(packed(prefix))
        src[-2:] = b"\0\0"
        self._packet = bytearray(craft(bytes(src), packed(dst), 0, dport, 0xFFFFFFFF, ack, flags))
        self._v6 = len(src) == 16
        self._at = 40 if self._v6 else 20
        if not self._v6:
            # The identification is 0 now; as ~0 it adds nothing to the sum (RFC 1071).
            struct.pack_into("!H", self._packet, 4, 0xFFFF)

    def packet(self, number: int) -> bytes:
        """The packet of stranger `number`."""
        low, high = number & 0xFFFF, number >> 16 & 0xFFFF
        if self._v6:
            struct.pack_into("!H", self._packet, 22, low)
        else:
            struct.pack_into("!H", self._packet, 4, ~low & 0xFFFF)
            struct.pack_into("!H", self._packet, 14, low)
        struct.pack_into("!H", self._packet, self._at, high)
        struct.pack_into("!HH", self._packet, self._at + 4, ~high & 0xFFFF, ~low & 0xFFFF)
        return bytes(self._packet)
