"""ICMP errors about our own packets: believed in flight only, never fatal (RFC 5927, 5461, 9293 3.9.2.2)."""

from __future__ import annotations

import random

import pytest
from support.icmp import error, message
from support.net import PEER_V4, PEER_V6, V4, V6, Net
from support.packets import build
from support.peer import Client

from xtcp_twisted.config import ALL
from xtcp_twisted.engine import Group
from xtcp_twisted.engine.kinds import EventKind

ROUTER = {False: "203.0.113.1", True: "2001:db8:f::1"}
families = pytest.mark.parametrize("v6", [False, True], ids=["IPv4", "IPv6"])

#: (IPv6, type, code) -> errno as Linux tells it.
SOFT = {
    (False, 3, 0): 101,
    (False, 3, 1): 113,
    (False, 3, 5): 95,
    (False, 3, 11): 113,
    (False, 11, 0): 113,
    (False, 11, 1): 113,
    (False, 12, 0): 71,
    (True, 1, 0): 101,
    (True, 1, 3): 113,
    (True, 3, 0): 113,
    (True, 4, 1): 71,
}
HARD = {
    (False, 3, 2): 92,
    (False, 3, 3): 111,
    (False, 3, 9): 113,
    (False, 3, 10): 113,
    (False, 3, 13): 113,
    (True, 1, 1): 13,
    (True, 1, 4): 111,
}


def in_flight(net: Net, v6: bool = False) -> tuple[Group, Client, bytes]:
    """A connection whose answer was sent and is not acknowledged, and that packet."""
    group = net.group(7, v6=v6)
    client = net.client(group).established()
    client.send(b"request")
    with net.in_turn():
        group.recv(100)
        group.send(client.cd, b"answer", ackd=ALL)
    raw = client.expect("A", data=b"answer").raw
    net.take_events()
    return group, client, raw


def still_works(net: Net, group: Group, client: Client) -> None:
    client.ack()
    net.turn()
    client.exchange(b"more", b"and more")
    assert group.info(client.cd).state == "ESTABLISHED"


@pytest.mark.requirement(
    "RFC 9293 MUST-47",
    "RFC 9293 MUST-54",
    "RFC 9293 MUST-56",
    "RFC 9293 SHLD-25",
    "RFC 9293 SHLD-26",
    "RFC 5461 4.1",
    "RFC 5927 5.2",
)
@pytest.mark.parametrize("v6, kind, code", [*SOFT, *HARD])
def test_an_error_in_flight_is_told_and_ends_nothing(net: Net, v6: bool, kind: int, code: int) -> None:
    """MUST-56, SHLD-25; hard errors as soft ones (RFC 5927 section 5.2, instead of SHLD-26)."""
    group, client, raw = in_flight(net, v6)
    net.inject(error(ROUTER[v6], raw, kind, code))
    net.turn()
    told = (SOFT | HARD)[v6, kind, code]
    assert net.take_events() == [(EventKind.SOFT_ERROR, group.fileno(), client.cd, told)]
    assert net.counters()["SoftErrors"] == 1
    net.expect_nothing()
    still_works(net, group, client)


@families
def test_a_storm_of_errors_is_one_event(net: Net, v6: bool) -> None:
    group, client, raw = in_flight(net, v6)
    for _ in range(200):
        net.inject(error(ROUTER[v6], raw, 1 if v6 else 3, 0))
    net.turn()
    assert net.kinds() == [EventKind.SOFT_ERROR]
    net.expect_nothing()
    still_works(net, group, client)


@pytest.mark.requirement("RFC 9293 MUST-55", "RFC 5927 6.2", "RFC 6633 4")
def test_source_quench_is_ignored(net: Net) -> None:
    """MUST-55, RFC 6633."""
    group, client, raw = in_flight(net)
    cwnd = group.info(client.cd).cwnd
    net.inject(error(ROUTER[False], raw, 4, 0))
    net.turn()
    assert net.take_events() == []
    assert group.info(client.cd).cwnd == cwnd
    still_works(net, group, client)


