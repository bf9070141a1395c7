"""The virtio header as the specification has it, and a network card made of scapy.

A frame is 10 bytes of header and a packet, as on a TUN device with IFF_VNET_HDR.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Any, Final

from scapy.layers.inet import IP, TCP, in4_chksum
from scapy.layers.inet6 import IPv6

from xtcp_twisted.link.memory import MemoryLink

from .packets import Segment, in6_checksum, read

# virtio 1.2 section 5.1.6; the fields in the byte order of this machine.
FORM: Final = struct.Struct("=BBHHHH")
NEEDS_CSUM, DATA_VALID = 1, 2
TCP4, TCP6, ECN = 1, 4, 0x80
KNOWN_KINDS: Final = (0, TCP4, TCP6, TCP4 | ECN, TCP6 | ECN)


@dataclass(frozen=True, slots=True)
class Header:
    flags: int = 0
    gso_type: int = 0
    hdr_len: int = 0
    gso_size: int = 0
    csum_start: int = 0
    csum_offset: int = 0

    def __bytes__(self) -> bytes:
        return FORM.pack(
            self.flags, self.gso_type, self.hdr_len, self.gso_size, self.csum_start, self.csum_offset
        )

    @classmethod
    def of(cls, frame: bytes) -> Header:
        return cls(*FORM.unpack_from(frame))


def headers_of(packet: bytes) -> tuple[int, int]:
    """Bytes before the TCP header, and before the payload."""
    ip = 20 if packet[0] >> 4 == 4 else 40
    return ip, ip + (packet[ip + 12] >> 4) * 4


def pseudo_sum(packet: bytes) -> int:
    """What stands in the checksum field while the checksum is partial."""
    ip, _ = headers_of(packet)
    bare = bytes(len(packet) - ip)
    total = in4_chksum(6, IP(packet), bare) if ip == 20 else in6_checksum(6, IPv6(packet), bare)
    return ~total & 0xFFFF


def offloaded(packet: bytes, size: int = 0) -> bytes:
    """A frame for `packet` whose checksum nobody has computed; with `size`, segments of so much payload."""
    ip, headers = headers_of(packet)
    packet = packet[: ip + 16] + pseudo_sum(packet).to_bytes(2) + packet[ip + 18 :]
    header = Header(flags=NEEDS_CSUM, csum_start=ip, csum_offset=16)
    if size:
        kind = TCP4 if ip == 20 else TCP6
        header = replace(header, gso_type=kind, gso_size=size, hdr_len=headers)
    return bytes(header) + packet


def plain(packet: bytes) -> bytes:
    """A frame for a packet that is complete."""
    return bytes(Header()) + packet


def packets_of(frame: bytes, mtu: int) -> list[bytes]:
    """What a card would send for a frame of the engine's; if it could not send it, an AssertionError."""
    header, packet = Header.of(frame), frame[FORM.size :]
    if header == Header():
        return [packet]
    ip, headers = headers_of(packet)
    assert header.flags == NEEDS_CSUM, header
    assert (header.csum_start, header.csum_offset) == (ip, 16), header
    assert int.from_bytes(packet[ip + 16 : ip + 18]) == pseudo_sum(packet), "the partial checksum is wrong"
    payload = packet[headers:]
    if header.gso_size == 0:
        assert (header.gso_type, header.hdr_len) == (0, 0), header
        size = len(payload)
    else:
        assert header.gso_type & ~ECN == (TCP4 if ip == 20 else TCP6), header
        assert header.hdr_len == headers, header
        size = header.gso_size
        assert size < len(payload), "a super-segment of one segment"
    made = [_packet(packet, payload, at, size) for at in range(0, max(len(payload), 1), size or 1)]
    for one in made:
        read(0.0, one, mtu)
    return made


def _packet(packet: bytes, payload: bytes, at: int, size: int) -> bytes:
    """The one whose payload begins at `at`; scapy computes lengths and checksums."""
    whole = IP(packet) if packet[0] >> 4 == 4 else IPv6(packet)
    tcp = whole[TCP]
    tcp.seq = (tcp.seq + at) % 2**32
    if at:
        tcp.flags = str(tcp.flags).replace("C", "")
    if at + size < len(payload):
        tcp.flags = str(tcp.flags).replace("P", "").replace("F", "")
    tcp.remove_payload()
    tcp.add_payload(payload[at : at + size])
    del tcp.chksum
    if packet[0] >> 4 == 4:
        del whole.len, whole.chksum
    else:
        del whole.plen
    return bytes(whole)


def merge(packets: list[bytes]) -> list[bytes]:
    """Frames of which consecutive segments are one, as a receiver's card or kernel makes them (GRO)."""
    frames: list[bytes] = []
    run: list[tuple[Segment, bytes]] = []
    for packet in packets:
        segment = _readable(packet)
        if run and (segment is None or not _joins(run, segment)):
            frames.append(_merged(run))
            run = []
        if segment is None:
            frames.append(plain(packet))
        else:
            run.append((segment, packet))
    return frames + ([_merged(run)] if run else [])


def _readable(packet: bytes) -> Segment | None:
    """What is damaged is merged with nothing."""
    try:
        return read(0.0, packet)
    except (AssertionError, IndexError):
        return None


def _joins(run: list[tuple[Segment, bytes]], new: Segment) -> bool:
    first, last = run[0][0], run[-1][0]
    size = len(first.data)
    return (
        bool(new.data)
        and len(last.data) == size >= len(new.data)
        and (new.src, new.dst, new.sport, new.dport) == (last.src, last.dst, last.sport, last.dport)
        and new.seq == (last.seq + size) % 2**32
        and (new.ack, new.options) == (first.ack, first.options)
        and last.flags == {"A"}
        and new.flags <= {"A", "P", "F"}
        and sum(len(one.data) for one, _ in run) + len(new.data) < 65_000
    )


def _merged(run: list[tuple[Segment, bytes]]) -> bytes:
    if len(run) == 1:
        return plain(run[0][1])
    (first, packet), (last, _) = run[0], run[-1]
    whole = IP(packet) if packet[0] >> 4 == 4 else IPv6(packet)
    tcp = whole[TCP]
    tcp.flags = "".join(last.flags)
    tcp.window = last.window
    tcp.remove_payload()
    tcp.add_payload(b"".join(one.data for one, _ in run))
    del tcp.chksum
    if packet[0] >> 4 == 4:
        del whole.len, whole.chksum
    else:
        del whole.plen
    return offloaded(bytes(whole), len(first.data))


class Card:
    """Stands between a MemoryLink with offload and whoever wants to see packets, as a network card does.

    :param gro: merge what is delivered at once; else it goes in packet by packet.
    """

    def __init__(self, link: MemoryLink, *, gro: bool = False) -> None:
        self.link = link
        self.gro = gro
        #: Frames of the engine that were more than one packet.
        self.cut = 0
        #: Frames for the engine that were more than one packet.
        self.merged = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.link, name)

    def deliver(self, packet: bytes) -> None:
        self.link.deliver(plain(packet))

    def deliver_all(self, packets: list[bytes]) -> None:
        if not self.gro:
            for packet in packets:
                self.deliver(packet)
            return
        frames = merge(packets)
        self.merged += sum(Header.of(frame).gso_size > 0 for frame in frames)
        for frame in frames:
            self.link.deliver(frame)

    def take(self) -> list[tuple[float, bytes]]:
        taken = []
        for time, frame in self.link.take():
            packets = packets_of(frame, self.link.mtu)
            self.cut += len(packets) > 1
            taken += [(time, packet) for packet in packets]
        return taken
