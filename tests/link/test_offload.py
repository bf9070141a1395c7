"""Links with offload: the virtio header, and wrappers that look into packets.

The judge is a network card made of scapy (`support.virtio`).
"""

from __future__ import annotations

import io
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.utils import RawPcapNgReader
from support.packets import build, read
from support.virtio import ECN, FORM, TCP4, TCP6, Header, headers_of, offloaded, packets_of, plain

from xtcp_twisted.errors import LocalError
from xtcp_twisted.link import CaptureLink, ImpairedLink, MemoryLink

V4, V6 = ("198.51.100.7", "192.0.2.1"), ("2001:db8:c::7", "2001:db8::1")


def packet(size: int, v6: bool = False, flags: str = "PA") -> bytes:
    source, target = V6 if v6 else V4
    data = bytes(i % 251 for i in range(size))
    return build(source, target, 4000, 7, seq=2**32 - 5, ack=1, flags=flags, data=data)


def through(link: Any, frame: bytes) -> list[bytes]:
    """What comes out of a link for a frame that goes in."""
    base = link.inner if isinstance(link, ImpairedLink | CaptureLink) else link
    base.deliver(frame)
    return list(link.read(1_000, 1.0))


class TestHeader:
    @pytest.mark.parametrize("v6", [False, True], ids=["IPv4", "IPv6"])
    @pytest.mark.parametrize("size", [0, 1, 1_000, 60_000])
    def test_a_partial_checksum_is_completed_for_who_reads(self, size: int, v6: bool) -> None:
        whole = packet(size, v6)
        assert through(MemoryLink(offload=True), offloaded(whole)) == [whole]

    def test_a_plain_packet_stays_as_it_is(self) -> None:
        assert through(MemoryLink(offload=True), plain(b"anything")) == [b"anything"]

    def test_an_empty_or_short_frame_is_refused(self) -> None:
        link = MemoryLink(offload=True)
        for size in range(FORM.size):
            assert through(link, bytes(size)) == []
        assert link.refused == FORM.size
        assert through(link, bytes(FORM.size)) == [b""]

    def test_the_longest_packet_passes(self) -> None:
        link = MemoryLink(offload=True)
        link.deliver(plain(bytes(65_535)))
        with pytest.raises(LocalError, match="65,536 bytes is not an IP packet"):
            link.deliver(plain(bytes(65_536)))
        assert link.read(1, 0.0) == [bytes(65_535)]

    @pytest.mark.parametrize("v6", [False, True], ids=["IPv4", "IPv6"])
    def test_each_field_at_its_edges(self, v6: bool) -> None:
        """Attack row 32: what lies outside of the packet is refused and counted, the rest harmless."""
        whole = packet(3_000, v6)
        edges = (0, 1, len(whole) - 1, len(whole), 65_535)
        kinds = (0, TCP4, TCP6, 3, 5, TCP4 | ECN, TCP6 | ECN, ECN, 255)
        link = MemoryLink(offload=True)
        bad = ImpairedLink(MemoryLink(offload=True))
        tried = taken = 0
        fields = itertools.product((0, 1, 2, 255), kinds, edges, edges, edges, edges)
        for flags, kind, hdr_len, gso_size, start, offset in fields:
            header = Header(flags, kind, hdr_len, gso_size, start, offset)
            good = acceptable(header, whole)
            tried += 1
            got = through(link, bytes(header) + whole)
            assert (len(got) == 1) == good, header
            taken += good
            if kind and tried % 7 == 0:
                through(bad, bytes(header) + whole)
        assert link.refused == tried - taken
        assert taken

    @given(header=st.binary(min_size=10, max_size=10), rest=st.binary(max_size=200))
    def test_no_header_breaks_anything(self, header: bytes, rest: bytes) -> None:
        for link in (MemoryLink(offload=True), ImpairedLink(MemoryLink(offload=True), corrupt=0.5)):
            through(link, header + rest)
            link.close()


def acceptable(header: Header, whole: bytes) -> bool:
    """The rules of virtio 1.2 section 5.1.6, as far as what was agreed goes."""
    if header.hdr_len > len(whole):
        return False
    partial = bool(header.flags & 1)
    if partial and header.csum_start + header.csum_offset + 2 > len(whole):
        return False
    if header.gso_type == 0:
        return True
    if header.gso_type & ~ECN != (TCP4 if whole[0] >> 4 == 4 else TCP6):
        return False
    return 0 < header.gso_size < len(whole) and (partial or bool(header.flags & 2))


class TestImpaired:
    @pytest.mark.parametrize("v6", [False, True], ids=["IPv4", "IPv6"])
    @given(
        size=st.integers(1, 20_000),
        segment=st.integers(100, 9_000),
        flags=st.sampled_from(["A", "PA", "FPA"]),
    )
    def test_a_super_segment_enters_as_packets(self, v6: bool, size: int, segment: int, flags: str) -> None:
        """Inbound, they are what a card would have sent."""
        whole = packet(size, v6, flags)
        frame = offloaded(whole, segment) if size > segment else offloaded(whole)
        link = ImpairedLink(MemoryLink(offload=True))
        got = through(link, frame)
        assert got == packets_of(frame, 65_535)
        for one in got:
            read(0.0, one)

    def test_cwr_stays_on_the_first(self) -> None:
        """RFC 3168 section 6.1.2."""
        frame = offloaded(packet(3_000, flags="CA"), 1_000)
        got = through(ImpairedLink(MemoryLink(offload=True)), frame)
        assert [one[33] & 0x80 for one in got] == [0x80, 0, 0]

    def test_packets_are_lost_one_by_one(self) -> None:
        link = ImpairedLink(MemoryLink(offload=True), loss=0.5, seed=3)
        got = through(link, offloaded(packet(40_000), 1_000))
        assert link.inbound.packets == 40
        assert 10 < len(got) == 40 - link.inbound.lost < 30

    def test_what_cannot_be_cut_is_refused(self) -> None:
        whole = bytearray(packet(3_000))
        whole[32] = 0x40
        link = ImpairedLink(MemoryLink(offload=True))
        assert through(link, bytes(Header(1, TCP4, 40, 1_000, 20, 16)) + bytes(whole)) == []
        assert link.refused == 1

    def test_a_wrapper_tells_what_its_link_refused(self) -> None:
        inner = MemoryLink(offload=True)
        link = ImpairedLink(inner)
        assert through(link, b"short") == []
        assert (link.refused, inner.refused, link.offload) == (1, 1, True)


def test_a_capture_holds_whole_packets_with_valid_checksums() -> None:
    file = io.BytesIO()
    link = CaptureLink(MemoryLink(offload=True), file, clock_offset=0)
    whole = packet(40_000)
    assert through(link, offloaded(whole, 1_448)) == [whole]
    link.flush()
    reader: Any = RawPcapNgReader
    with reader(io.BytesIO(file.getvalue())) as rows:
        [(kept, _)] = list(rows)
    assert kept == whole
    assert read(0.0, kept).data == whole[headers_of(whole)[1] :]


def test_a_short_capture_of_it() -> None:
    file = io.BytesIO()
    link = CaptureLink(MemoryLink(offload=True), file, clock_offset=0, snaplen=64)
    whole = packet(40_000)
    through(link, offloaded(whole, 1_448))
    link.flush()
    assert whole[:64] in file.getvalue()
    assert whole[:65] not in file.getvalue()
