"""The verdicts: a run that does not fit its script fails, for the right reason."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
from support.packets import fix_checksums

from . import verdicts
from .__main__ import main
from .player import Player
from .reader import read_text
from .script import Mismatch
from .sockets import Sockets
from .verdicts import Verdict, judge, judge_apart

# Other tests of the same run may have left threads, which the children do without.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")

OPENING = """
0    socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0   bind(3, ..., ...) = 0
+0   listen(3, 1) = 0
+0   < S 0:0(0) win 65535 <mss 1000,nop,nop,TS val 700 ecr 0>
+0   > S. 0:0(0) ack 1 <mss 1460,nop,nop,TS val 100 ecr 700>
+.1  < . 1:1(0) ack 1 win 65535 <nop,nop,TS val 800 ecr 100>
+0   accept(3, ..., ...) = 4
"""
REQUEST = "+0 < P. 1:11(10) ack 1 win 65535 <nop,nop,TS val 900 ecr 100>\n"
ACK = "+0 > . 1:1(0) ack 11 <...>\n"
ANSWER = "+.5 write(4, ..., 1500) = 1500\n+0 > P. 1:1501(1500) ack 11 <...>\n"
WHOLE = OPENING + REQUEST + ACK + "+0 read(4, ..., 100) = 10\n" + ANSWER


@pytest.fixture
def verdict(tmp_path: Path) -> Callable[..., Verdict]:
    """Plays a script that is given as text."""

    def play(text: str, *, elastic: bool = True, passive: bool = False) -> Verdict:
        path = tmp_path / "script.pkt"
        path.write_text(text)
        return judge(str(path), elastic=elastic, passive=passive)

    return play


Play = Callable[..., Verdict]


def test_a_script_that_fits(verdict: Play) -> None:
    for elastic in (True, False):
        found = verdict(WHOLE, elastic=elastic)
        assert (found.status, found.reason, found.warnings) == ("PASS", "", [])


@pytest.mark.parametrize(
    "right,wrong,reason",
    [
        ("ack 1 <mss 1460", "ack 2 <mss 1460", "ack: expected 2, got 1"),
        ("> S. 0:0", "> . 0:0", "flags: expected A, got AS"),
        ("P. 1:1501(1500)", "F. 1:1501(1500)", "flags: expected AF, got A"),
        ("P. 1:1501(1500)", "P. 2:1502(1500)", "seq: expected 2, got 1"),
        ("P. 1:1501(1500)", "P. 1:1401(1400)", "payload: expected 1400 bytes, got 1500"),
        ("P. 1:1501(1500)", "P. 1:1601(1600)", "no packet by"),
        ("mss 1460,nop", "mss 1460,sackOK,nop", "options: expected TS, mss, sackOK, got TS, mss"),
        ("mss 1460,nop,nop,TS", "nop,nop,TS", "options: expected TS, got TS, mss"),
        ("ecr 700>", "ecr 701>", "TS ecr: expected 701, got 700"),
        ("read(4, ..., 100) = 10", "read(4, ..., 100) = 11", "read returned 10, expected 11"),
        ("read(4, ..., 100) = 10", "read(4, ..., 100) = -1 EAGAIN", "read returned 10, expected -1 EAGAIN"),
        ("+0   accept(3", "+0   read(3", "read returned ENOTCONN"),
        ("= 4\n", "= 4\n+0 accept(3, ..., ...) = 5\n", "accept blocks"),
        ("+0 > P. 1:1501", "+.3 > P. 1:1501", "timing: expected"),
        ("+0 > P. 1:1501", "+0 > [ect0] P. 1:1501", "ECN: expected ect0, got 0"),
        ("+0 > P. 1:1501", "+0 > (ttl 3) P. 1:1501", "TTL: expected 3, got 64"),
        ("+0 > P. 1:1501", "+0 > (tos 8) P. 1:1501", "TOS: expected 8, got 0"),
    ],
)  # fmt: skip
def test_a_wrong_expectation_fails(verdict: Play, right: str, wrong: str, reason: str) -> None:
    assert right in WHOLE
    found = verdict(WHOLE.replace(right, wrong), elastic=False)
    assert found.status == "FAIL"
    assert reason in found.reason


class TamperedLink:
    """A link whose packets are changed, or lost (None), on their way out."""

    def __init__(self, link: object, change: Callable[[bytes], bytes | None]) -> None:
        self.link, self.change = link, change

    def __getattr__(self, name: str) -> object:
        return getattr(self.link, name)

    def take(self) -> list[tuple[float, bytes]]:
        changed = [(when, self.change(raw)) for when, raw in self.link.take()]  # type: ignore[attr-defined]
        return [(when, raw) for when, raw in changed if raw is not None]


def tampered(change: Callable[[bytes], bytes | None]) -> Mismatch:
    """What the run of the whole script fails with when the engine's packets are changed."""

    class Tampering(Player):
        def open_sockets(self) -> Sockets:
            sockets = super().open_sockets()
            sockets.net.link = TamperedLink(sockets.net.link, change)
            return sockets

    with pytest.raises(Mismatch) as failure:
        Tampering(read_text(WHOLE)).play()
    return failure.value


