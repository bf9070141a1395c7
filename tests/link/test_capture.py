"""CaptureLink: the file says what passed.  The judges are scapy's reader and Wireshark's command line."""

from __future__ import annotations

import errno
import io
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw
from scapy.utils import RawPcapNgReader

from xtcp_twisted.errors import ConfigurationError, LinkError
from xtcp_twisted.link import CaptureLink, ImpairedLink, MemoryLink

INBOUND, OUTBOUND = 1, 2
PING = bytes(IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=2) / Raw(b"ping"))
PONG = bytes(IPv6(src="fd00::2", dst="fd00::1") / UDP(sport=2, dport=1) / Raw(b"pong!"))

exchanges = st.lists(
    st.tuples(
        st.sampled_from([INBOUND, OUTBOUND]), st.binary(min_size=1, max_size=100), st.integers(0, 2**50)
    )
)


def recorded(data: bytes) -> list[tuple[int, bytes, int, int]]:
    """(direction, bytes kept, microseconds, length on the wire) of each packet, as scapy reads them."""
    rows = []
    # scapy's annotations know neither file objects nor this reader's metadata.
    judge: Any = RawPcapNgReader
    with judge(io.BytesIO(data)) as reader:
        for packet, meta in reader:
            assert meta.linktype == 101
            assert meta.tsresol == 1_000_000
            rows.append((meta.direction, packet, meta.tshigh << 32 | meta.tslow, meta.wirelen))
    return rows


def exchange(link: CaptureLink, memory: MemoryLink) -> None:
    """One packet in at 1.5 s, one out at 1.75 s."""
    memory.deliver(PING)
    assert link.read(10, 1.5) == [PING]
    assert link.write([PONG], 1.75) == 1


@given(exchanges)
def test_every_packet_is_read_back(packets: list[tuple[int, bytes, int]]) -> None:
    memory, file = MemoryLink(), io.BytesIO()
    link = CaptureLink(memory, file, clock_offset=0)
    for direction, packet, time_us in packets:
        if direction == INBOUND:
            memory.deliver(packet)
            assert link.read(10, time_us / 1e6) == [packet]
        else:
            assert link.write([packet], time_us / 1e6) == 1
            assert [sent for _, sent in memory.take()] == [packet]
    link.close()
    expected = [(direction, packet, time_us, len(packet)) for direction, packet, time_us in packets]
    assert recorded(file.getvalue()) == expected
    assert link.captured == len(packets)


@given(st.binary(min_size=1, max_size=300), st.integers(1, 300))
def test_snaplen_cuts_the_record_and_not_the_packet(packet: bytes, snaplen: int) -> None:
    memory, file = MemoryLink(), io.BytesIO()
    link = CaptureLink(memory, file, snaplen=snaplen, clock_offset=0)
    memory.deliver(packet)
    assert link.read(1, 0.0) == [packet]
    assert recorded(file.getvalue()) == [(INBOUND, packet[:snaplen], 0, len(packet))]
    link.close()


def test_a_path_is_opened_flushed_and_closed(tmp_path: Path) -> None:
    memory, path = MemoryLink(), tmp_path / "traffic.pcapng"
    link = CaptureLink(memory, path, clock_offset=1000)
    exchange(link, memory)
    link.flush()
    rows = recorded(path.read_bytes())
    assert rows == [(INBOUND, PING, 1_001_500_000, len(PING)), (OUTBOUND, PONG, 1_001_750_000, len(PONG))]
    link.write([PONG], 2.0)
    link.close()
    link.close()
    assert len(recorded(path.read_bytes())) == 3
    assert memory.fileno() == -1


def test_an_open_file_stays_the_callers(tmp_path: Path) -> None:
    with open(tmp_path / "traffic.pcapng", "w+b") as file:
        memory = MemoryLink()
        link = CaptureLink(memory, file)
        exchange(link, memory)
        link.close()
        assert not file.closed
        file.seek(0)
        assert len(recorded(file.read())) == 2


def test_the_default_offset_is_the_wall_clock() -> None:
    file = io.BytesIO()
    link = CaptureLink(MemoryLink(), file)
    link.write([PONG], time.monotonic())
    [(_, _, time_us, _)] = recorded(file.getvalue())
    assert abs(time_us / 1e6 - time.time()) < 5


