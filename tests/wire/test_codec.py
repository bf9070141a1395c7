"""The parser and the checksum against scapy (P32, P33; RFC 9293 3.1, RFC 8200, RFC 1071)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP
from scapy.utils import checksum as internet_checksum
from support.packets import Options, build, fix_checksums

from xtcp_twisted.wire import codec

V4 = ("198.51.100.7", "192.0.2.1")
V6 = ("2001:db8:c::7", "2001:db8::1")
Family = tuple[str, str]
families = st.sampled_from([V4, V6])
u16, u32 = st.integers(0, 0xFFFF), st.integers(0, 0xFFFF_FFFF)
flags = st.sampled_from(["S", "A", "SA", "FA", "PA", "R", "RA"])
options = st.lists(
    st.sampled_from(
        [("NOP", None), ("MSS", 1460), ("WScale", 7), ("SAckOK", b""), ("Timestamp", (1, 2)), (253, b"ab")]
    ),
    unique_by=lambda o: o[0],
    max_size=4,
)


class TestChecksum:
    @given(st.binary(max_size=3_000))
    def test_against_scapy(self, data: bytes) -> None:
        """Odd and even lengths, every alignment of carries."""
        assert codec.checksum(data) == internet_checksum(data)

    @pytest.mark.parametrize(
        "data, expected",
        [
            (b"", 0xFFFF),
            (b"\0" * 1_500, 0xFFFF),
            (b"\xff" * 1_500, 0x0000),
            (b"\xff" * 65_535, 0x00FF),
            (bytes((0x00, 0x01, 0xF2, 0x03, 0xF4, 0xF5, 0xF6, 0xF7)), 0x220D),
        ],
        ids=["empty", "zeros", "ones", "longest", "RFC 1071 section 3"],
    )
    def test_known_sums(self, data: bytes, expected: int) -> None:
        assert codec.checksum(data) == expected

    @given(st.binary(max_size=200).filter(lambda d: len(d) % 2 == 0), st.binary(max_size=200))
    def test_a_sum_can_be_continued(self, head: bytes, tail: bytes) -> None:
        """`initial` is the sum of what came before: a pseudo header (RFC 1071 section 2 (A))."""
        initial = ~codec.checksum(head) & 0xFFFF
        assert codec.checksum(tail, initial) % 0xFFFF == codec.checksum(head + tail) % 0xFFFF

    @given(st.integers(0, 31), st.binary(min_size=32, max_size=600))
    def test_at_any_alignment(self, shift: int, data: bytes) -> None:
        assert codec.checksum(memoryview(data)[shift:].tobytes()) == internet_checksum(data[shift:])


class TestParse:
    @pytest.mark.requirement("RFC 9293 MUST-1")
    @given(families, u16, u16, u32, u32, u16, options, st.binary(max_size=1_200), flags)
    def test_fields_as_scapy_wrote_them(
        self,
        family: Family,
        sport: int,
        dport: int,
        seq: int,
        ack: int,
        window: int,
        opts: Options,
        data: bytes,
        flags: str,
    ) -> None:
        raw = build(
            *family,
            sport,
            dport,
            seq=seq,
            ack=ack,
            flags=flags,
            window=window,
            options=opts,
            data=data,
        )
        got = codec.parse(raw)
        assert isinstance(got, dict), got
        assert (got["sport"], got["dport"], got["seq"], got["ack"]) == (sport, dport, seq, ack)
        assert got["window"] == window
        assert got["payload"] == data
        assert got["flags"] == TCP(flags=flags).flags.value
        assert (got["src"], got["dst"]) == family

    @given(families, st.integers(0, 65_535), st.integers(0, 14), u32, u32)
    def test_options(self, family: Family, mss: int, scale: int, tsval: int, tsecr: int) -> None:
        opts = [("MSS", mss), ("WScale", scale), ("SAckOK", b""), ("Timestamp", (tsval, tsecr))]
        got = codec.parse(build(*family, 1, 2, seq=0, flags="S", options=opts))
        assert isinstance(got, dict), got
        assert (got["mss"], got["wscale"], got["tsval"], got["tsecr"]) == (mss, scale, tsval, tsecr)

    @pytest.mark.requirement("RFC 9293 MUST-3", "RFC 8200 8.1")
    @given(families, st.binary(min_size=1, max_size=300), st.data())
    def test_one_flipped_bit_is_found(self, family: Family, data: bytes, draw: st.DataObject) -> None:
        """The Internet checksum finds every single-bit error that it covers (RFC 1071)."""
        raw = bytearray(build(*family, 1, 2, seq=3, ack=4, data=data))
        start = 20 if family is V4 else 40
        bit = draw.draw(st.integers(start * 8, len(raw) * 8 - 1))
        raw[bit // 8] ^= 1 << bit % 8
        assert isinstance(codec.parse(bytes(raw)), str)

    @pytest.mark.parametrize("family", [V4, V6])
    def test_every_truncation_has_a_reason(self, family: Family) -> None:
        raw = build(*family, 1, 2, seq=3, ack=4, options=[("MSS", 1460)], data=b"payload")
        for length in range(len(raw)):
            reason = codec.parse(raw[:length])
            assert isinstance(reason, str) and reason, f"{length} bytes were taken for a packet"

    @given(st.binary(max_size=200))
    def test_any_bytes_give_fields_or_a_reason(self, raw: bytes) -> None:
        assert isinstance(codec.parse(raw), dict | str)

    @given(families, st.binary(min_size=4, max_size=40))
    def test_any_option_bytes_give_fields_or_a_reason(self, family: Family, area: bytes) -> None:
        raw = build(*family, 1, 2, seq=3, flags="S", raw_options=area[: len(area) & ~3], data=b"x")
        got = codec.parse(raw)
        assert isinstance(got, str) or got["payload"] == b"x"

    @given(families, st.integers(0, 59), st.integers(0, 255))
    def test_any_header_byte(self, family: Family, place: int, value: int) -> None:
        """With its checksums put right again, so that the fields behind them are reached."""
        raw = bytearray(build(*family, 1, 2, seq=3, ack=4, data=b"0123456789" * 3))
        raw[place] = value
        got = codec.parse(fix_checksums(bytes(raw)))
        assert isinstance(got, str) or len(got["payload"]) <= len(raw) - 40

    def test_bytes_behind_the_total_length_are_not_payload(self) -> None:
        raw = bytes(IP(src=V4[0], dst=V4[1]) / TCP(sport=1, dport=2, flags="A") / b"data")
        got = codec.parse(raw + b"padding")
        assert isinstance(got, dict) and got["payload"] == b"data"

    def test_reasons_differ(self) -> None:
        """A counter per reason is of use only if the reasons tell causes apart."""
        good = build(*V4, 1, 2, seq=3, ack=4, data=b"data")
        bad = [
            codec.parse(good[:10]),
            codec.parse(b"\x55" + good[1:]),
            codec.parse(build(*V4, 1, 2, seq=3, ip={"flags": "MF"})),
            codec.parse(build(*V4, 1, 2, seq=3, tcp={"chksum": 1})),
            codec.parse(build(*V4, 1, 2, seq=3, ip={"proto": 17})),
        ]
        assert all(isinstance(reason, str) for reason in bad)
        assert len(set(map(str, bad))) >= 4, bad
