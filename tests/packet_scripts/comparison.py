"""Whether a packet of the engine is the one that a line describes.

Compared are what another TCP has to do alike: flags but PSH, sequence and
acknowledgement numbers, the length and every byte of the payload, whether the
window is closed, which options there are, SACK blocks in their order, and what
timestamps echo.  The values of MSS, window scale and window are the engine's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from support.packets import MSS, SACK, SACK_OK, TIMESTAMPS, WSCALE, Segment

from .flow import Flow, application_bytes
from .inbound import wire_flags
from .script import Option, TcpPacket, Wild

_NAMES = {MSS: "mss", WSCALE: "wscale", SACK_OK: "sackOK", TIMESTAMPS: "TS"}
_ECN = {"noecn": {0}, "ect0": {2}, "ect1": {1}, "ce": {3}, "ect01": {1, 2}}


def differences(packet: TcpPacket, pieces: Sequence[Segment], flow: Flow) -> Iterator[str]:
    """What is wrong, as sentences, the most telling first.

    :param pieces: the segments that make up the packet, as the engine may divide it.
    """
    yield from _flags(packet, pieces)
    yield from _numbers(packet, pieces, flow)
    yield from _payload(packet, pieces, flow)
    yield from _header(packet, pieces[-1])
    if not isinstance(packet.options, Wild):
        yield from _options(packet, pieces[-1], flow)


def is_pure_ack(segment: Segment) -> bool:
    """An acknowledgement and nothing else."""
    return segment.flags - {"P", "E", "C", "N"} == {"A"} and not segment.data


def _flags(packet: TcpPacket, pieces: Sequence[Segment]) -> Iterator[str]:
    have = frozenset[str]().union(*(piece.flags for piece in pieces)) - {"P"}
    want = wire_flags(packet.flags) - {"P"}
    if have != want:
        yield f"flags: expected {''.join(sorted(want))}, got {''.join(sorted(have))}"


def _numbers(packet: TcpPacket, pieces: Sequence[Segment], flow: Flow) -> Iterator[str]:
    syn = "S" in packet.flags
    if packet.seq is not None:
        got = pieces[0].seq if packet.absolute else (pieces[0].seq - flow.local(syn=syn)) % 2**32
        if got != packet.seq % 2**32:
            yield f"seq: expected {packet.seq}, got {got}"
    if packet.ack is not None and "." in packet.flags:
        got = (pieces[-1].ack - flow.remote(syn=syn)) % 2**32
        if got != packet.ack:
            yield f"ack: expected {packet.ack}, got {got}"


def _payload(packet: TcpPacket, pieces: Sequence[Segment], flow: Flow) -> Iterator[str]:
    data = b"".join(piece.data for piece in pieces)
    if len(data) != packet.length:
        yield f"payload: expected {packet.length} bytes, got {len(data)}"
    elif (
        packet.seq is not None
        and not flow.urgent
        and data != application_bytes(packet.seq - 1, packet.length)
    ):
        yield f"payload: the bytes at stream offset {packet.seq - 1} are not those that were written"


def _header(packet: TcpPacket, segment: Segment) -> Iterator[str]:
    compared = packet.window is not None and not packet.flags & {"S", "R"}
    if compared and (packet.window == 0) != (segment.window == 0):
        yield f"window: expected {packet.window}, got {segment.window}"
    ip = 20 if segment.raw[0] >> 4 == 4 else 40
    urgent = int.from_bytes(segment.raw[ip + 18 : ip + 20])
    if "U" in packet.flags and packet.urgent != urgent:
        yield f"urgent pointer: expected {packet.urgent}, got {urgent}"
    tos = segment.raw[1] if ip == 20 else int.from_bytes(segment.raw[:2]) >> 4 & 0xFF
    if packet.ecn is not None and tos & 3 not in _ECN[packet.ecn]:
        yield f"ECN: expected {packet.ecn}, got {tos & 3}"
    if packet.tos is not None and packet.tos != tos:
        yield f"TOS: expected {packet.tos}, got {tos}"
    if packet.ttl is not None and packet.ttl != segment.ttl:
        yield f"TTL: expected {packet.ttl}, got {segment.ttl}"


def _options(packet: TcpPacket, segment: Segment, flow: Flow) -> Iterator[str]:
    wanted = packet.option("TS")
    if wanted is not None and segment.tsecr is not None and wanted[2] != segment.tsecr:
        yield f"TS ecr: expected {wanted[2]}, got {segment.tsecr}"
    want = sorted(_comparable(option) for option in packet.listed if option[0] not in {"nop", "eol"})
    have = sorted(_of_wire(kind, value, flow) for kind, value in segment.options.items())
    if want != have:
        yield f"options: expected {', '.join(want) or 'none'}, got {', '.join(have) or 'none'}"


def sack_blocks(packet: TcpPacket) -> tuple[tuple[int, int], ...]:
    """The SACK blocks of a line."""
    option = packet.option("sack")
    return option[1] if option else ()


def sent_blocks(segment: Segment, flow: Flow) -> tuple[tuple[int, int], ...]:
    """The SACK blocks of a packet, in the script's numbers."""
    return flow.sack_from_wire(segment.options.get(SACK, b""))


def _sack_text(blocks: tuple[tuple[int, int], ...]) -> str:
    return "sack " + " ".join(f"{left}:{right}" for left, right in blocks)


def _comparable(option: Option) -> str:
    """An option without the values that are the engine's own."""
    if option[0] == "sack":
        return _sack_text(option[1])
    return f"{option[0]} {option[1].hex()}" if option[0] in {"FO", "FOEXP"} else str(option[0])


def _of_wire(kind: int, value: bytes, flow: Flow) -> str:
    if kind == SACK:
        return _sack_text(flow.sack_from_wire(value))
    return _NAMES.get(kind, f"option {kind}")
