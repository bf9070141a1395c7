"""What the clients of a fleet accept as an answer."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from xtcp_twisted.lab.latency import Latencies
from xtcp_twisted.lab.talk import ChatTalk, EchoTalk, WrongAnswer


@dataclass
class Client:
    number: int = 7
    sequence: int = 0
    wanted: bytes = b""
    partial: bytes = b""


# --- Echo ---------------------------------------------------------------------


def test_echo_takes_its_request_in_any_pieces() -> None:
    talk, client = EchoTalk(1), Client()
    request = talk.request(client)
    pieces = [request[i : i + 1] for i in range(len(request))]
    assert [talk.received(client, piece) for piece in pieces] == [False] * (len(request) - 1) + [True]


def test_echo_requests_differ() -> None:
    talk = EchoTalk(1)
    requests = {talk.request(Client(n, s)) for n in range(10) for s in range(10)}
    assert len(requests) == 100
    assert all(16 <= len(request) <= 1024 for request in requests)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda request: request[:-1] + bytes([request[-1] ^ 1]),
        lambda request: request[1:],
        lambda request: request + b"!",
        lambda request: request + request,
    ],
    ids=["a bit", "the first byte lost", "a byte more", "twice"],
)
def test_echo_refuses_what_it_did_not_send(spoil: object) -> None:
    assert callable(spoil)
    talk, client = EchoTalk(1), Client()
    with pytest.raises(WrongAnswer, match="client 7, request 0"):
        talk.received(client, spoil(talk.request(client)))


def test_echo_refuses_bytes_without_a_request() -> None:
    with pytest.raises(WrongAnswer, match="nothing more"):
        EchoTalk(1).received(Client(), b"hello")


# --- Chat ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "client, request_line, answer",
    [
        (Client(7, 0), b"/nick fleet_7\n", b"* you are fleet_7\r\n"),
        (Client(7, 13), b"message 13 of fleet_7\n", b"* said to 19\r\n"),
        (Client(7, 2), b"/msg fleet_7 message 2 of fleet_7\n", b"* sent to fleet_7\r\n"),
        (Client(70, 0), b"/who\n", b"* 2 in #lobby: fleet_1, fleet_7\r\n"),
        (Client(70, 1), b"is anybody here?\n", b"! take a name first: /nick NAME\r\n"),
    ],
)
def test_chat_knows_the_answer_to_each_of_its_lines(
    client: Client, request_line: bytes, answer: bytes
) -> None:
    talk = ChatTalk()
    assert talk.request(client) == request_line
    assert not talk.received(client, answer[:9])
    assert talk.received(client, answer[9:])


def test_chat_lets_others_talk_before_the_answer() -> None:
    talk, client = ChatTalk(), Client(7, 13)
    talk.request(client)
    others = (
        "* Welcome. Take a name.\r\n* fleet_3 has joined #lobby\r\n#lobby <fleet_3> message 5 of fleet_3\r\n"
        "#lobby <ada> hello everybody\r\n-fleet_7- message 2 of fleet_7\r\n* ada is now zo\u00eb\r\n"
        "#lobby <zo\u00eb> -- <fleet_1> --\r\n-fleet_fan- hello\r\n* zo\u00eb has left #lobby\r\n"
        "  should the connection break: /nick fleet_7 abcdefghijklmnop within 60 s\r\n"
        "* you are in #lobby with 4 others\r\n"
    )
    assert not talk.received(client, others.encode())
    assert talk.received(client, b"* said to 2\r\n#lobby <fleet_3> message 6 of fleet_3\r\n")


@pytest.mark.parametrize(
    "line",
    [
        b"* you are fleet_8",
        b"* said to everybody",
        b"#lobby <fleet_3> message 5 of fleet_4",
        b"#lobby <fleet_3> mess",
        b"! /nick is not known; /help shows what is",
        b"",
    ],
)
def test_chat_refuses_lines_that_are_no_answer_and_nobodys(line: bytes) -> None:
    talk, client = ChatTalk(), Client(7, 0)
    talk.request(client)
    with pytest.raises(WrongAnswer, match="expected"):
        talk.received(client, line + b"\r\n")


def test_chat_refuses_a_second_answer() -> None:
    talk, client = ChatTalk(), Client(7, 0)
    talk.request(client)
    with pytest.raises(WrongAnswer, match="nothing more"):
        talk.received(client, b"* you are fleet_7\r\n* you are fleet_7\r\n")


# --- Latencies ----------------------------------------------------------------


def test_percentiles_are_at_most_a_bucket_too_high() -> None:
    latencies = Latencies()
    for milliseconds in range(1, 1001):
        latencies.add(milliseconds / 1000)
    for share in (0.01, 0.5, 0.99, 1.0):
        percentile = latencies.percentile(share)
        assert percentile is not None
        assert 1000 * share <= percentile <= 1000 * share * 1.045


def test_no_latency_has_no_percentile() -> None:
    assert Latencies().percentile(0.5) is None


def test_histograms_add_up() -> None:
    one, other = Latencies(), Latencies()
    one.add(0.001)
    other.add(0.001)
    other.add(0.5)
    one.merge(other.counts)
    assert sum(one.counts.values()) == 3
    assert one.percentile(1.0) == other.percentile(1.0)
