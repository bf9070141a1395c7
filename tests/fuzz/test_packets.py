"""Truncated, corrupted and random packets: counted, never an exception, no answer where none is due.

Nothing a packet contains may raise into the reactor.  After each storm a good
connection, made before it, and a new one still work.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.net import PEER_V4, PEER_V6, V4, V6, Net
from support.packets import build, fix_checksums
from support.storm import Storm, silent
from support.virtio import KNOWN_KINDS, Header

from xtcp_twisted.errors import LocalError

families = pytest.mark.parametrize("v6", [False, True], ids=["IPv4", "IPv6"])


@pytest.fixture
def storm_of(net: Net) -> Callable[[bool], Storm]:
    return lambda v6: Storm(v6, net)


@families
@pytest.mark.parametrize("kind", ["syn", "data"])
def test_every_truncation(storm_of: Callable[[bool], Storm], v6: bool, kind: str) -> None:
    """Cut at each length from nothing to one byte less: the lengths disagree, so all are dropped."""
    storm = storm_of(v6)
    whole = getattr(storm, kind)()
    storm.rain(whole[:length] for length in range(len(whole)))
    silent(storm)
    storm.survived()


@families
@pytest.mark.parametrize("kind", ["syn", "data"])
def test_every_truncation_with_its_lengths_put_right(
    storm_of: Callable[[bool], Storm], v6: bool, kind: str
) -> None:
    """The same with IP length and checksums corrected: the cut goes through TCP header, options and data."""
    storm = storm_of(v6)
    whole = getattr(storm, kind)()
    packets = []
    for length in range(storm.header, len(whole)):
        cut = bytearray(whole[:length])
        if v6:
            cut[4:6] = (length - 40).to_bytes(2)
        else:
            cut[2:4] = length.to_bytes(2)
        packets.append(fix_checksums(bytes(cut)))
    storm.rain(packets)
    storm.survived()


@families
def test_every_value_of_every_header_byte(storm_of: Callable[[bool], Storm], v6: bool) -> None:
    """One byte is wrong and the checksums are not: what they cover is dropped without a word."""
    storm = storm_of(v6)
    whole = storm.data()
    # Traffic class, flow label, next header and hop limit of IPv6 are covered by no checksum.
    free = {0, 1, 2, 3, 6, 7} if v6 else set()
    for place in range(storm.header + 32):
        if place not in free:
            storm.rain(
                whole[:place] + bytes((value,)) + whole[place + 1 :]
                for value in range(256)
                if value != whole[place]
            )
    silent(storm)
    storm.survived()


@families
def test_every_value_of_every_header_byte_with_right_checksums(
    storm_of: Callable[[bool], Storm], v6: bool
) -> None:
    """The same behind the checksum: any field may lie, only the witness must not notice."""
    storm = storm_of(v6)
    for place in range(storm.header + 32):
        storm.fresh_victim()
        for whole in (storm.data(), storm.syn()):
            if place in range(12 if not v6 else 8, storm.header):
                continue  # another address is another conversation
            bent = (whole[:place] + bytes((value,)) + whole[place + 1 :] for value in range(256))
            storm.rain(
                fix_checksums(packet)
                for packet in bent
                if packet[storm.header : storm.header + 2] != storm.witness.sport.to_bytes(2)
            )
        storm.net.strays.clear()
        storm.net.messages.clear()
    storm.survived()


@families
def test_garbage(storm_of: Callable[[bool], Storm], v6: bool) -> None:
    """Random bytes of random lengths, half of them with a plausible first byte."""
    import random

    storm = storm_of(v6)
    dice = random.Random(7)
    packets = []
    for _ in range(2_000):
        packet = bytearray(dice.randbytes(dice.randrange(0, 200)))
        if packet and dice.random() < 0.5:
            packet[0] = dice.choice((0x45, 0x46, 0x4F, 0x60))
        packets.append(bytes(packet))
    storm.rain(packets)
    silent(storm)
    storm.survived()


@pytest.mark.parametrize("size", [1, 1_279, 1_500, 1_501, 9_000, 65_535])
@families
def test_sizes(storm_of: Callable[[bool], Storm], v6: bool, size: int) -> None:
    """attacks.md 33: larger than the MTU, up to the largest that IP can say."""
    storm = storm_of(v6)
    whole = storm.victim.packet(bytes(max(0, size - storm.header - 32)), "PA")
    storm.rain([whole, whole[:size]])
    storm.survived()


def test_a_packet_longer_than_ip_can_say(storm_of: Callable[[bool], Storm]) -> None:
    storm = storm_of(False)
    with pytest.raises(LocalError, match="65,535"):
        storm.rain([storm.data() + bytes(70_000)])
    storm.survived()


@given(st.booleans(), st.binary(max_size=120), st.booleans())
def test_random_bytes_behind_a_valid_ip_header(v6: bool, rest: bytes, fixed: bool) -> None:
    storm = Storm(v6)
    src, dst = (PEER_V6, V6) if v6 else (PEER_V4, V4)
    header = bytearray(build(src, dst, 1, 7, seq=0)[: storm.header])
    if v6:
        header[4:6] = len(rest).to_bytes(2)
    else:
        header[2:4] = (20 + len(rest)).to_bytes(2)
    packet = bytes(header) + rest
    storm.rain([fix_checksums(packet) if fixed else packet])
    storm.survived()
    storm.net.close()


@pytest.mark.requirement("RFC 9293 MUST-7")
@given(st.booleans(), st.binary(min_size=1, max_size=40), st.sampled_from(["S", "A", "PA", "FA", "R", "SA"]))
def test_random_options(v6: bool, area: bytes, flags: str) -> None:
    """RFC 9293 MUST-7, on a SYN and inside of a connection."""
    storm = Storm(v6)
    storm.rain(
        [
            storm.victim.packet(b"data", flags, raw_options=area),
            build(storm.victim.ip, storm.victim.server, 63_000, 7, seq=9, flags=flags, raw_options=area),
        ]
    )
    storm.survived()
    storm.net.close()


@given(
    st.lists(
        st.tuples(
            st.integers(-(2**17), 2**17),
            st.integers(-(2**17), 2**17),
            st.sets(st.sampled_from("FSRPAUEC")),
            st.integers(0, 65_535),
            st.binary(max_size=64),
        ),
        max_size=30,
    )
)
def test_random_segments_of_a_connection(segments: list[tuple[int, int, set[str], int, bytes]]) -> None:
    """Right checksums, numbers near the window, any flags: the state machine under fire."""
    storm = Storm()
    for seq, ack, flags, window, data in segments:
        packet = storm.victim.packet(
            data, "".join(sorted(flags)), seq=seq, ack=ack, win=window, urgent=window
        )
        storm.rain([packet])
        storm.net.advance(0.05)
    storm.survived()
    storm.net.close()


def test_a_bad_packet_is_counted(net: Net) -> None:
    """By cause: what is wrong can be read from the counters."""
    storm = Storm(net=net)
    before = net.counters()
    whole = storm.data()
    storm.rain([whole[:10], whole[:-1], bytes(len(whole)), whole[:-1] + b"?", b""])
    after = net.counters()
    grown = {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}
    assert len(grown) >= 2, grown
    assert after["InCsumErrors"] - before["InCsumErrors"] == 1
    storm.survived()


@pytest.mark.skipif("XTCP_SOAK" not in os.environ, reason="a soak: XTCP_SOAK=1 runs it")
def test_soak() -> None:
    """A million mutations of valid packets."""
    import random

    storm = Storm()
    dice = random.Random(int(os.environ["XTCP_SOAK"]))
    for round_ in range(10_000):
        if round_ % 10 == 0:
            storm.fresh_victim()
        packets = []
        for _ in range(100):
            packet = bytearray(dice.choice((storm.data, storm.syn))())
            for _ in range(dice.randrange(1, 5)):
                packet[dice.randrange(20, len(packet))] = dice.randrange(256)
            packets.append(fix_checksums(bytes(packet)))
        storm.rain(packets)
        storm.net.advance(dice.random())
        storm.net.strays.clear()
    storm.survived()


@given(data=st.data())
def test_virtio_headers(data: st.DataObject) -> None:
    """Any header before packets that are good, damaged or random: counted or harmless, never an exception."""
    net = Net(offload=True)
    storm = Storm(data.draw(st.booleans()), net)
    words = st.sampled_from([0, 1, 16, 20, 40, 52, 60, 1000, 65_535])
    for _ in range(10):
        header = Header(
            data.draw(st.sampled_from([0, 1, 2, 3, 255])),
            data.draw(st.sampled_from([*KNOWN_KINDS, 3, 5, 255])),
            *(data.draw(words) for _ in range(4)),
        )
        packet = bytearray(storm.data())
        for place in data.draw(st.lists(st.integers(0, len(packet) - 1), max_size=2)):
            packet[place] ^= data.draw(st.integers(1, 255))
        net.link.link.deliver(bytes(header) + bytes(packet)[: data.draw(st.integers(0, len(packet)))])
    net.engine.poll(net.now)
    net.engine.flush(net.now)
    assert net.link.link.pending == 0
    net.engine.close()
