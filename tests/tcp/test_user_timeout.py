"""R1 and R2: when the application is told of trouble, and when a connection is given up (RFC 9293 3.8.3)."""

from __future__ import annotations

import errno

import pytest
from support.net import MakeNet, Net
from support.peer import Client

from xtcp_twisted.config import ALL, R1_RETRANSMISSIONS
from xtcp_twisted.engine.kinds import ENDS, EventKind
from xtcp_twisted.errors import LocalError


def end_after(net: Net, client: Client, limit: float) -> float | None:
    """Seconds until the connection's end is reported, None if that takes longer than `limit`."""
    start = net.now
    while net.now < start + limit:
        net.advance(0.5)
        if net.take_events(*ENDS):
            client.take()
            return net.now - start
    client.take()
    return None


def silent(net: Net, **options: float) -> Client:
    """A peer that does not acknowledge what the engine has sent it."""
    group = net.group(7, **options)
    client = net.client(group).established()
    group.send(client.cd, b"answer")
    net.flush()
    net.take_events()
    return client


@pytest.mark.requirement("RFC 9293 SHLD-9", "RFC 9293 SHLD-10", "RFC 9293 MUST-20")
def test_the_application_is_told_at_r1(net: Net) -> None:
    """After three timeouts, once, and long before R2."""
    client = silent(net)
    while not (told := net.take_events()):
        net.advance(0.1)
    assert [(e[0], e[2], e[3]) for e in told] == [(EventKind.SOFT_ERROR, client.cd, errno.ETIMEDOUT)]
    again = [s for s in client.take() if s.time > net.ladder.start]
    assert len(again) >= R1_RETRANSMISSIONS >= 3
    net.advance(60)
    assert net.take_events() == []
    client.take()


@pytest.mark.requirement("RFC 9293 SHLD-9")
def test_an_answer_that_a_repeated_request_brings_counts_as_well(net: Net) -> None:
    """Whichever retransmission is the third."""
    group = net.group(7)
    client = net.client(group).established()
    client.request(b"request")
    with client.losing():
        group.send(client.cd, b"answer", ackd=ALL)
        net.flush()
        net.take_events()
        while net.counters()["TCPTimeouts"] < R1_RETRANSMISSIONS - 1:
            net.advance(0.05)
        assert net.take_events() == []
        net.advance(0.1)
        client.send(b"request", seq=1)
        net.turn()
        assert net.counters()["AnswersReplayed"] == 1
        assert net.kinds() == [EventKind.SOFT_ERROR]
        net.advance(60)
    assert net.take_events() == []


@pytest.mark.requirement("RFC 9293 SHLD-9")
def test_a_second_trouble_is_told_again(net: Net) -> None:
    client = silent(net, timestamps=False)
    for _ in range(2):
        net.advance(10)
        assert net.kinds() == [EventKind.SOFT_ERROR]
        client.take()
        client.ack()
        net.turn()
        assert client.group is not None
        client.group.send(client.cd, b"next answer")
        net.flush()
    net.engine.close()


@pytest.mark.feature("P21")
@pytest.mark.requirement("RFC 9293 MUST-20", "RFC 9293 SHLD-11")
def test_r2_ends_it(net: Net) -> None:
    assert end_after(net, silent(net), 200) == pytest.approx(100, abs=0.5)


@pytest.mark.requirement("RFC 9293 MUST-21")
@pytest.mark.parametrize("group_s", [0, 5, 100])
@pytest.mark.parametrize("own_s", [3, 30])
@pytest.mark.parametrize("when", ["idle", "waiting"])
def test_r2_of_one_connection(net: Net, group_s: float, own_s: float, when: str) -> None:
    """Set before anything is sent, or while it is being sent again; others keep their group's."""
    group = net.group(7, user_timeout_s=group_s)
    client, other = net.client(group).established(), net.client(group).established()
    if when == "idle":
        group.set_user_timeout(client.cd, own_s)
    for each in (client, other):
        group.send(each.cd, b"answer")
    net.flush()
    if when == "waiting":
        group.set_user_timeout(client.cd, own_s)
    first = end_after(net, client, min(own_s, group_s or 1_000) + 1)
    assert first == pytest.approx(min(own_s, group_s or 1_000), abs=0.5)
    assert len(group) == 1
    second = end_after(net, other, 200)
    later = max(own_s, group_s) - min(own_s, group_s)
    if group_s:
        assert second == pytest.approx(later, abs=1)
    else:
        assert second is None
        net.engine.close()
    client.take()


@pytest.mark.feature("P05")
@pytest.mark.requirement("RFC 9293 MUST-21")
def test_none_returns_to_the_groups(net: Net) -> None:
    client = silent(net, user_timeout_s=10)
    assert client.group is not None
    client.group.set_user_timeout(client.cd, 50)
    client.group.set_user_timeout(client.cd, None)
    assert end_after(net, client, 60) == pytest.approx(10, abs=0.5)


@pytest.mark.requirement("RFC 9293 MUST-21")
def test_zero_never_gives_up(net: Net) -> None:
    client = silent(net, user_timeout_s=10)
    assert client.group is not None
    client.group.set_user_timeout(client.cd, 0)
    assert end_after(net, client, 3_600) is None
    client.ack()
    net.turn()
    client.is_alive()


def test_a_slot_that_is_used_again_has_its_groups(make_net: MakeNet) -> None:
    net = make_net(max_connections=16)
    group = net.group(7, user_timeout_s=10)
    for _ in range(16):
        client = net.client(group).established()
        group.set_user_timeout(client.cd, 50)
        group.abort(client.cd)
        net.turn()
        client.take()
    client = net.client(group).established()
    group.send(client.cd, b"answer")
    net.flush()
    assert end_after(net, client, 60) == pytest.approx(10, abs=0.5)


@pytest.mark.parametrize("wrong", [-1, 0.5, 1_000_001, "5", True, float("nan")])
def test_what_is_no_time_is_refused(net: Net, wrong: object) -> None:
    client = net.client(net.group(7)).established()
    assert client.group is not None
    with pytest.raises(LocalError, match="timeout_s"):
        client.group.set_user_timeout(client.cd, wrong)  # type: ignore[arg-type]


@pytest.mark.requirement("RFC 9293 SHLD-9")
def test_a_closed_window_that_is_not_answered_for_is_trouble_too(net: Net) -> None:
    """Probes that are answered are not (MUST-37); see test_peer_window.py."""
    group = net.group(7)
    client = net.client(group).established()
    client.ack(win=0)
    group.send(client.cd, bytes(1_000))
    net.turn()
    net.take_events()
    for _ in range(50):
        net.advance(0.1)
        if client.take():
            client.ack(1, win=0)
            net.turn()
    assert net.take_events() == []
    net.advance(600)
    assert net.kinds() == [EventKind.SOFT_ERROR, EventKind.DOWN]
    client.take()