def is_data(raw: bytes) -> bool:
    return len(raw) > 500


def with_byte(raw: bytes, at: int, change: int) -> bytes:
    return raw[:at] + bytes((raw[at] ^ change,)) + raw[at + 1 :]


def test_a_wrong_checksum_fails() -> None:
    assert "TCP checksum is wrong" in str(
        tampered(lambda raw: with_byte(raw, 36, 1) if is_data(raw) else raw)
    )
    assert "header checksum is wrong" in str(tampered(lambda raw: with_byte(raw, 10, 1)))


def test_a_wrong_byte_of_the_payload_fails() -> None:
    found = tampered(lambda raw: fix_checksums(with_byte(raw, len(raw) - 1, 1)) if is_data(raw) else raw)
    assert "the bytes at stream offset 0 are not those that were written" in str(found)


def test_a_lost_packet_fails() -> None:
    assert "no packet by" in str(tampered(lambda raw: None if is_data(raw) else raw))


def test_a_closed_window_fails() -> None:
    def closed(raw: bytes) -> bytes:
        return fix_checksums(raw[:34] + bytes(2) + raw[36:])

    text = WHOLE.replace("ack 11 <...>\n+0 read", "ack 11 win 999 <...>\n+0 read")
    assert "win 999" in text

    class Closing(Player):
        def open_sockets(self) -> Sockets:
            sockets = super().open_sockets()
            sockets.net.link = TamperedLink(sockets.net.link, closed)
            return sockets

    with pytest.raises(Mismatch, match="window: expected 999, got 0"):
        Closing(read_text(text)).play()


def test_wrong_bytes_read_fail(verdict: Play) -> None:
    """The script says that the connection's first byte is its eleventh."""
    found = verdict(WHOLE.replace("read(4, ..., 100) = 10", "xtcp_recv(4, 10, 100) = 10"))
    assert found.status == "FAIL"
    assert "the bytes at stream offset 10 are not those that were sent" in found.reason


class TestElastic:
    """Pure ACKs may come at other moments; what else there is may not."""

    BOUNDED = "--group_ack_policy=bounded\n"

    def test_an_extra_ack_is_passed_over(self, verdict: Play) -> None:
        text = WHOLE.replace(ACK, "")
        assert verdict(text).status == "PASS"
        assert verdict(text).extra_acks == 1
        assert verdict(text, elastic=False).status == "FAIL"

    def test_a_held_ack_may_ride_on_the_answer(self, verdict: Play) -> None:
        text = self.BOUNDED + WHOLE.replace("+.5 write(4, ..., 1500)", "+.01 xtcp_send(4, ..., 1500, 10)")
        found = verdict(text)
        assert (found.status, found.deferred_acks) == ("PASS", 1)
        assert verdict(text, elastic=False).status == "FAIL"

    def test_a_duplicate_ack_is_mandatory(self, verdict: Play) -> None:
        old, answer = REQUEST, "+0 > . 1501:1501(0) ack 11 <...>\n"
        assert verdict(WHOLE + old + answer).status == "PASS"
        found = verdict(WHOLE + answer)
        assert (found.status, found.line) == ("FAIL", len((WHOLE + answer).splitlines()))

    def test_a_script_may_insist(self, verdict: Play) -> None:
        assert verdict("--acks=strict\n" + WHOLE.replace(ACK, "")).status == "FAIL"


