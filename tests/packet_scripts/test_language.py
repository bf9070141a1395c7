"""The language: what each kind of line means, and what is no line."""

from __future__ import annotations

from typing import Any

import pytest

from .reader import read_text
from .script import (
    ANY,
    Call,
    Code,
    Command,
    IcmpPacket,
    Inbound,
    Outbound,
    ScriptError,
    TcpPacket,
    Unsupported,
    When,
)


def packet(text: str) -> TcpPacket:
    [event] = read_text(f"0 < {text}").events
    assert isinstance(event.action, Inbound) and isinstance(event.action.packet, TcpPacket)
    return event.action.packet


def icmp(text: str) -> IcmpPacket:
    [event] = read_text(f"0 < {text}").events
    assert isinstance(event.action, Inbound) and isinstance(event.action.packet, IcmpPacket)
    return event.action.packet


def call(text: str) -> Call:
    [event] = read_text(f"0 {text}").events
    assert isinstance(event.action, Call)
    return event.action


@pytest.mark.parametrize(
    "text,when",
    [
        ("0.5", When(0.5, relative=False)),
        ("+.25", When(0.25)),
        ("+1", When(1.0)),
        ("+ 0.5", When(0.5)),
        ("*", When(anytime=True)),
        ("1~2", When(1.0, relative=False, end=2.0)),
        ("+.1~+.2", When(0.1, end=0.2)),
        ("+0...0.2", When(0.0, until=0.2)),
    ],
)
def test_times(text: str, when: When) -> None:
    assert read_text(f"{text} close(3) = 0").events[0].when == when


def test_a_packet() -> None:
    read = packet("P. 1:1001(1000) ack 7 win 257 urg 3 <nop,nop,TS val 200 ecr 100,sack 5:6 8:9>")
    assert read.flags == {"P", "."}
    assert (read.seq, read.length, read.ack, read.window, read.urgent) == (1, 1000, 7, 257, 3)
    assert read.options == (("nop",), ("nop",), ("TS", 200, 100), ("sack", ((5, 6), (8, 9))))


def test_a_packet_of_any_place_and_options() -> None:
    read = packet("R ...(0) <...>")
    assert (read.seq, read.ack, read.window, read.options) == (None, None, None, ANY)


def test_what_stands_in_front_of_a_packet() -> None:
    read = packet("[ect0] (ttl 3) (tos 0x10) 5001 > 8080 . 4294967295:0(1)! ack 1")
    assert (read.ecn, read.ttl, read.tos, read.ports) == ("ect0", 3, 0x10, (5001, 8080))
    assert read.absolute and read.seq == 2**32 - 1
    assert packet("[noecn, tos 4, ttl 9] . 1:1(0) ack 1").ttl == 9


def test_syn_options() -> None:
    read = packet("S 0:0(0) win 9 <mss MSS,sackOK,nop,wscale 7,eol,FO TFO_COOKIE,FOEXP>")
    assert read.options == (
        *(("mss", 1460), ("sackOK",), ("nop",), ("wscale", 7), ("eol",)),
        *(("FO", bytes.fromhex("3021b9d889017eeb")), ("FOEXP", b"")),
    )


def test_icmp() -> None:
    assert icmp("icmp unreachable frag_needed mtu 1200 [1:1461(1460)]") == IcmpPacket(
        "unreachable", "frag_needed", 1200, (1, 1460)
    )
    assert icmp("[1:1461(1460)] icmp unreachable host_unreachable").quoted == (1, 1460)
    assert icmp("icmpv6 packet_too_big mtu 1280").mtu == 1280


@pytest.mark.parametrize(
    "text,arguments,result,errno",
    [
        ("listen(3, 1) = 0", [3, 1], 0, None),
        ("read(4, ..., 1000) = -1 EAGAIN (Try again)", [4, ANY, 1000], -1, "EAGAIN"),
        ("recv(4, ..., 9, MSG_PEEK | MSG_OOB) = ...", [4, ANY, 9, ("MSG_PEEK", "MSG_OOB")], ANY, None),
        ("setsockopt(3, SOL_SOCKET, SO_LINGER, {onoff=1, linger=0}, 8) = 0",
         [3, "SOL_SOCKET", "SO_LINGER", {"onoff": 1, "linger": 0}, 8], 0, None),
        ("poll([{fd=4, events=POLLIN, revents=0}],\n 1, 0x0A) = 0",
         [[{"fd": 4, "events": "POLLIN", "revents": 0}], 1, 10], 0, None),
        ('x("a, (b", 1.5, MSS)', ["a, (b", 1.5, 1460], None, None),
        ("fcntl(3, F_GETFL) = 0x02 (flags O_RDWR)", [3, "F_GETFL"], 2, None),
    ],
)  # fmt: skip
def test_calls(text: str, arguments: list[Any], result: object, errno: str | None) -> None:
    read = call(text)
    assert (read.arguments, read.result, read.errno) == (arguments, result, errno)


def test_the_rest_of_a_script() -> None:
    script = read_text(
        """// A comment, and a line that starts with #:
#!/usr/bin/packetdrill
--mtu=1200 --define=SIZE=77
`sysctl -q net.ipv4.tcp_sack=0 // kept`
0 socket(...) = 3   /* over
two lines */
+1 > . 1:1(0) ack 1  // behind
* `ss -t | grep -c ESTABLISHED`
+0 %{ assert "}" and 1 }%
+0 listen(3, SIZE) = 0
"""
    )
    assert script.options == {"mtu": "1200"}
    assert script.preparation == ["sysctl -q net.ipv4.tcp_sack=0 // kept"]
    kinds = [type(event.action) for event in script.events]
    assert kinds == [Call, Outbound, Command, Code, Call]
    assert [event.line for event in script.events] == [5, 7, 8, 9, 10]
    assert script.events[1].text == "> . 1:1(0) ack 1"
    assert isinstance(script.events[4].action, Call) and script.events[4].action.arguments == [3, 77]


def test_conditional_lines() -> None:
    script = read_text(
        "#ifdef STANDARD\n0 a() = 1\n#else\n0 b() = 2\n#endif\n#ifndef STANDARD\n0 c() = 3\n#endif\n0 d() = 4"
    )
    names = [event.action.name for event in script.events if isinstance(event.action, Call)]
    assert names == ["a", "d"]
    assert script.events[1].line == 9


@pytest.mark.parametrize(
    "text",
    [
        "listen(3, 1) = 0",
        "0 ?",
        "0 < . 1:3(1) ack 1",
        "0 < hello",
        "0 < . ack 1",
        "0 listen(3, 1 = 0",
        "0 listen(3, 1) 0",
        "0 `echo",
        "#else\n#ifdef A\n#endif",
    ],
)
def test_what_is_no_script(text: str) -> None:
    with pytest.raises(ScriptError):
        read_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "0 < ipv4 1.2.3.4 > 5.6.7.8: . 1:1(0) ack 1",
        "0 < udp (100)",
        "0 < sctp: SHUTDOWN[flgs=0]",
        "0 < S5. 0:0(0) ack 1",
        "0 < [what] . 1:1(0) ack 1",
        "0 < . 1:1(0) ack 1 <md5 0x1234>",
        "0 < . 1:1(0) ack 1 <mss LATER>",
        "0 f(&x) = 0",
        "0 f(3) = RESULT",
    ],
)
def test_what_is_not_supported(text: str) -> None:
    with pytest.raises(Unsupported):
        read_text(text)