@pytest.mark.requirement("RFC 5927 4.1")
@families
@pytest.mark.parametrize("offset", [-1, 6, 7, 2**31, -(2**31), 100_000])
def test_a_number_that_is_not_in_flight_is_ignored(net: Net, v6: bool, offset: int) -> None:
    """RFC 5927 section 4.1: SND.UNA =< SEG.SEQ < SND.NXT."""
    group, client, raw = in_flight(net, v6)
    at = (40 if v6 else 20) + 4
    seq = (int.from_bytes(raw[at : at + 4]) + offset) % 2**32
    net.inject(error(ROUTER[v6], raw[:at] + seq.to_bytes(4) + raw[at + 4 :], 1 if v6 else 3, 0))
    net.turn()
    assert net.take_events() == []
    assert net.counters()["OutOfWindowIcmps"] == 1
    still_works(net, group, client)


@pytest.mark.requirement("RFC 5927 4.1")
@families
def test_every_number_in_flight_counts(net: Net, v6: bool) -> None:
    group, client, raw = in_flight(net, v6)
    at = (40 if v6 else 20) + 4
    for offset in range(6):
        seq = (int.from_bytes(raw[at : at + 4]) + offset) % 2**32
        net.inject(error(ROUTER[v6], raw[:at] + seq.to_bytes(4) + raw[at + 4 :], 1 if v6 else 3, 0))
        net.turn()
        assert net.kinds() == [EventKind.SOFT_ERROR]
    still_works(net, group, client)


@families
def test_once_acknowledged_nothing_is_in_flight(net: Net, v6: bool) -> None:
    group, client, raw = in_flight(net, v6)
    client.ack()
    net.turn()
    net.inject(error(ROUTER[v6], raw, 1 if v6 else 3, 0))
    net.turn()
    assert net.take_events() == []
    assert group.info(client.cd).active is False, "an error about the past leases nothing"


@pytest.mark.requirement("RFC 9293 MUST-54")
@families
@pytest.mark.parametrize("field", ["source", "destination", "source port", "destination port"])
def test_another_tuple_is_ignored(net: Net, v6: bool, field: str) -> None:
    group, client, raw = in_flight(net, v6)
    header = 40 if v6 else 20
    place = {
        "source": header - (17 if v6 else 5),
        "destination": header - 1,
        "source port": header + 1,
        "destination port": header + 3,
    }[field]
    bent = bytearray(raw)
    bent[place] ^= 1
    here = V6 if v6 else V4
    net.inject(message(ROUTER[v6], here, 1 if v6 else 3, 0, data=bytes(bent[:60])))
    net.turn()
    assert net.take_events() == []
    assert net.counters()["Icmp6InErrors" if v6 else "IcmpInErrors"] == 1
    still_works(net, group, client)


@families
def test_what_is_quoted_must_be_enough(net: Net, v6: bool) -> None:
    """Cut at every length: eight bytes behind the IP header are enough (RFC 792), fewer are not."""
    group, client, raw = in_flight(net, v6)
    enough = (40 if v6 else 20) + 8
    for most in range(enough):
        net.inject(error(ROUTER[v6], raw, 1 if v6 else 3, 0, most=most))
    net.turn()
    assert net.take_events() == []
    net.inject(error(ROUTER[v6], raw, 1 if v6 else 3, 0, most=enough))
    net.turn()
    assert net.kinds() == [EventKind.SOFT_ERROR]
    still_works(net, group, client)


def test_a_quoted_fragment_or_other_protocol_is_ignored(net: Net) -> None:
    group, client, raw = in_flight(net)
    for place, value in ((9, 17), (0, 0x46), (0, 0x44), (0, 0x65), (7, 1), (6, 0x20)):
        bent = raw[:place] + bytes((value,)) + raw[place + 1 :]
        net.inject(message(ROUTER[False], V4, 3, 0, data=bent[:60]))
    net.turn()
    assert net.take_events() == []
    assert net.counters()["IcmpInErrors"] == 6
    still_works(net, group, client)


