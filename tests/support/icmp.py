"""Messages of ICMP, built for the engine and read from it, with scapy's checksums."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import IPv6
from scapy.layers.inet6 import in6_chksum as _in6_chksum
from scapy.packet import Raw
from scapy.utils import checksum as internet_checksum

in6_checksum: Any = _in6_chksum

#: Version -> (echo request, echo reply, its protocol number).
ECHO = {4: (8, 0, 1), 6: (128, 129, 58)}


@dataclass(frozen=True, slots=True)
class Message:
    """One message of ICMP as read from the wire; `rest` is what stands behind the checksum."""

    time: float
    src: str
    dst: str
    type: int
    code: int
    rest: int
    data: bytes
    raw: bytes


def is_icmp(raw: bytes) -> bool:
    """Whether a packet without options or extension headers carries ICMP."""
    return (raw[0] >> 4 == 4 and raw[9] == 1) or (raw[0] >> 4 == 6 and raw[6] == 58)


def message(
    src: str,
    dst: str,
    kind: int,
    code: int = 0,
    *,
    rest: int = 0,
    data: bytes = b"",
    chksum: int | None = None,
    **ip: Any,
) -> bytes:
    """A packet with any message in it; `ip` overrides fields of the IP header by scapy's names."""
    body = bytes((kind, code, 0, 0)) + rest.to_bytes(4) + data
    if ipaddress.ip_address(src).version == 4:
        total = internet_checksum(body) if chksum is None else chksum
        fields: dict[str, Any] = {"src": src, "dst": dst, "proto": 1}
        header: Any = IP(**fields | ip)
    else:
        fields = {"src": src, "dst": dst, "nh": 58}
        header = IPv6(**fields | ip)
        total = in6_checksum(58, IPv6(src=src, dst=dst), body) if chksum is None else chksum
    return bytes(header / Raw(body[:2] + total.to_bytes(2) + body[4:]))


def ping(src: str, dst: str, data: bytes = b"abc", *, number: int = 0x0007_0001, **fields: Any) -> bytes:
    """An echo request; `number` is identifier and sequence number."""
    kind = ECHO[ipaddress.ip_address(src).version][0]
    return message(src, dst, kind, rest=number, data=data, **fields)


def too_big(router: str, quoted: bytes, mtu: int, *, most: int = 68) -> bytes:
    """What a router says of a packet that the engine sent, quoting at most so much of it."""
    if quoted[0] >> 4 == 4:
        return message(router, str(ipaddress.ip_address(quoted[12:16])), 3, 4, rest=mtu, data=quoted[:most])
    return message(router, str(ipaddress.ip_address(quoted[8:24])), 2, rest=mtu, data=quoted[:most])


def error(router: str, quoted: bytes, kind: int, code: int, *, most: int = 68) -> bytes:
    """Any other error about a packet that the engine sent."""
    at = slice(12, 16) if quoted[0] >> 4 == 4 else slice(8, 24)
    return message(router, str(ipaddress.ip_address(quoted[at])), kind, code, data=quoted[:most])


def read(time: float, raw: bytes, mtu: int) -> Message:
    """Read a message that the engine sent; every malformation is an AssertionError."""
    assert len(raw) <= mtu, f"{len(raw)} bytes do not fit the MTU of {mtu}"
    packet: Any
    if raw[0] >> 4 == 4:
        packet, body = IP(raw), raw[20:]
        assert packet.ihl == 5 and packet.len == len(raw) and packet.frag == 0
        assert internet_checksum(raw[:20]) == 0, "IPv4 header checksum is wrong"
        assert internet_checksum(body) == 0, "ICMP checksum is wrong"
        assert packet[ICMP].type == body[0]
        ttl = packet.ttl
    else:
        packet, body = IPv6(raw), raw[40:]
        assert packet.plen == len(body), f"IPv6 payload length {packet.plen}, has {len(body)}"
        assert in6_checksum(58, packet, body) == 0, "ICMPv6 checksum is wrong"
        ttl = packet.hlim
    assert ttl >= 32, f"TTL {ttl} will not cross the Internet"
    return Message(
        time=time,
        src=str(ipaddress.ip_address(packet.src)),
        dst=str(ipaddress.ip_address(packet.dst)),
        type=body[0],
        code=body[1],
        rest=int.from_bytes(body[4:8]),
        data=body[8:],
        raw=raw,
    )
