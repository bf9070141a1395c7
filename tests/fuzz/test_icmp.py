"""Broken and random ICMP and extension headers: bounded answers, no connection hurt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet6 import IPv6
from support.icmp import message, ping, too_big
from support.net import PEER_V4, PEER_V6, V4, V6, Net
from support.packets import build
from support.storm import Storm

from xtcp_twisted.config import ALL

families = pytest.mark.parametrize("v6", [False, True], ids=["IPv4", "IPv6"])


class Target:
    """A storm whose victim has an answer in flight, so that errors about it are believed."""

    def __init__(self, v6: bool, net: Net | None = None) -> None:
        self.v6 = v6
        self.storm = Storm(v6, net)
        self.peer, self.here = (PEER_V6, V6) if v6 else (PEER_V4, V4)
        victim = self.storm.victim
        self.storm.group.send(victim.cd, bytes(3_000), ackd=ALL)
        self.storm.net.flush()
        self.quoted = self.storm.net.strays[0].raw
        self.storm.net.strays.clear()

    def messages(self) -> dict[str, tuple[int, int, int, bytes]]:
        """Kind, code, rest and data of what makes the engine do something."""
        if self.v6:
            return {
                "echo": (128, 0, 1, b"abcdef"),
                "unreachable": (1, 4, 0, self.quoted[:72]),
                "too big": (2, 0, 1_300, self.quoted[:72]),
            }
        return {
            "echo": (8, 0, 1, b"abcdef"),
            "unreachable": (3, 3, 0, self.quoted[:52]),
            "too big": (3, 4, 1_300, self.quoted[:52]),
        }

    def packet(self, whole: bytes) -> bytes:
        """A packet with the ICMP header and data `whole`, its checksum right."""
        whole += bytes(max(0, 8 - len(whole)))
        return message(
            self.peer, self.here, whole[0], whole[1], rest=int.from_bytes(whole[4:8]), data=whole[8:]
        )

    def whole(self, name: str) -> bytes:
        kind, code, rest, data = self.messages()[name]
        return bytes((kind, code, 0, 0)) + rest.to_bytes(4) + data

    def survived(self) -> None:
        """The victim lives, and its segments have a size that is worth sending."""
        info = self.storm.group.info(self.storm.victim.cd)
        assert info.state == "ESTABLISHED"
        assert info.mss >= (1_220 if self.v6 else 512)
        self.storm.survived()


@families
@pytest.mark.parametrize("name", ["echo", "unreachable", "too big"])
def test_every_truncation(net: Net, v6: bool, name: str) -> None:
    target = Target(v6, net)
    whole = target.whole(name)
    target.storm.rain(target.packet(whole[:length]) for length in range(8, len(whole)))
    target.survived()


@families
@pytest.mark.parametrize("name", ["echo", "unreachable", "too big"])
def test_every_value_of_every_byte(net: Net, v6: bool, name: str) -> None:
    """Right checksums, any field may lie: in the header of the message and in what it quotes."""
    target = Target(v6, net)
    whole = target.whole(name)
    for place in range(len(whole)):
        target.storm.rain(
            target.packet(whole[:place] + bytes((value,)) + whole[place + 1 :]) for value in range(256)
        )
        target.storm.net.messages.clear()
        target.storm.net.strays.clear()
    target.survived()


@given(st.booleans(), st.integers(0, 255), st.integers(0, 255), st.binary(max_size=200), st.booleans())
def test_random_messages(v6: bool, kind: int, code: int, rest: bytes, quoting: bool) -> None:
    """At most one answer each, and no larger than what came, its own headers aside."""
    target = Target(v6)
    header = bytes((kind, code, 0, 0)) + (rest[:4] + bytes(4))[:4]
    packet = target.packet(header + (target.quoted[:60] if quoting else b"") + rest[4:])
    target.storm.rain([packet])
    assert len(target.storm.net.messages) <= 1
    for answer in target.storm.net.messages:
        assert len(answer.raw) <= len(packet)
    target.survived()
    target.storm.net.close()


@given(st.lists(st.tuples(st.integers(-5_000, 5_000), st.integers(0, 70_000)), max_size=20), st.booleans())
def test_random_sizes(claims: list[tuple[int, int]], v6: bool) -> None:
    """Packet-too-big with any MTU about any number near the window."""
    target = Target(v6)
    at = (40 if v6 else 20) + 4
    for offset, mtu in claims:
        seq = (int.from_bytes(target.quoted[at : at + 4]) + offset) % 2**32
        bent = target.quoted[:at] + seq.to_bytes(4) + target.quoted[at + 4 :]
        target.storm.rain([too_big("2001:db8:f::1" if v6 else "203.0.113.1", bent, mtu % (2**16))])
        target.storm.net.advance(0.3)
    target.survived()
    target.storm.net.close()


@given(
    st.lists(
        st.tuples(st.sampled_from([0, 43, 44, 60, 51, 59]), st.integers(0, 4), st.binary(max_size=48)),
        max_size=12,
    ),
    st.sampled_from([6, 17, 58, 59, 0, 41]),
)
def test_random_chains_of_extension_headers(chain: list[tuple[int, int, bytes]], last: int) -> None:
    """attacks.md 34: any kinds, lengths that lie, options at random."""
    storm = Storm(True)
    kinds = [kind for kind, _, _ in chain] + [last]
    area = b"".join(
        bytes((kinds[i + 1], length)) + (data + bytes(64))[: 6 + 8 * length]
        for i, (_, length, data) in enumerate(chain)
    )
    body = build(PEER_V6, V6, 999, 7, seq=1, flags="S")[40:] if last == 6 else ping(PEER_V6, V6)[40:]
    packet = bytes(IPv6(src=PEER_V6, dst=V6, nh=kinds[0])) + area + body
    storm.rain([packet[:4] + (len(packet) - 40).to_bytes(2) + packet[6:]])
    assert len(storm.net.messages) <= 1
    for told in storm.net.messages:
        assert told.type == 129 or told.rest < len(packet), "the pointer lies in the packet"
    storm.survived()
    storm.net.close()