def test_an_error_for_another_of_our_addresses_is_ignored(net: Net) -> None:
    """What we sent from one address is not told to the other."""
    _, client, raw = in_flight(net, True)
    net.inject(message(ROUTER[False], V4, 3, 0, data=raw[:60]))
    net.turn()
    assert net.take_events() == []
    client.ack()


@pytest.mark.requirement("RFC 5927 4.1")
def test_ten_thousand_guesses(net: Net) -> None:
    """attacks.md 28: whoever must guess the number changes nothing."""
    group, client, raw = in_flight(net)
    dice = random.Random(28)
    mss = group.info(client.cd).mss
    for count in range(10_000):
        bent = raw[:24] + dice.randbytes(4) + raw[28:]
        kind, code = dice.choice([(3, 3), (3, 4), (3, 1), (12, 0)])
        net.inject(message("203.0.113.9", V4, kind, code, rest=68, data=bent[:40]))
        if count % 500 == 499:
            net.turn()
    assert group.info(client.cd).mss == mss
    assert net.take_events() == []
    assert net.counters()["OutOfWindowIcmps"] == 10_000
    still_works(net, group, client)


@pytest.mark.requirement("RFC 9293 SHLD-25")
def test_the_end_says_more_than_a_soft_error(net: Net) -> None:
    """Both in one batch: only the end is told, with its own detail."""
    group, client, raw = in_flight(net)
    net.inject(error(ROUTER[False], raw, 3, 1))
    client.rst()
    net.turn()
    assert net.take_events() == [(EventKind.RESET, group.fileno(), client.cd, 104)]


def test_after_a_soft_error_a_close_in_order_has_no_detail(net: Net) -> None:
    group, client, raw = in_flight(net)
    net.inject(error(ROUTER[False], raw, 3, 1))
    client.fin()
    with net.in_turn():
        group.recv(1)
        group.shutdown(client.cd)
    client.ack(client.rcv_nxt)
    net.turn()
    net.advance(1)
    ends = net.take_events(EventKind.CLOSED)
    assert ends == [(EventKind.CLOSED, group.fileno(), client.cd, 0)]


def test_a_finished_connection_hears_nothing(net: Net) -> None:
    """The application let go of it; the error is about its last bytes."""
    group, client, raw = in_flight(net)
    group.finish(client.cd)
    net.turn()
    net.inject(error(ROUTER[False], raw, 3, 3))
    net.turn()
    assert net.take_events() == []
    client.take()
    client.ack(client.rcv_nxt)
    net.turn()


# --- in the handshake ---------------------------------------------------------


@pytest.mark.requirement("RFC 9293 SHLD-26")
@pytest.mark.parametrize("v6, kind, code", HARD)
def test_a_hard_error_ends_a_handshake(net: Net, v6: bool, kind: int, code: int) -> None:
    group = net.group(7, v6=v6, accept_credits=1)
    peer, here = (PEER_V6, V6) if v6 else (PEER_V4, V4)
    net.inject(build(peer, here, 999, 7, seq=1, flags="S"))
    net.turn()
    [answer] = net.strays
    net.strays.clear()
    assert net.engine.snapshot().half_open == 1
    net.inject(error(ROUTER[v6], answer.raw, kind, code))
    net.turn()
    assert net.engine.snapshot().half_open == 0
    assert net.counters()["AttemptFails"] == 1
    net.advance(10)
    net.expect_nothing()
    assert group.pending() == []


@pytest.mark.requirement("RFC 9293 MUST-56")
@pytest.mark.parametrize("v6, kind, code", SOFT)
def test_a_soft_error_leaves_a_handshake(net: Net, v6: bool, kind: int, code: int) -> None:
    client = net.client(net.group(7, v6=v6)).syn_received()
    net.inject(error(ROUTER[v6], client.judge.opening.raw, kind, code))  # type: ignore[union-attr]
    net.turn()
    client.ack()
    net.turn()
    assert EventKind.ESTABLISHED in net.kinds()


