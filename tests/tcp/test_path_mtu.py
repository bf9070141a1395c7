"""Path MTU discovery and what guards it (RFC 1191, RFC 8201, RFC 5927 section 7, RFC 4821 section 7.7)."""

from __future__ import annotations

import pytest
from support.icmp import message, too_big
from support.net import Net
from support.peer import Client

from xtcp_twisted.config import ALL, PATH_LIFETIME_S
from xtcp_twisted.engine import Group

ROUTER = {False: "203.0.113.1", True: "2001:db8:f::1"}
families = pytest.mark.parametrize("v6", [False, True], ids=["IPv4", "IPv6"])
#: IP and TCP headers with timestamps.
HEADERS = {False: 52, True: 72}
FLOOR = {False: 552, True: 1_280}


def asked(net: Net, v6: bool = False, **client: object) -> tuple[Group, Client]:
    group = net.group(7, v6=v6)
    return group, net.client(group, mss=1_500 - (60 if v6 else 40), **client).established()


def answer(net: Net, group: Group, client: Client, data: bytes) -> list[bytes]:
    """The engine sends `data`; its packets."""
    client.send(b"request")
    with net.in_turn():
        group.recv(100)
        assert group.send(client.cd, data, ackd=ALL) == len(data)
    return [segment.raw for segment in client.take()]


def told(net: Net, raw: bytes, mtu: int) -> None:
    net.inject(too_big(ROUTER[raw[0] >> 4 == 6], raw, mtu))
    net.turn()