@pytest.mark.parametrize("passive", [False, True])
def test_an_active_open(verdict: Play, passive: bool) -> None:
    """As it is written, or made passive; both times it is the rest of the script that matters."""
    text = """
0    socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0   fcntl(3, F_SETFL, O_RDWR | O_NONBLOCK) = 0
+0   connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)
+0   > S 0:0(0) <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>
+.1  < S. 0:0(0) ack 1 win 5000 <mss 1000,TS val 700 ecr 100>
+0   > . 1:1(0) ack 1 <nop,nop,TS val 200 ecr 700>
+0   read(3, ..., 10) = -1 EAGAIN
+0   < P. 1:11(10) ack 1 win 5000 <nop,nop,TS val 701 ecr 200>
+0   > . 1:1(0) ack 11 <...>
+0   read(3, ..., 10) = 10
"""
    found = verdict(text, passive=passive)
    assert (found.status, found.passive) == ("PASS", passive), found.reason
    assert verdict(text.replace("(10) ack 1 win", "(10) ack 9 win"), passive=passive).status == "FAIL"


ACTIVE = """
0    socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0...0.1 connect(3, ..., ...) = 0
+0   > S 0:0(0) <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>
+.1  < S. 0:0(0) ack 1 win 5000 <mss 1000>
+0   > . 1:1(0) ack 1
"""


@pytest.mark.parametrize(
    "right,wrong,reason",
    [
        ("> S 0:0(0)", "> S. 0:0(0)", "flags: expected AS, got S"),
        ("wscale 7>\n", "wscale 7,FO 11>\n", "options: expected"),
        ("+0...0.1 connect", "+0 connect", "connect blocks"),
        ("+0...0.1 connect", "+0...0.3 connect", "connect returns at 0.1000"),
        ("> . 1:1(0) ack 1\n", "> F. 1:1(0) ack 1\n", "no packet by"),
        ("< S. 0:0(0) ack 1 win 5000 <mss 1000>", "< R. 0:0(0) ack 1 win 0", "connect returned ECONNREFUSED"),
    ],
)
def test_what_connects_is_judged(verdict: Play, right: str, wrong: str, reason: str) -> None:
    assert verdict(ACTIVE).status == "PASS"
    found = verdict(ACTIVE.replace(right, wrong))
    assert (found.status, reason in found.reason) == ("FAIL", True), found.reason


def test_a_socket_that_connects(verdict: Play) -> None:
    """The errors of connect(), and what else may be asked before it has ended."""
    nonblocking = """
0    socket(..., SOCK_STREAM|SOCK_NONBLOCK, IPPROTO_TCP) = 3
+0   connect(3, ..., ...) = -1 EINPROGRESS
+0   connect(3, ..., ...) = -1 EALREADY
+0   write(3, ..., 10) = -1 EAGAIN
+0   poll([{fd=3, events=POLLOUT, revents=0}], 1, 0) = 0
+0   > S 0:0(0) <...>
+.1  < S. 0:0(0) ack 1 win 5000 <mss 1000>
+0   connect(3, ..., ...) = -1 EISCONN
+0   poll([{fd=3, events=POLLOUT, revents=POLLOUT}], 1, 0) = 1
+0   write(3, ..., 10) = 10
+0   > P. 1:11(10) ack 1
"""
    found = verdict(nonblocking)
    assert found.status == "PASS", found.reason


