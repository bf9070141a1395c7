"""The packets of a script's lines: what stands behind `<` and `>`.

[ect0] P. 1:1001(1000) ack 1 win 257 <nop,nop,TS val 200 ecr 100>
icmp unreachable frag_needed mtu 1200 [1:1461(1460)]
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from .script import ANY, IcmpPacket, Option, ScriptError, TcpPacket, Unsupported, Wild

Defines = Mapping[str, str]

_SEQUENCE = re.compile(r"(?:(\d+)\s*:\s*(\d+)|(\.\.\.))\s*\((\d+)\)(!?)")
_STRANGE = re.compile(r"(ipv[46]|gre|mpls|encap|udp|udplite|sctp)\b|.*/udp")
_TOS = re.compile(r"\((?:tos|class)\s+(0x[0-9a-fA-F]+|\d+)\)\s*")
_TTL = re.compile(r"\((?:ttl|hlim)\s+(\d+)\)\s*")
_BRACKET = re.compile(r"\[([^\]]*)\]\s*")
_PORTS = re.compile(r"(\d+)\s*>\s*(\d+)\s+")
_ICMP = re.compile(r"icmp(?:v6)?\s+(\S+)\s*(.*)$")
_FLAGS = re.compile(r"([SFRP.UEWCA0-9-]+)\s+")
_FIELD = re.compile(r"(ack|win|urg)\s+(\d+)\s*")
_OPTIONS = re.compile(r"<([^<>]*)>\s*")
_ECN = {"ect0", "ect1", "ect01", "noecn", "ce"}
#: Options that are complete with their name, and those with numbers behind it.
_BARE, _NUMBERED = {"nop", "eol", "sackOK"}, {"mss", "wscale"}


def read_packet(text: str, defines: Defines, line: int) -> TcpPacket | IcmpPacket:
    """The packet that `text` describes; `line` is for errors."""
    if _STRANGE.match(text):
        raise Unsupported(f"no bare TCP packet (line {line})")
    head = TcpPacket(frozenset(), None, 0)
    quoted, text = _attributes(text, head, line)
    if match := _ICMP.match(text):
        return _icmp(match[1], match[2], quoted, defines, line)
    return _segment(text, head, defines, line)


def _attributes(text: str, head: TcpPacket, line: int) -> tuple[str, str]:
    """What may stand in front of the flags goes into `head`; returns an ICMP quote, and the rest."""
    quoted = ""
    while True:
        if match := _TOS.match(text):
            head.tos = int(match[1], 0)
        elif match := _TTL.match(text):
            head.ttl = int(match[1])
        elif match := _PORTS.match(text):
            head.ports = int(match[1]), int(match[2])
        elif match := _BRACKET.match(text):
            if _SEQUENCE.fullmatch(match[1].strip()):
                quoted = match[0]
            else:
                _bracketed(match[1], head, line)
        else:
            return quoted, text
        text = text[match.end() :]


def _bracketed(text: str, head: TcpPacket, line: int) -> None:
    for part in map(str.strip, text.split(",")):
        if part in _ECN:
            head.ecn = part
        elif part.startswith("tos "):
            head.tos = int(part[4:], 0)
        elif part.startswith("ttl "):
            head.ttl = int(part[4:])
        else:
            raise Unsupported(f"packet attribute [{text}] (line {line})")


def _icmp(kind: str, rest: str, quoted: str, defines: Defines, line: int) -> IcmpPacket:
    mtu, quote = 0, None
    if match := _BRACKET.search(quoted or rest):
        sequence = _SEQUENCE.fullmatch(match[1].strip())
        if sequence is None or sequence[3]:
            raise Unsupported(f"ICMP quote [{match[1]}] (line {line})")
        quote = int(sequence[1]), int(sequence[4])
        rest = rest.replace(match[0].strip(), "")
    if match := re.search(r"mtu\s+(\d+)", rest):
        mtu = int(match[1])
        rest = rest.replace(match[0], "")
    code = rest.strip()
    return IcmpPacket(kind, defines.get(code, code) or None, mtu, quote)


def _segment(text: str, packet: TcpPacket, defines: Defines, line: int) -> TcpPacket:
    match = _FLAGS.match(text)
    if match is None:
        raise ScriptError(f"line {line}: flags are expected, not {text!r}")
    if re.search(r"\d", match[1]):
        raise Unsupported(f"the ACE field of AccECN (line {line})")
    packet.flags = frozenset(match[1]) - {"-"}
    text = text[match.end() :]
    text = _sequence(text, packet, line)
    while text:
        if match := _FIELD.match(text):
            setattr(packet, {"ack": "ack", "win": "window", "urg": "urgent"}[match[1]], int(match[2]))
        elif match := _OPTIONS.match(text):
            packet.options = read_options(match[1], defines, line)
        else:
            raise Unsupported(f"packet field {text!r} (line {line})")
        text = text[match.end() :]
    return packet


def _sequence(text: str, packet: TcpPacket, line: int) -> str:
    """`first:end(length)`, or `...(length)`; returns what follows."""
    match = _SEQUENCE.match(text)
    if match is None:
        raise ScriptError(f"line {line}: sequence numbers are expected, not {text!r}")
    first, end, _, length, absolute = match.groups()
    packet.length = int(length)
    packet.absolute = bool(absolute)
    if first is not None:
        packet.seq = int(first)
        if (int(end) - int(first)) % 2**32 != packet.length:
            raise ScriptError(f"line {line}: {match[0]} is not {length} bytes long")
    return text[match.end() :].strip()


def read_options(text: str, defines: Defines, line: int) -> tuple[Option, ...] | Wild:
    """TCP options as between `<` and `>`."""
    if text.strip() == "...":
        return ANY
    return tuple(_option(part.split(), defines, line) for part in text.split(",") if part.strip())


def _option(words: list[str], defines: Defines, line: int) -> Option:
    def number(word: str) -> int:
        value = defines.get(word, word)
        if not value.isdecimal():
            raise Unsupported(f"TCP option {' '.join(words)!r} (line {line})")
        return int(value)

    kind = words[0]
    if kind in _BARE and len(words) == 1:
        return (kind,)
    if kind in _NUMBERED and len(words) == 2:
        return kind, number(words[1])
    if kind == "TS" and len(words) == 5:
        return kind, number(words[2]), number(words[4])
    if kind == "sack":
        edges = [block.partition(":") for block in words[1:]]
        return kind, tuple((number(left), number(right)) for left, _, right in edges)
    if kind in {"FO", "FOEXP"}:
        cookie = defines.get(words[1], words[1]) if len(words) > 1 else ""
        try:
            return kind, bytes.fromhex(cookie.removeprefix("0x"))
        except ValueError:
            pass
    raise Unsupported(f"TCP option {' '.join(words)!r} (line {line})")