@families
def test_a_handshake_needs_its_exact_number(net: Net, v6: bool) -> None:
    client = net.client(net.group(7, v6=v6)).syn_received()
    opening = client.judge.opening
    assert opening is not None
    at = (40 if v6 else 20) + 4
    for offset in (1, -1, 1_000):
        seq = (opening.seq + offset) % 2**32
        bent = opening.raw[:at] + seq.to_bytes(4) + opening.raw[at + 4 :]
        net.inject(error(ROUTER[v6], bent, 1 if v6 else 3, 4 if v6 else 3))
    net.turn()
    assert net.counters()["OutOfWindowIcmps"] == 3
    client.ack()
    net.turn()
    assert EventKind.ESTABLISHED in net.kinds()


def test_a_request_that_was_not_answered_cannot_fail(net: Net) -> None:
    """Before `accept` we have sent nothing that an error could be about."""
    group = net.group(7)
    client = net.client(group).asked()
    forged = build(V4, PEER_V4, 7, client.sport, seq=0, flags="SA")
    net.inject(error(ROUTER[False], forged, 3, 3))
    net.turn()
    assert len(group.pending()) == 1
    assert net.counters()["OutOfWindowIcmps"] == 1


def test_time_wait_hears_nothing(net: Net) -> None:
    group, client, raw = in_flight(net)
    group.finish(client.cd)
    net.turn()
    client.take()
    client.ack(client.rcv_nxt)
    client.fin()
    net.turn()
    assert net.engine.snapshot().time_wait == 1
    net.inject(error(ROUTER[False], raw, 3, 3))
    net.turn()
    assert net.engine.snapshot().time_wait == 1
    assert net.take_events() == []


# --- in an active open --------------------------------------------------------


def opening(net: Net, v6: bool) -> tuple[Group, Client, bytes]:
    """A connection whose SYN is out, and that packet."""
    group = net.group(7, v6=v6)
    peer = net.listener(group).connected_to()
    return group, peer, peer.expect("S", seq=0).raw


@pytest.mark.requirement("RFC 9293 SHLD-26")
@pytest.mark.parametrize("v6, kind, code", HARD)
def test_a_hard_error_ends_an_active_open(net: Net, v6: bool, kind: int, code: int) -> None:
    """SHLD-26, where nobody has anything to lose yet."""
    group, peer, raw = opening(net, v6)
    net.inject(error(ROUTER[v6], raw, kind, code))
    net.turn()
    assert net.take_events() == [(EventKind.DOWN, group.fileno(), peer.cd, HARD[v6, kind, code])]
    assert net.counters()["AttemptFails"] == 1
    net.advance(10)
    net.expect_nothing()


@pytest.mark.requirement("RFC 9293 MUST-56")
@pytest.mark.parametrize("v6, kind, code", SOFT)
def test_a_soft_error_leaves_an_active_open(net: Net, v6: bool, kind: int, code: int) -> None:
    group, peer, raw = opening(net, v6)
    net.inject(error(ROUTER[v6], raw, kind, code))
    net.turn()
    assert net.take_events() == [(EventKind.SOFT_ERROR, group.fileno(), peer.cd, SOFT[v6, kind, code])]
    peer.answer()
    net.turn()
    assert net.kinds() == [EventKind.ESTABLISHED]
    peer.expect("A", seq=1, ack=1)


@families
@pytest.mark.parametrize("offset", [-1, 1, 2**31])
def test_an_active_open_needs_its_exact_number(net: Net, v6: bool, offset: int) -> None:
    _, peer, raw = opening(net, v6)
    at = (40 if v6 else 20) + 4
    seq = (int.from_bytes(raw[at : at + 4]) + offset) % 2**32
    net.inject(error(ROUTER[v6], raw[:at] + seq.to_bytes(4) + raw[at + 4 :], 1 if v6 else 3, 4 if v6 else 3))
    net.turn()
    assert net.take_events() == []
    assert net.counters()["OutOfWindowIcmps"] == 1
    peer.answer()
    net.turn()
    peer.expect("A", seq=1, ack=1)
