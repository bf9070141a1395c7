"""The judge of the other tests is itself able to condemn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.judge import Judge, unwrap
from support.packets import Segment, build, read

PEER, HERE = "198.51.100.7", "192.0.2.1"
ISS, IRS = 1_000, 2_000


def engine(flags: str = "A", seq: int = 1, ack: int = 1, **fields: Any) -> Segment:
    """A packet as the engine would send it, with relative numbers."""
    fields.setdefault("window", 1_000)
    raw = build(HERE, PEER, 7, 999, seq=IRS + seq, ack=ISS + ack, flags=flags, **fields)
    return read(0.0, raw)


def peer(flags: str, **fields: Any) -> Segment:
    return read(0.0, build(PEER, HERE, 999, 7, seq=ISS, flags=flags, **fields))


@pytest.fixture
def judge() -> Judge:
    """After a handshake with MSS 1000 and a window of 2000, and ten bytes of the peer."""
    judge = Judge(ISS, 1500, 4)
    judge.peer_sent(0, None, peer("S", window=2_000, options=[("MSS", 1_000)]))
    judge.engine_sent(engine("SA", seq=0, options=[("MSS", 1460)]))
    judge.peer_sent(1, 1, peer("A", window=2_000))
    judge.peer_sent(1, 1, peer("A", window=2_000, data=b"0123456789"))
    return judge


def test_good_packets_pass(judge: Judge) -> None:
    assert judge.engine_sent(engine(ack=11, window=990, data=b"answer")) == (1, 11)
    judge.engine_sent(engine(ack=11, window=990, data=b"answer"))
    judge.engine_sent(engine("FA", seq=7, ack=11, window=990))
    judge.engine_sent(engine("R", seq=8))


@pytest.mark.requirement("RFC 9293 MUST-65", "RFC 9293 SHLD-14", "RFC 7323 3.2")
@pytest.mark.parametrize(
    "text, fields",
    [
        ("moved back", {"ack": 0}),
        ("past 11", {"ack": 12}),
        ("edge retreated", {"ack": 2, "window": 900}),
        ("beyond the window", {"seq": 8, "data": bytes(1_000)}),
        ("leaves 1000", {"data": bytes(1_001)}),
        ("leaves a gap", {"seq": 9}),
        ("leaves a gap", {"seq": 9, "data": b"x"}),
        ("bytes differ", {"data": b"ANSWER?"}),
        ("timestamps stand", {"options": [("Timestamp", (1, 1))]}),
        ("SYN's option", {"options": [("MSS", 1460)]}),
        ("ISN changed", {"flags": "SA", "seq": 5}),
        ("without ACK", {"flags": "P", "data": b"x"}),
        ("RST with", {"flags": "RF"}),
    ],
)
def test_bad_packets_do_not(judge: Judge, text: str, fields: dict[str, Any]) -> None:
    judge.engine_sent(engine(data=b"answer!"))
    if text == "beyond the window":
        judge.peer_edge = 1_000
    with pytest.raises(AssertionError, match=text):
        judge.engine_sent(engine(**fields))


def test_a_fin_stays_where_it_was(judge: Judge) -> None:
    judge.engine_sent(engine("FA"))
    with pytest.raises(AssertionError, match="beyond the FIN"):
        judge.engine_sent(engine(seq=2, data=b"x"))


@pytest.mark.requirement("RFC 9293 MUST-2")
@pytest.mark.parametrize(
    "text, spoil",
    [
        ("TCP checksum", lambda raw: raw[:-1] + b"?"),
        ("header checksum", lambda raw: raw[:8] + b"\x3f" + raw[9:]),
        ("total length", lambda raw: raw + b"?"),
        ("does not|do not fit", lambda raw: raw + bytes(2_000)),
    ],
)
def test_bad_bytes_do_not(text: str, spoil: Callable[[bytes], bytes]) -> None:
    raw = build(HERE, PEER, 7, 999, seq=1, ack=1, data=b"data")
    with pytest.raises(AssertionError, match=text):
        read(0.0, spoil(raw), 1_500)


@pytest.mark.requirement("RFC 9293 MUST-68", "RFC 9293 MUST-69")
@pytest.mark.parametrize(
    "area", [b"\x01\x01\x01\x02", b"\x02\x03\x00\x00", b"\x00\x01\x00\x00", b"\x63\x02\x01\x01"]
)
def test_bad_options_do_not(area: bytes) -> None:
    with pytest.raises(AssertionError):
        read(0.0, build(HERE, PEER, 7, 999, seq=1, ack=1, raw_options=area))


@pytest.mark.parametrize("relative", [-5, 0, 1, 2**31, 2**32 + 7, 5 * 2**32 - 1])
def test_unwrap(relative: int) -> None:
    assert unwrap((relative + ISS) % 2**32, ISS, relative + 1_000) == relative
