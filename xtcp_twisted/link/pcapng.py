"""Writing packets as pcapng, the file format of Wireshark (draft-ietf-opsawg-pcapng).

One section, one interface of link type RAW (the packet begins with its IP
header), one enhanced packet block per packet.  Knows nothing of links.
"""

from __future__ import annotations

import struct
from typing import BinaryIO, Final

# Section 4.1, the section header block, and 4.2, the interface description block.
SECTION_HEADER: Final = 0x0A0D_0D0A
BYTE_ORDER_MAGIC: Final = 0x1A2B_3C4D
UNKNOWN_LENGTH: Final = -1
INTERFACE: Final = 1
LINKTYPE_RAW: Final = 101
# Section 4.3, the enhanced packet block.
ENHANCED_PACKET: Final = 6
# Section 3.5, options: the end, and those of each block that are used here.
OPT_ENDOFOPT: Final = 0
SHB_USERAPPL: Final = 4
IF_NAME: Final = 2
EPB_FLAGS: Final = 2
# Section 4.3.1: bits 0 and 1 of epb_flags.
INBOUND: Final = 1
OUTBOUND: Final = 2

_LENGTH: Final = struct.Struct("<I")
_PACKET: Final = struct.Struct("<IIIIIII")
_FLAGS: Final = struct.Struct("<HHIHH")


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _block(kind: int, body: bytes) -> bytes:
    length = len(body) + 12
    return struct.pack("<II", kind, length) + body + _LENGTH.pack(length)


class PcapngWriter:
    """Writes a pcapng section to a binary file.

    :param file: open for writing bytes; stays the caller's to close.
    :param snaplen: bytes kept of each packet.
    :param interface: its name in the file.
    """

    def __init__(self, file: BinaryIO, *, snaplen: int, interface: str) -> None:
        self._file = file
        self._snaplen = snaplen
        end = _option(OPT_ENDOFOPT, b"")
        section = struct.pack("<IHHq", BYTE_ORDER_MAGIC, 1, 0, UNKNOWN_LENGTH)
        section += _option(SHB_USERAPPL, b"xtcp_twisted") + end
        # Times are in microseconds, the format's default resolution.
        description = struct.pack("<HHI", LINKTYPE_RAW, 0, snaplen)
        description += _option(IF_NAME, interface.encode()) + end
        file.write(_block(SECTION_HEADER, section) + _block(INTERFACE, description))

    def write(self, packet: bytes, length: int, time_us: int, direction: int) -> None:
        """Append one packet.

        :param packet: its bytes, at least the first `snaplen` of them.
        :param length: how long it was on the wire, bytes.
        :param time_us: microseconds since 1970 (UTC).
        :param direction: `INBOUND` or `OUTBOUND`.
        """
        kept = packet[: self._snaplen]
        size = _PACKET.size + len(kept) + -len(kept) % 4 + _FLAGS.size + _LENGTH.size
        time_us = max(time_us, 0)
        head = _PACKET.pack(
            ENHANCED_PACKET, size, 0, time_us >> 32 & 0xFFFF_FFFF, time_us & 0xFFFF_FFFF, len(kept), length
        )
        flags = _FLAGS.pack(EPB_FLAGS, 4, direction, OPT_ENDOFOPT, 0)
        self._file.write(head + _padded(kept) + flags + _LENGTH.pack(size))