def test_both_open(verdict: Play) -> None:
    """A simultaneous open; then the peer resets, and a second connection has numbers of its own."""
    text = """
0    socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0   fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
+0   connect(3, ..., ...) = -1 EINPROGRESS
+0   > S 0:0(0) <...>
+.1  < S 0:0(0) win 5000 <mss 1000>
+0   > S. 0:0(0) ack 1 <...>
+.1  < . 1:1(0) ack 1 win 5000
+.1  < R. 1:1(0) ack 1 win 0
+0   getsockopt(3, SOL_SOCKET, SO_ERROR, [ECONNRESET], [4]) = 0
+0   close(3) = 0
+0   socket(..., SOCK_STREAM, IPPROTO_TCP) = 4
+0   fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK) = 0
+0   connect(4, ..., ...) = -1 EINPROGRESS
+0   > S 0:0(0) <...>
"""
    found = verdict(text)
    assert found.status == "PASS", found.reason


def test_what_cannot_be_played_is_skipped(verdict: Play) -> None:
    for text in ("0 epoll_create(1) = 3", "0 socket(..., SOCK_DGRAM, 0) = 3", "0 > . 1:1(0) ack 1"):
        assert verdict(text).status == "SKIP"
    found = verdict(WHOLE + "+0 setsockopt(4, SOL_TCP, TCP_CORK, [1], 4) = 0")
    assert (found.status, found.reason) == ("SKIP", "setsockopt TCP_CORK")


LINUX = "`sysctl -q net.ipv4.tcp_sack=1`\n" + WHOLE.replace("mss 1000", "mss 1000,nop,nop,sackOK").replace(
    "<mss 1460", "<mss 1460,sackOK"
)


@pytest.mark.parametrize(
    "code,checked,unchecked",
    [
        ("assert tcpi_state == TCPI_ESTABLISHED, tcpi_state", 1, 0),
        ("assert TCP_ESTABLISHED == tcpi_state and not tcpi_state == TCP_CLOSE", 1, 0),
        ("\n  assert tcpi_snd_mss == 988\n  assert 80*1000 <= tcpi_rtt <= 120 * 1000\n", 2, 0),
        ("assert tcpi_snd_ssthresh == TCP_INFINITE_SSTHRESH; assert tcpi_unacked <= 2", 1, 1),
        ("print(tcpi_snd_cwnd); cwnd = 5; cwnd += 5; assert tcpi_snd_cwnd == cwnd, tcpi_snd_cwnd", 1, 0),
        ("assert tcpi_reordering == 3", 0, 1),
        ("import os; os._exit(3)", 0, 1),
        ("assert (lambda: 1)()", 0, 1),
        ("assert 1 / 0", 0, 1),
        ("assert 'a' * 3", 0, 1),
        ("this is no Python", 0, 1),
    ],
)
def test_code_is_read_and_not_run(verdict: Play, code: str, checked: int, unchecked: int) -> None:
    found = verdict(LINUX + f"+0 %{{ {code} }}%")
    assert (found.status, found.reason) == ("PASS", "")
    assert (found.checked, found.unchecked, found.warnings) == (checked, unchecked, [])


def test_a_false_assertion_fails(verdict: Play) -> None:
    found = verdict(LINUX + "+0 %{ assert tcpi_state == TCPI_CLOSED }%")
    assert (found.status, found.line) == ("FAIL", len(LINUX.splitlines()) + 1)
    assert found.reason == "assertion: tcpi_state == TCPI_CLOSED, with tcpi_state = 1"


def test_a_window_is_the_engines_own(verdict: Play) -> None:
    """As Linux counts it; another TCP's script does not say how it does."""
    text = "+0 %{ assert tcpi_snd_cwnd == 11 }%"
    found = verdict(LINUX + text)
    assert (found.status, len(found.warnings)) == ("PASS", 1)
    assert found.warnings[0].startswith("assertion: tcpi_snd_cwnd == 11, with tcpi_snd_cwnd = 10")
    assert verdict(LINUX + text, elastic=False).reason == found.warnings[0].partition(" (line")[0]
    assert verdict(WHOLE + text).unchecked == 1