def test_what_the_other_side_refuses_is_in_the_file() -> None:
    memory, file = MemoryLink(), io.BytesIO()
    link = CaptureLink(memory, file)
    memory.close()
    assert link.write([PONG], 0.0) == 0
    assert (link.sent, link.dropped) == (1, 1)
    assert len(recorded(file.getvalue())) == 1


def test_inside_and_outside_of_a_bad_network() -> None:
    memory, near, far = MemoryLink(), io.BytesIO(), io.BytesIO()
    link = CaptureLink(ImpairedLink(CaptureLink(memory, far), loss=1.0), near)
    link.write([PONG], 0.0)
    assert len(recorded(near.getvalue())) == 1
    assert recorded(far.getvalue()) == []
    assert link.fileno() == memory.fileno()


class FullDisk(io.BytesIO):
    def write(self, data: Any) -> int:
        if self.tell() > 200:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)


def test_a_full_disk_ends_the_capture_and_not_the_traffic() -> None:
    memory, file = MemoryLink(), FullDisk()
    link = CaptureLink(memory, file)
    for now in range(10):
        assert link.write([PONG], now) == 1
    assert len(memory.take()) == 10
    assert isinstance(link.error, OSError)
    assert link.error.errno == errno.ENOSPC
    assert link.captured == len(recorded(file.getvalue())) < 10


def test_a_full_disk_behind_a_path(tmp_path: Path) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    memory = MemoryLink()
    link = CaptureLink(memory, "/dev/full")
    assert link.write([PONG], 0.0) == 1
    link.flush()
    assert isinstance(link.error, OSError)
    assert link.write([PONG], 0.0) == 1
    link.close()


def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match="snaplen: 0 is not allowed; give an integer from 1 to 65,535"
    ):
        CaptureLink(MemoryLink(), io.BytesIO(), snaplen=0)
    with pytest.raises(LinkError, match="capture: .*nowhere/file cannot be written: No such file"):
        CaptureLink(MemoryLink(), tmp_path / "nowhere" / "file")


def tshark(path: Path, *fields: str) -> list[list[str]]:
    program = shutil.which("tshark")
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("needs tshark (apt-get install tshark)", pytrace=False)
        pytest.skip("needs tshark (apt-get install tshark)")
    options = [option for field in fields for option in ("-e", field)]
    # A home of its own, since tshark reads and writes preferences.
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [program, "-r", str(path), "-T", "fields", *options],
            check=False,
            env={"PATH": os.environ["PATH"], "HOME": home, "TZ": "UTC"},
            capture_output=True,
            text=True,
            timeout=60,
        )
    complaints = [line for line in done.stderr.splitlines() if "Running as user" not in line]
    assert (done.returncode, complaints) == (0, [])
    return [line.split("\t") for line in done.stdout.splitlines()]


def test_wireshark_reads_it_without_complaint(tmp_path: Path) -> None:
    memory, path = MemoryLink(), tmp_path / "traffic.pcapng"
    link = CaptureLink(memory, path, clock_offset=1_700_000_000, name="xt0")
    exchange(link, memory)
    link.close()
    rows = tshark(
        path,
        "frame.time_epoch",
        "frame.interface_name",
        "frame.packet_flags_direction",
        "frame.len",
        "ip.dst",
        "ipv6.dst",
        "udp.dstport",
        "_ws.malformed",
    )
    moments = [float(row[0]) for row in rows]
    assert moments == [1_700_000_001.5, 1_700_000_001.75]
    assert [[row[1], int(row[2], 0), *row[3:]] for row in rows] == [
        ["xt0", INBOUND, str(len(PING)), "10.0.0.2", "", "2", ""],
        ["xt0", OUTBOUND, str(len(PONG)), "", "fd00::1", "1", ""],
    ]


def test_wireshark_reads_cut_packets(tmp_path: Path) -> None:
    memory, path = MemoryLink(), tmp_path / "traffic.pcapng"
    link = CaptureLink(memory, path, snaplen=29)
    exchange(link, memory)
    link.close()
    rows = tshark(path, "frame.cap_len", "frame.len")
    assert rows == [["29", str(len(PING))], ["29", str(len(PONG))]]
