"""Kernel clients and an ordinary factory that decides about them before their handshake (P08)."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from support.capture import WRONG, segments, tshark

from tests.kernel.conftest import GROUPS, V4, V6, Served
from xtcp_twisted.lab import Lab

pytestmark = pytest.mark.feature("P08", "P33")

PORT = GROUPS["bouncer"][0]


def attempt(served: Served, host: str, port: int) -> bytes | None:
    """What a client with this source port is greeted by; None if it is refused."""

    def make() -> socket.socket:
        made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        made.settimeout(60)
        made.bind(("", port))
        try:
            made.connect((host, PORT))
        except BaseException:
            made.close()
            raise
        return made

    try:
        with served.lab.call(make) as connection, connection.makefile("rb") as answer:
            return bytes(answer.read())
    except ConnectionRefusedError:
        return None


def sent(capture: Path) -> dict[int, set[str]]:
    """The flags of what each port of a client was answered by."""
    flags: dict[int, set[str]] = {}
    for segment in segments(capture):
        if segment.sport == PORT:
            flags.setdefault(segment.dport, set()).add("".join(sorted(segment.flags)))
    return flags


@pytest.mark.parametrize("host", [V4, V6])
def test_who_is_refused_never_sees_a_syn_ack(lab: Lab, tmp_path: Path, host: str) -> None:
    """Let in at once and later, refused at once and later: a reset is all that these see."""
    served = Served(lab, tmp_path, "accept_timeout_ms = 30_000")
    greeted = [attempt(served, host, 20_000 + digit) for digit in range(4)]
    assert greeted == [b"come in\n", b"come in\n", None, None]
    capture = served.stop()
    answers = sent(capture)
    assert "AS" in answers[20_000] & answers[20_001]
    assert answers[20_002] == answers[20_003] == {"AR"}
    assert tshark(capture, WRONG) == []
    assert "Traceback" not in served.log()


def test_who_is_never_answered_is_refused_when_the_time_is_up(lab: Lab, tmp_path: Path) -> None:
    served = Served(lab, tmp_path, "accept_timeout_ms = 100")
    assert attempt(served, V4, 20_004) is None
    assert sent(served.stop()) == {20_004: {"AR"}}
