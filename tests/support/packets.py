"""Packets built and read by scapy, so that the engine's own code never judges itself.

Knows bytes and fields only: which packet is right in which state is the business
of `support.judge` and of the tests.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass
from typing import Any, Final

from scapy.layers.inet import IP, TCP, in4_chksum
from scapy.layers.inet6 import IPv6
from scapy.layers.inet6 import in6_chksum as _in6_chksum
from scapy.utils import checksum as internet_checksum

#: Option kinds (IANA) that the engine may send, with their lengths (RFC 9293, 7323, 2018).
OPTION_LENGTHS: Final = {2: 4, 3: 3, 4: 2, 8: 10}
MSS, WSCALE, SACK_OK, SACK, TIMESTAMPS = 2, 3, 4, 5, 8
#: TCP Fast Open (RFC 7413), and the option of the time before it, with how its value begins (RFC 6994).
FAST_OPEN, EXPERIMENT = 34, 254
EXPERIMENT_ID: Final = b"\xf9\x89"

in6_checksum: Any = _in6_chksum

#: As scapy writes them: `("MSS", 1460)`, or `(kind, bytes)` for others.
Options = list[tuple[Any, Any]]


@dataclass(frozen=True, slots=True)
class Segment:
    """One TCP segment as read from the wire; sequence numbers are absolute."""

    time: float
    src: str
    dst: str
    sport: int
    dport: int
    seq: int
    ack: int
    flags: frozenset[str]
    window: int
    options: dict[int, bytes]
    data: bytes
    ttl: int
    raw: bytes

    @property
    def length(self) -> int:
        """Octets of sequence space that it occupies: data, SYN and FIN (RFC 9293 3.4)."""
        return len(self.data) + ("S" in self.flags) + ("F" in self.flags)

    @property
    def mss(self) -> int | None:
        return int.from_bytes(self.options[MSS]) if MSS in self.options else None

    @property
    def wscale(self) -> int | None:
        return self.options[WSCALE][0] if WSCALE in self.options else None

    @property
    def tos(self) -> int:
        """IPv4's TOS or IPv6's traffic class: DSCP and ECN field."""
        return self.raw[1] if self.raw[0] >> 4 == 4 else int.from_bytes(self.raw[:2]) >> 4 & 0xFF

    @property
    def ecn(self) -> int:
        """The ECN field: 0 not ECT, 1 ECT(1), 2 ECT(0), 3 CE (RFC 3168 section 5)."""
        return self.tos & 3

    @property
    def asks_ecn(self) -> bool:
        """Whether a SYN asks for ECN, or a SYN-ACK agrees to it (RFC 3168 section 6.1.1)."""
        return self.flags & {"E", "C"} == ({"E"} if "A" in self.flags else {"E", "C"})

    @property
    def cookie(self) -> bytes | None:
        """What the Fast Open option holds, of either kind: b"" asks for a cookie; None: there is none."""
        if self.options.get(EXPERIMENT, b"")[:2] == EXPERIMENT_ID:
            return self.options[EXPERIMENT][2:]
        return self.options.get(FAST_OPEN)

    @property
    def sack(self) -> list[tuple[int, int]]:
        """The SACK blocks in their order."""
        edges = struct.unpack(f"!{len(self.options.get(SACK, b'')) // 4}I", self.options.get(SACK, b""))
        return list(zip(edges[::2], edges[1::2], strict=True))

    @property
    def tsval(self) -> int | None:
        return int.from_bytes(self.options[TIMESTAMPS][:4]) if TIMESTAMPS in self.options else None

    @property
    def tsecr(self) -> int | None:
        return int.from_bytes(self.options[TIMESTAMPS][4:]) if TIMESTAMPS in self.options else None


def build(
    src: str,
    dst: str,
    sport: int,
    dport: int,
    *,
    seq: int,
    ack: int = 0,
    flags: str = "A",
    window: int = 65535,
    options: Options | None = None,
    raw_options: bytes = b"",
    data: bytes = b"",
    urgent: int = 0,
    ip: dict[str, Any] | None = None,
    tcp: dict[str, Any] | None = None,
) -> bytes:
    """One packet; `ip` and `tcp` override header fields (checksums included) by scapy's names.

    `raw_options` go behind the well-formed `options` byte by byte, padded with
    zeros to a multiple of four: for options that no builder would make.
    """
    fields: dict[str, Any] = {
        "sport": sport,
        "dport": dport,
        "seq": seq % 2**32,
        "ack": ack % 2**32,
        "flags": flags,
        "window": window,
        "urgptr": urgent,
        "options": options or [],
    }
    if raw_options:
        assert not options, "give either options or raw_options"
        raw_options += bytes(-len(raw_options) % 4)
        fields["dataofs"] = 5 + len(raw_options) // 4
    segment = TCP(**(fields | (tcp or {}))) / (raw_options + data)
    if ipaddress.ip_address(src).version == 4:
        return bytes(IP(**({"src": src, "dst": dst, "flags": "DF"} | (ip or {}))) / segment)
    return bytes(IPv6(**({"src": src, "dst": dst} | (ip or {}))) / segment)


def read(time: float, raw: bytes, mtu: int = 65535) -> Segment:
    """Read a packet that the engine sent; every malformation is an AssertionError."""
    version = raw[0] >> 4
    assert version in (4, 6), f"IP version {version}"
    assert len(raw) <= mtu, f"{len(raw)} bytes do not fit the MTU of {mtu}"
    packet = IP(raw) if version == 4 else IPv6(raw)
    if version == 4:
        assert packet.ihl == 5, f"IPv4 header of {packet.ihl} words"
        assert packet.len == len(raw), f"IPv4 total length {packet.len}, packet has {len(raw)}"
        assert packet.flags == "DF", f"IPv4 flags {packet.flags}: a TCP that sets its own sizes sends DF"
        assert packet.frag == 0, f"fragment offset {packet.frag}"
        assert internet_checksum(raw[:20]) == 0, "IPv4 header checksum is wrong"
        ttl, bare = packet.ttl, raw[20:]
        assert packet.proto == 6, f"protocol {packet.proto}"
        assert in4_chksum(6, IP(raw), bare) == 0, "TCP checksum is wrong"
    else:
        assert packet.nh == 6, f"next header {packet.nh}"
        assert packet.plen == len(raw) - 40, f"IPv6 payload length {packet.plen}, has {len(raw) - 40}"
        ttl, bare = packet.hlim, raw[40:]
        assert in6_checksum(6, packet, bare) == 0, "TCP checksum is wrong"
    assert ttl >= 32, f"TTL {ttl} will not cross the Internet"
    tcp = packet[TCP]
    assert tcp.reserved == 0, f"reserved bits {tcp.reserved}"
    header = tcp.dataofs * 4
    assert 20 <= header <= len(bare), f"data offset {tcp.dataofs}"
    return Segment(
        time=time,
        src=str(ipaddress.ip_address(packet.src)),
        dst=str(ipaddress.ip_address(packet.dst)),
        sport=tcp.sport,
        dport=tcp.dport,
        seq=tcp.seq,
        ack=tcp.ack,
        flags=frozenset(str(tcp.flags)),
        window=tcp.window,
        options=read_options(bare[20:header]),
        data=bare[header:],
        ttl=ttl,
        raw=raw,
    )


def read_options(area: bytes, *, strange: bool = False) -> dict[int, bytes]:
    """TCP options, strictly: known kinds, right lengths, each once, padded with zeros (MUST-69).

    :param strange: allow kinds that the engine must not send, as a peer may.
    """
    found: dict[int, bytes] = {}
    at = 0
    while at < len(area):
        kind = area[at]
        if kind == 0:
            assert not any(area[at:]), f"option padding is not zero: {area.hex()}"
            break
        if kind == 1:
            at += 1
            continue
        assert at + 1 < len(area), f"option {kind} has no length: {area.hex()}"
        length = area[at + 1]
        assert 2 <= length <= len(area) - at, f"option {kind} of length {length}: {area.hex()}"
        known = kind in OPTION_LENGTHS or kind in (SACK, FAST_OPEN, EXPERIMENT)
        assert strange or known, f"the engine sent option kind {kind}"
        assert OPTION_LENGTHS.get(kind, length) == length, f"option {kind} of length {length}"
        assert kind not in found, f"option {kind} twice: {area.hex()}"
        found[kind] = area[at + 2 : at + length]
        at += length
    return found


def fix_checksums(raw: bytes) -> bytes:
    """The same packet with right checksums where its headers can be found, for fuzzing."""
    packet = bytearray(raw)
    if len(packet) < 40 or packet[0] >> 4 not in (4, 6):
        return raw
    if packet[0] >> 4 == 4:
        header = (packet[0] & 15) * 4
        if header < 20 or len(packet) < header + 20:
            return raw
        packet[10:12] = bytes(2)
        packet[10:12] = internet_checksum(bytes(packet[:header])).to_bytes(2)
        end = min(len(packet), max(int.from_bytes(packet[2:4]), header))
        pseudo = bytes(packet[12:20]) + b"\0\6" + (end - header).to_bytes(2)
    else:
        header = 40
        if len(packet) < 60:
            return raw
        end = min(len(packet), header + int.from_bytes(packet[4:6]))
        pseudo = bytes(packet[8:40]) + (end - header).to_bytes(4) + bytes((0, 0, 0, 6))
    if end < header + 20:
        return raw
    packet[header + 16 : header + 18] = bytes(2)
    total = internet_checksum(pseudo + bytes(packet[header:end]))
    packet[header + 16 : header + 18] = total.to_bytes(2)
    return bytes(packet)
