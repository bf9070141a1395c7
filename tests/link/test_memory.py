"""MemoryLink: two lists of packets, and a descriptor that tells the truth about one of them."""

from __future__ import annotations

import os
import select

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtcp_twisted.errors import ConfigurationError, LinkError, LocalError
from xtcp_twisted.link import Link, MemoryLink


def readable(link: Link) -> bool:
    return bool(select.select([link.fileno()], [], [], 0)[0])


@given(st.lists(st.binary(max_size=200)), st.integers(1, 10))
def test_delivered_packets_are_read_in_order(packets: list[bytes], limit: int) -> None:
    link = MemoryLink()
    for packet in packets:
        link.deliver(packet)
    read = []
    while batch := link.read(limit, 0.0):
        assert len(batch) <= limit
        read += batch
    assert read == packets
    assert link.received == len(packets)
    link.close()


@given(st.lists(st.sampled_from(["deliver", "read", "read all"]), max_size=30))
def test_descriptor_is_readable_exactly_while_packets_wait(steps: list[str]) -> None:
    link = MemoryLink()
    for step in steps:
        if step == "deliver":
            link.deliver(b"packet")
        else:
            link.read(1 if step == "read" else 1000, 0.0)
        assert readable(link) == (link.pending > 0)
    link.close()


def test_descriptor_is_quiet_when_all_that_waited_was_refused() -> None:
    """Else whoever waits for it is woken for ever."""
    link = MemoryLink(offload=True)
    link.deliver(b"shorter than its header")
    link.deliver(b"short")
    link.read(1, 0.0)
    assert link.read(1, 0.0) == [] and link.refused >= 1
    assert link.pending == 0 and not readable(link)
    link.deliver(b"short")
    assert readable(link)
    link.close()


def test_sent_packets_are_taken_once_with_their_times() -> None:
    link = MemoryLink()
    assert link.write([b"one", bytearray(b"two")], 1.25) == 2
    assert link.write([memoryview(b"three")], 2.000001) == 1
    assert link.take() == [(1.25, b"one"), (1.25, b"two"), (2.000001, b"three")]
    assert link.take() == []
    assert (link.sent, link.dropped) == (3, 0)


def test_largest_packet_passes_and_a_longer_one_is_refused() -> None:
    link = MemoryLink()
    link.deliver(bytes(65_535))
    with pytest.raises(LocalError, match="65,536 bytes is not an IP packet"):
        link.deliver(bytes(65_536))
    assert link.pending == 1
    assert link.read(1, 0.0) == [bytes(65_535)]
    with pytest.raises(LocalError, match="65,536 bytes"):
        link.write([b"good", bytes(65_536)], 0.0)
    assert link.take() == []


@pytest.mark.parametrize("packet", [5, "text", None])
def test_only_bytes_are_packets(packet: object) -> None:
    with pytest.raises(TypeError):
        MemoryLink().deliver(packet)  # type: ignore[arg-type]


@pytest.mark.parametrize("mtu", [67, 65_536, -1])
def test_mtu_out_of_range(mtu: int) -> None:
    with pytest.raises(ConfigurationError, match="mtu: .* give an integer from 68 to 65,535"):
        MemoryLink(mtu)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_of_none_reads_nothing(limit: int) -> None:
    link = MemoryLink()
    link.deliver(b"packet")
    assert link.read(limit, 0.0) == []
    assert link.pending == 1


def test_closed_link() -> None:
    link = MemoryLink()
    descriptor = link.fileno()
    link.write([b"sent before"], 0.0)
    link.deliver(b"forgotten")
    link.close()
    link.close()
    with pytest.raises(OSError):
        os.fstat(descriptor)
    assert link.fileno() == -1
    assert link.pending == 0
    with pytest.raises(LinkError, match="closed"):
        link.deliver(b"late")
    with pytest.raises(LinkError, match="closed"):
        link.read(1, 0.0)
    assert link.write([b"late"], 0.0) == 0
    assert link.dropped == 1
    assert link.take() == [(0.0, b"sent before")]


def test_descriptor_goes_with_the_link() -> None:
    link = MemoryLink()
    descriptor = link.fileno()
    del link
    with pytest.raises(OSError):
        os.fstat(descriptor)


def test_the_base_moves_nothing() -> None:
    link = Link()
    with pytest.raises(NotImplementedError):
        link.read(1, 0.0)
    with pytest.raises(NotImplementedError):
        link.write([b"packet"], 0.0)
    assert link.fileno() == -1
    assert link.next_time() is None