def test_options_of_one_connection(verdict: Play) -> None:
    """They reach the engine: with a user timeout the peer's silence ends it."""
    late = "+3 write(4, ..., 10) = -1 ETIMEDOUT"
    limit = "+0 setsockopt(4, SOL_TCP, TCP_USER_TIMEOUT, [1000], 4) = 0\n"
    others = "+0 setsockopt(4, SOL_TCP, TCP_NODELAY, [1], 4) = 0\n"
    assert verdict(WHOLE + others + limit + late).status == "PASS"
    assert verdict(WHOLE + others + late).reason == "write returned 10, expected -1 ETIMEDOUT"


class TestProbesOfAClosedWindow:
    """With a new octet or without: RFC 9293 section 3.8.6.1 wants one, Linux sends none."""

    TEXT = """
0    socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0   bind(3, ..., ...) = 0
+0   listen(3, 1) = 0
+0   < S 0:0(0) win 1000 <mss 1000>
+0   > S. 0:0(0) ack 1 <mss 1460>
+.01 < . 1:1(0) ack 1 win 0
+0   accept(3, ..., ...) = 4
+0   write(4, ..., 500) = 500
+.2  > . 0:0(0) ack 1
"""

    def test_both_are_probes(self, verdict: Play) -> None:
        found = verdict(self.TEXT)
        assert (found.status, found.other_probes) == ("PASS", 1), found.reason
        assert verdict(self.TEXT, elastic=False).status == "FAIL"

    def test_what_follows_is_cut_elsewhere(self, verdict: Play) -> None:
        """The octet that went ahead comes again by itself; the bytes and their order are the script's."""
        text = (
            self.TEXT.replace("500) = 500", "4000) = 4000").replace("+.2  >", "+.2~+.2 >")
            + """
+.1  < . 1:1(0) ack 1 win 4000
+0   > . 1:2001(2000) ack 1
+0   > P. 2001:4001(2000) ack 1
"""
        )
        found = verdict(text)
        assert found.status == "PASS", found.reason
        assert verdict(text.replace("2001:4001(2000)", "2002:4001(1999)")).status == "FAIL"

    def test_a_probe_has_its_time_and_its_numbers(self, verdict: Play) -> None:
        assert "timing" in verdict(self.TEXT.replace("+.2 ", "+.3 ")).reason
        assert "ack: expected 2" in verdict(self.TEXT.replace("0:0(0) ack 1\n", "0:0(0) ack 2\n")).reason

    def test_an_octet_into_an_open_window_is_none(self, verdict: Play) -> None:
        text = self.TEXT.replace("ack 1 win 0", "ack 1 win 1")
        assert verdict(text).status == "FAIL"


def test_a_broken_script_is_an_error(verdict: Play) -> None:
    assert verdict("0 what?").status == "ERROR"
    assert judge("/no/such/script.pkt").status == "ERROR"


def test_a_process_that_dies_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdicts, "judge", lambda *_, **__: os._exit(3))
    found = judge_apart(str(tmp_path))
    assert found.status == "ERROR"
    assert found.reason == "the process ended without a verdict (exit status 3)"


def test_a_run_without_end_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdicts, "judge", lambda *_, **__: time.sleep(60))
    found = judge_apart(str(tmp_path), limit=0.2)
    assert (found.status, found.reason) == ("ERROR", "not done after 0.2 seconds")


def test_time_wait_is_counted(verdict: Play) -> None:
    """As the scripts of FreeBSD ask for a state."""
    close = """
+0   close(4) = 0
+0   > F. 1501:1501(0) ack 11 <...>
+0   < F. 11:11(0) ack 1502 win 65535 <nop,nop,TS val 999 ecr 100>
+0   > . 1502:1502(0) ack 12 <...>
+.1 `sockstat -4 -s | grep packetdril | grep -c TIME_WAIT | grep 1`
"""
    text = WHOLE + "+0 < . 11:11(0) ack 1501 win 65535 <nop,nop,TS val 950 ecr 100>\n" + close
    assert verdict(text).status == "PASS"
    found = verdict(text.replace("grep 1`", "grep 2`"))
    assert (found.status, found.reason) == ("FAIL", "1 connections in TIME_WAIT, expected 2")