@pytest.mark.requirement("RFC 1191 6.4", "RFC 1191 6.4 congestion", "RFC 8201 5.4")
@families
def test_what_was_too_big_is_sent_again_at_once(net: Net, v6: bool) -> None:
    """RFC 1191 section 6.4: retransmission without a congestion response, in packets of the new size."""
    group, client = asked(net, v6)
    data = bytes(range(250)) * 40
    full = 1_500 - HEADERS[v6]
    raws = answer(net, group, client, data)
    assert max(map(len, raws)) == 1_500
    before = group.info(client.cd)
    told(net, raws[0], 1_400)
    again = client.take()
    assert b"".join(segment.data for segment in again) == data
    assert {len(segment.raw) for segment in again[:-1]} == {1_400}
    after = group.info(client.cd)
    assert (before.cwnd // full, after.cwnd // (full - 100)) == (10, 10), "as many segments as before"
    assert after.ssthresh == before.ssthresh
    assert after.mss == 1_400 - HEADERS[v6] + 12
    assert net.counters()["PathNarrowed"] == 1
    client.ack()
    net.turn()
    net.advance(5)
    client.expect_nothing()
    assert client.received == data


@pytest.mark.requirement("RFC 1191 6.4")
@families
def test_each_of_a_flight_is_answered_once(net: Net, v6: bool) -> None:
    """Ten packets, ten messages: everything goes once more, not ten times."""
    group, client = asked(net, v6)
    raws = answer(net, group, client, bytes(10_000))
    for raw in raws:
        net.inject(too_big(ROUTER[v6], raw, 1_300))
    net.turn()
    assert sum(len(segment.data) for segment in client.take()) == 10_000
    client.ack()
    net.turn()


@families
def test_a_path_that_narrows_twice(net: Net, v6: bool) -> None:
    group, client = asked(net, v6)
    raws = answer(net, group, client, bytes(5_000))
    told(net, raws[0], 1_400)
    raws = [segment.raw for segment in client.take()]
    told(net, raws[0], 1_300)
    assert {len(segment.raw) for segment in client.take()[:-1]} == {1_300}
    client.ack()
    net.turn()


@pytest.mark.requirement("RFC 1191 3 floor", "RFC 5927 7.1")
@pytest.mark.parametrize("mtu", [1, 67, 68, 296, 551])
def test_the_floor_of_ipv4(net: Net, mtu: int) -> None:
    """RFC 5927 section 7.1: nobody makes us send segments that are all header."""
    group, client = asked(net)
    raws = answer(net, group, client, bytes(3_000))
    told(net, raws[0], mtu)
    assert {len(segment.raw) for segment in client.take()[:-1]} == {552}
    client.ack()
    net.turn()


@pytest.mark.requirement("RFC 5927 7.1", "RFC 8201 4")
@pytest.mark.parametrize("mtu", [0, 68, 1_279])
def test_less_than_ipv6_guarantees_is_discarded(net: Net, mtu: int) -> None:
    """RFC 8201 section 4."""
    group, client = asked(net, True)
    raws = answer(net, group, client, bytes(3_000))
    told(net, raws[0], mtu)
    client.expect_nothing()
    assert group.info(client.cd).mss == 1_440
    client.ack()
    net.turn()


@pytest.mark.requirement("RFC 1191 5", "RFC 1191 7.1")
@pytest.mark.parametrize("own, plateau", [(1_500, 1_492), (1_492, 1_006), (1_000, 552)])
def test_a_router_that_does_not_tell(make_net: type[Net], own: int, plateau: int) -> None:
    """RFC 1191 section 5 and 7.1: an MTU of zero means the next smaller plateau."""
    net = make_net(mtu=own)
    group, client = asked(net)
    raws = answer(net, group, client, bytes(3_000))
    assert len(raws[0]) == own
    told(net, raws[0], 0)
    assert {len(segment.raw) for segment in client.take()[:-1]} == {plateau}
    client.ack()
    net.turn()


@families
@pytest.mark.parametrize("mtu", [1_500, 1_501, 9_000, 65_535])
def test_a_message_about_a_packet_that_would_have_passed(net: Net, v6: bool, mtu: int) -> None:
    group, client = asked(net, v6)
    raws = answer(net, group, client, bytes(3_000))
    told(net, raws[0], mtu)
    client.expect_nothing()
    assert net.counters()["PathNarrowed"] == 0
    client.ack()
    net.turn()


@families
def test_a_small_packet_cannot_have_been_too_big(net: Net, v6: bool) -> None:
    group, client = asked(net, v6)
    [raw] = answer(net, group, client, b"short")
    told(net, raw, 1_300)
    client.expect_nothing()
    assert net.counters()["PathNarrowed"] == 0
    client.ack()
    net.turn()


@families
@pytest.mark.parametrize("offset", [-1, 3_000, 2**31, 77_777])
def test_a_number_that_is_not_in_flight_is_ignored(net: Net, v6: bool, offset: int) -> None:
    group, client = asked(net, v6)
    raw = answer(net, group, client, bytes(3_000))[0]
    at = (40 if v6 else 20) + 4
    seq = (int.from_bytes(raw[at : at + 4]) + offset) % 2**32
    told(net, raw[:at] + seq.to_bytes(4) + raw[at + 4 :], 1_300)
    client.expect_nothing()
    assert net.counters()["OutOfWindowIcmps"] == 1
    client.ack()
    net.turn()


@pytest.mark.requirement("RFC 5927 7.2")
@families
def test_once_the_size_fits_a_message_waits_for_a_timeout(net: Net, v6: bool) -> None:
    """RFC 5927 section 7.2: progress disproves it; data that does not come through confirms it."""
    group, client = asked(net, v6)
    answer(net, group, client, bytes(3_000))
    client.ack()
    net.turn()
    raws = answer(net, group, client, bytes(3_000))
    told(net, raws[0], 1_300)
    client.expect_nothing()
    assert group.info(client.cd).mss == 1_500 - HEADERS[v6] + 12
    assert net.counters()["PathDoubted"] == 1
    # No acknowledgement comes: the timeout sends it again, and the router says it again.
    net.advance(0.5)
    again = [segment.raw for segment in client.take() if len(segment.raw) == 1_500]
    assert again
    told(net, again[0], 1_300)
    assert max(len(segment.raw) for segment in client.take()) == 1_300
    client.ack()
    net.turn()


@pytest.mark.requirement("RFC 5927 7.2")
@families
def test_progress_disproves_a_message(net: Net, v6: bool) -> None:
    group, client = asked(net, v6)
    answer(net, group, client, bytes(3_000))
    client.ack()
    net.turn()
    for _ in range(3):
        raws = answer(net, group, client, bytes(3_000))
        assert max(map(len, raws)) == 1_500
        for raw in raws:
            told(net, raw, 1_300)
        client.expect_nothing()
        client.ack()
        net.turn()
    assert net.counters()["PathNarrowed"] == 0
    assert net.counters()["PathDoubted"] == 3 * len(raws[:-1])


@pytest.mark.requirement("RFC 8201 5.2")
@families
def test_another_connection_to_that_destination_starts_narrow(net: Net, v6: bool) -> None:
    """RFC 8201 section 5.2: what one packetization layer learns the others use."""
    group, first = asked(net, v6)
    told(net, answer(net, group, first, bytes(3_000))[0], 1_400)
    first.take()
    first.ack()
    net.turn()
    second = net.client(group, mss=1_440).established()
    third = net.client(group, ip="2001:db8:d::9" if v6 else "198.51.100.99", mss=1_440).established()
    assert max(map(len, answer(net, group, second, bytes(3_000)))) == 1_400
    assert max(map(len, answer(net, group, third, bytes(3_000)))) == 1_440 + (60 if v6 else 40)
    for client in (second, third):
        client.ack()
    net.turn()


@pytest.mark.requirement("RFC 1191 6.3", "RFC 8201 4 age")
@families
def test_it_is_forgotten_after_ten_minutes(net: Net, v6: bool) -> None:
    """RFC 8201 section 4: a larger MTU may be tried again; the connection's own agreement stays its limit."""
    group, client = asked(net, v6)
    told(net, answer(net, group, client, bytes(3_000))[0], 1_400)
    client.take()
    client.ack()
    net.turn()
    net.advance(PATH_LIFETIME_S - 10)
    assert max(map(len, answer(net, group, client, bytes(3_000)))) == 1_400
    client.ack()
    net.turn()
    net.advance(20)
    assert net.counters()["PathWidened"] == 1
    raws = answer(net, group, client, bytes(3_000))
    assert max(map(len, raws)) == 1_500
    second = net.client(group, mss=1_440).established()
    assert max(map(len, answer(net, group, second, bytes(3_000)))) == 1_440 + (60 if v6 else 40)
    # Still narrow: one message is enough again, nothing of that size was acknowledged since.
    told(net, raws[0], 1_400)
    assert {len(segment.raw) for segment in client.take()[:-1]} == {1_400}
    for each in (client, second):
        each.ack()
    net.turn()


def test_what_another_connection_learned_meanwhile_keeps_it_narrow(net: Net) -> None:
    group, client = asked(net)
    told(net, answer(net, group, client, bytes(3_000))[0], 1_400)
    client.take()
    client.ack()
    net.turn()
    net.advance(PATH_LIFETIME_S - 100)
    second = net.client(group).established()
    told(net, answer(net, group, second, bytes(3_000))[0], 1_300)
    second.take()
    second.ack()
    net.turn()
    net.advance(200)
    assert net.counters()["PathWidened"] == 0
    assert group.info(client.cd).mss == 1_360
    net.advance(PATH_LIFETIME_S)
    assert net.counters()["PathWidened"] == 2
    assert (group.info(client.cd).mss, group.info(second.cd).mss) == (1_460, 1_460)


def test_a_connection_that_is_gone_is_not_widened(net: Net) -> None:
    group, client = asked(net)
    told(net, answer(net, group, client, bytes(3_000))[0], 1_400)
    client.take()
    client.rst()
    net.turn()
    other = net.client(group, ip="198.51.100.99", mss=900).established()
    net.advance(PATH_LIFETIME_S + 10)
    assert net.counters()["PathWidened"] == 0
    assert group.info(other.cd).mss == 900


def test_many_destinations_take_no_more_room(net: Net) -> None:
    """The oldest are forgotten; the newest is known, whoever came before."""
    group = net.group(7)
    for number in range(1_100):
        ip = f"198.18.{number // 250}.{number % 250 + 1}"
        client = net.client(group, ip=ip).established()
        told(net, answer(net, group, client, bytes(2_000))[0], 1_400)
        client.take()
        client.rst()
        net.turn()
        net.clients.clear()
    last = net.client(group, ip=ip).established()
    assert group.info(last.cd).mss == 1_360
    assert net.counters()["PathNarrowed"] == 1_100


def test_a_promised_connection_starts_narrow_too(net: Net) -> None:
    """`accept` makes the record before the handshake completes; its end forgets nothing."""
    group, first = asked(net)
    told(net, answer(net, group, first, bytes(3_000))[0], 1_400)
    first.take()
    first.ack()
    net.turn()
    client = net.client(group).syn_received()
    client.ack()
    net.turn()
    assert group.info(client.cd).mss == 1_360
    net.advance(PATH_LIFETIME_S + 10)
    assert group.info(client.cd).mss == 1_460


@pytest.mark.requirement("RFC 8201 5.2")
def test_an_active_open_starts_narrow_too(net: Net) -> None:
    group, first = asked(net)
    told(net, answer(net, group, first, bytes(3_000))[0], 1_400)
    first.take()
    first.ack()
    net.turn()
    net.take_events()
    peer = net.listener(group).active_established()
    assert group.info(peer.cd).mss == 1_360
    net.advance(PATH_LIFETIME_S + 10)
    assert group.info(peer.cd).mss == 1_460


# --- black holes --------------------------------------------------------------


@pytest.mark.requirement("RFC 4821 7.7")
@families
def test_a_black_hole_is_found(net: Net, v6: bool) -> None:
    """Full segments vanish without a word: after three timeouts they have the floor's size."""
    group, client = asked(net, v6)
    data = bytes(range(200)) * 20
    answer(net, group, client, data)
    net.advance(10)
    sizes = [len(segment.raw) for segment in client.take()]
    assert sizes.count(1_500) == 3
    after = sizes[sizes.index(FLOOR[v6]) :]
    assert max(after) == FLOOR[v6]
    assert net.counters()["PathBlackHoles"] == 1
    client.ack(1 + FLOOR[v6] - HEADERS[v6])
    net.turn()
    assert max(len(segment.raw) for segment in client.take()) == FLOOR[v6]
    client.ack()
    net.turn()
    net.advance(PATH_LIFETIME_S + 10)
    client.take()
    assert group.info(client.cd).mss == 1_500 - HEADERS[v6] + 12


@pytest.mark.requirement("RFC 4821 7.7")
@families
def test_a_client_that_asks_again_hides_no_black_hole(net: Net, v6: bool) -> None:
    """Each copy of its request brings the answer before the timer does, as large as before."""
    group, client = asked(net, v6)
    client.send(b"request")
    with client.losing() as lost:
        with net.in_turn():
            group.recv(100)
            group.send(client.cd, bytes(4_000), ackd=ALL)
        net.advance(0.15)
        for _ in range(6):
            client.send(b"request", seq=1)
            net.turn()
            net.advance(0.25)
    assert net.counters()["AnswersReplayed"] >= 4
    assert net.counters()["PathBlackHoles"] == 1
    assert len(lost[-1].raw) == FLOOR[v6]


@pytest.mark.requirement("RFC 4821 7.7")
def test_a_size_that_did_fit_is_suspected_later(net: Net) -> None:
    """A path that loses much is no black hole; one that changed is found all the same."""
    group, client = asked(net)
    answer(net, group, client, bytes(3_000))
    client.ack()
    net.turn()
    answer(net, group, client, bytes(4_000))
    net.advance(60)
    sizes = [len(segment.raw) for segment in client.take()]
    assert sizes.count(1_500) == 6
    assert max(sizes[sizes.index(552) :]) == 552
    assert net.counters()["PathBlackHoles"] == 1
    client.ack()
    net.turn()


@families
def test_small_segments_meet_no_black_hole(net: Net, v6: bool) -> None:
    """A peer that is away for a while costs nothing but time."""
    group, client = asked(net, v6)
    answer(net, group, client, bytes(400))
    net.advance(10)
    assert net.counters()["PathBlackHoles"] == 0
    client.take()
    client.ack()
    net.turn()
    assert max(map(len, answer(net, group, client, bytes(3_000)))) == 1_500
    client.ack()
    net.turn()


def test_a_guess_is_not_learned(net: Net) -> None:
    group, client = asked(net)
    answer(net, group, client, bytes(3_000))
    net.advance(10)
    client.take()
    client.ack()
    net.turn()
    second = net.client(group).established()
    assert group.info(second.cd).mss == 1_460


def test_a_peer_with_a_small_mss_is_left_alone(net: Net) -> None:
    """MIN_SEND_MSS may be below the floor of the path."""
    group = net.group(7)
    client = net.client(group, mss=300).established()
    raws = answer(net, group, client, bytes(2_000))
    told(net, raws[0], 68)
    client.expect_nothing()
    net.advance(10)
    assert {len(segment.data) for segment in client.take()} <= {288, 2_000 % 288}
    assert net.counters()["PathNarrowed"] == net.counters()["PathBlackHoles"] == 0
    client.ack()
    net.turn()


def test_too_big_says_nothing_about_a_handshake(net: Net) -> None:
    client = net.client(net.group(7)).syn_received()
    opening = client.judge.opening
    assert opening is not None
    net.inject(message(ROUTER[False], opening.src, 3, 4, rest=68, data=opening.raw[:40]))
    net.turn()
    client.ack()
    net.turn()
    assert client.group is not None
    assert client.group.info(client.cd).mss == 1_460


@pytest.mark.requirement("RFC 1191 3", "RFC 6864 4.1")
@families
def test_every_packet_says_dont_fragment(net: Net, v6: bool) -> None:
    """RFC 1191 section 3; RFC 6864 section 4.1: an atomic datagram's ID says nothing, so it is zero."""
    group, client = asked(net, v6)
    raws = answer(net, group, client, bytes(3_000))
    if not v6:
        assert {raw[4:8] for raw in raws} == {b"\0\0\x40\0"}
    client.ack()
    net.turn()
