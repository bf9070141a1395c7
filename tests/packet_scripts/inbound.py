"""The peer's packets: from a script's line to the bytes that arrive.

TCP is built by `support.packets`; ICMP errors quote the start of the segment
that they complain of (RFC 792, RFC 4443).
"""

from __future__ import annotations

from typing import Any, Final

from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6,
)
from support.packets import Options, build

from .flow import Flow, peer_bytes
from .script import IcmpPacket, Option, TcpPacket, Unsupported
from .setup import Setup

#: The script's letters that scapy writes otherwise.
_LETTERS: Final = {".": "A", "W": "C", "A": "N"}
_ECN: Final = {"noecn": 0, "ect1": 1, "ect0": 2, "ect01": 2, "ce": 3}
#: Scapy's name of an option, and its value when the script gives none.
_SCAPY: Final = {
    "nop": ("NOP", None),
    "eol": ("EOL", None),
    "mss": ("MSS", None),
    "wscale": ("WScale", None),
    "sackOK": ("SAckOK", b""),
}
#: Kind of a Fast Open option (RFC 7413), and what stands in front of its cookie.
_COOKIES: Final = {"FO": (34, b""), "FOEXP": (254, b"\xf9\x89")}

_TYPES_V4: Final = {
    "echo_reply": 0,
    "unreachable": 3,
    "source_quench": 4,
    "redirect": 5,
    "echo_request": 8,
    "time_exceeded": 11,
    "parameter_problem": 12,
    "timestamp_request": 13,
    "timestamp_reply": 14,
    "information_request": 15,
    "information_reply": 16,
    "address_mask_request": 17,
    "address_mask_reply": 18,
}
#: In the order of their codes.
_UNREACHABLE_V4: Final = [
    *("net_unreachable", "host_unreachable", "protocol_unreachable", "port_unreachable"),
    *("frag_needed", "source_route_failed", "net_unknown", "host_unknown"),
    *("source_host_isolated", "net_prohibited", "host_prohibited", "net_unreachable_for_tos"),
    *("host_unreachable_for_tos", "packet_filtered", "precedence_violation", "precedence_cutoff"),
]
_EXCEEDED: Final = ["exceeded_in_transit", "exceeded_in_reassembly"]
_TYPES_V6: Final = {
    "unreachable": ICMPv6DestUnreach,
    "packet_too_big": ICMPv6PacketTooBig,
    "time_exceeded": ICMPv6TimeExceeded,
    "parameter_problem": ICMPv6ParamProblem,
}
_UNREACHABLE_V6: Final = [
    *("no_route", "admin_prohibited", "beyond_scope", "address_unreachable", "port_unreachable"),
    *("ingress_egress_policy", "reject_route"),
]


def wire_flags(flags: frozenset[str]) -> frozenset[str]:
    """A script's flags in the letters of scapy."""
    return frozenset(_LETTERS.get(flag, flag) for flag in flags)


def tcp_bytes(packet: TcpPacket, flow: Flow, setup: Setup) -> bytes:
    """The packet of the peer that the line describes."""
    syn = "S" in packet.flags
    seq, ack = packet.seq or 0, packet.ack or 0
    if syn and ("." not in packet.flags or flow.active):
        flow.open(seq)
    if "R" in packet.flags:
        flow.ended = True
    if "." in packet.flags:
        flow.acked, flow.shut = max(flow.acked, ack), packet.window == 0
    if "U" in packet.flags:
        flow.urgent = True
    tos = packet.tos or 0
    if packet.ecn:
        tos = tos & 0xFC | _ECN[packet.ecn]
    ttl = packet.ttl or 64
    return build(
        setup.remote,
        setup.local,
        flow.remote_port,
        flow.local_port,
        seq=seq if packet.absolute else seq + flow.remote(syn=syn),
        ack=ack + flow.local(syn=syn) if "." in packet.flags else ack,
        flags="".join(sorted(wire_flags(packet.flags))),
        window=packet.window or 0,
        urgent=packet.urgent,
        options=_options(packet, flow),
        data=peer_bytes(flow.offset(seq, syn=syn), packet.length),
        ip={"ttl": ttl, "tos": tos} if setup.version == 4 else {"hlim": ttl, "tc": tos},
    )


def _options(packet: TcpPacket, flow: Flow) -> Options:
    return [_option(option, flow, echoes="." in packet.flags) for option in packet.listed]


def _option(option: Option, flow: Flow, *, echoes: bool) -> tuple[Any, Any]:
    """As scapy writes it."""
    kind, *values = option
    if kind == "TS":
        value, echo = values
        return "Timestamp", (value, flow.live_stamp(echo) if echoes else echo)
    if kind == "sack":
        return "SAck", tuple(flow.sack_to_wire(option))
    if kind in _COOKIES:
        number, prefix = _COOKIES[kind]
        return number, prefix + values[0]
    name, alone = _SCAPY[kind]
    return name, values[0] if values else alone


def icmp_bytes(packet: IcmpPacket, flow: Flow, setup: Setup) -> bytes:
    """The ICMP error that the line describes; it comes from the peer's address.

    :raises Unsupported: a type or code that has no name here.
    """
    seq, length = packet.quoted or (1 if flow.synced else 0, 0)
    segment = TCP(
        sport=flow.local_port, dport=flow.remote_port, seq=(seq + flow.local(syn=False)) % 2**32, flags="A"
    )
    if setup.version == 4:
        quoted = bytes(IP(src=setup.local, dst=setup.remote, flags="DF", len=40 + length) / segment)[:28]
        kind = _number(packet.kind, _TYPES_V4)
        names = _UNREACHABLE_V4 if kind == 3 else _EXCEEDED if kind == 11 else []
        error = ICMP(type=kind, code=_code(packet.code, names), nexthopmtu=packet.mtu)
        return bytes(IP(src=setup.remote, dst=setup.local) / error / quoted)
    quoted = bytes(IPv6(src=setup.local, dst=setup.remote, plen=20 + length) / segment)
    if packet.kind not in _TYPES_V6:
        raise Unsupported(f"ICMPv6 {packet.kind}")
    names = _UNREACHABLE_V6 if packet.kind == "unreachable" else _EXCEEDED
    fields: dict[str, Any] = {"mtu": packet.mtu} if packet.kind == "packet_too_big" else {}
    complaint = _TYPES_V6[packet.kind](code=_code(packet.code, names), **fields)
    return bytes(IPv6(src=setup.remote, dst=setup.local) / complaint / quoted)


def _number(name: str, names: dict[str, int]) -> int:
    if name.startswith("type_"):
        return int(name[5:])
    if name not in names:
        raise Unsupported(f"ICMP {name}")
    return names[name]


def _code(name: str | None, names: list[str]) -> int:
    if name is None:
        return 0
    return int(name[5:]) if name.startswith("code_") else _number(name, {n: i for i, n in enumerate(names)})