def test_a_blocking_call_returns_when_the_script_says(verdict: Play) -> None:
    text = (
        OPENING
        + "+0...0.3 read(4, ..., 10) = 10\n+.2 < P. 1:11(10) ack 1 win 9 <nop,nop,TS val 900 ecr 100>\n"
    )
    assert verdict(text.replace("+0...0.3", "+0...0.2")).status == "PASS"
    early = verdict(text)
    assert (early.status, early.line) == ("FAIL", 9)
    assert "read returns at 0.3000, expected to return at 0.4000" in early.reason
    late = verdict(text.replace("+.2 <", "+.5 <"))
    assert "read waits at" in late.reason


@pytest.mark.parametrize("wrong", [False, True])
def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: bool) -> None:
    """Exit status 0 only when nothing failed; skipped scripts do not count."""
    (tmp_path / "good.pkt").write_text(WHOLE)
    (tmp_path / "odd.pkt").write_text("0 epoll_create(1) = 3")
    (tmp_path / "bad.pkt").write_text(WHOLE.replace("= 10", "= 11"))
    names = ["good.pkt\tpassive\tcore", "odd.pkt\tpassive\tcc"] + ["bad.pkt\tpassive\tcore"] * wrong
    (tmp_path / "list.tsv").write_text("\n".join(["# path\tmode\ttier", *names, ""]))
    status = main(
        ["--root", str(tmp_path), "--list", str(tmp_path / "list.tsv"), "--json", str(tmp_path / "out.json")]
    )
    assert status == int(wrong)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"PASS  {tmp_path}/good.pkt"
    assert lines[1] == f"SKIP  {tmp_path}/odd.pkt  system call epoll_create (line 1)"
    assert [line.split() for line in lines[-4:]] == [
        ["tier", "PASS", "FAIL", "SKIP", "ERROR"],
        ["cc", "0", "0", "1", "0"],
        ["core", "1", str(int(wrong)), "0", "0"],
        ["all", "1", str(int(wrong)), "1", "0"],
    ]
    written = json.loads((tmp_path / "out.json").read_text())
    assert [(entry["status"], entry["tier"]) for entry in written][:2] == [("PASS", "core"), ("SKIP", "cc")]
    assert written[0]["log"]


def test_a_list_with_what_is_no_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each line has its verdict, and the others are played."""
    (tmp_path / "good.pkt").write_text(WHOLE)
    (tmp_path / "binary.pkt").write_bytes(bytes(range(256)) * 10)
    (tmp_path / "deep.pkt").write_text("0 f(" + "[" * 100_000)
    (tmp_path / "greedy.pkt").write_text(WHOLE + "+0 write(4, ..., 99999999999999) = 1\n")
    (tmp_path / "folder.pkt").mkdir()
    names = ["missing.pkt", "binary.pkt", "deep.pkt", "greedy.pkt", "folder.pkt", "good.pkt"]
    (tmp_path / "list.tsv").write_text("\n".join(names))
    out = tmp_path / "out.json"
    assert main(["--root", str(tmp_path), "--list", str(tmp_path / "list.tsv"), "--json", str(out)]) == 1
    found = json.loads(out.read_text())
    assert [(v["path"].rsplit("/")[-1], v["status"]) for v in found] == [
        *((name, "ERROR") for name in names[:-1]),
        ("good.pkt", "PASS"),
    ]
    assert all(v["reason"] for v in found[:-1])
    assert set(found[0]) == {field.name for field in fields(Verdict)}


def test_files_that_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list", str(tmp_path / "none.tsv")]) == 2
    assert "the list cannot be read" in capsys.readouterr().err
    (tmp_path / "good.pkt").write_text(WHOLE)
    assert main([str(tmp_path / "good.pkt"), "--json", str(tmp_path / "no" / "out.json")]) == 2
    assert "the verdicts cannot be written" in capsys.readouterr().err


def test_a_command_without_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "no script was named" in capsys.readouterr().err
