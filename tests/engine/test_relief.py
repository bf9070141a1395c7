"""A buffer that goes on discarding aborts who holds much of it (P27 to P30, RFC 6429)."""

from __future__ import annotations

import errno

import pytest
from support.net import MakeNet, Net
from support.peer import Client
from support.pressure import DISCARDING, Crowd

from xtcp_twisted.config import ALL, UNLIMITED
from xtcp_twisted.engine.kinds import EventKind

CHUNK = 244
CHUNKS = 1_024


def ends(net: Net) -> list[tuple[int, int]]:
    """(cd, errno) of the connections that went down since the last time."""
    return [(cd, detail) for _, _, cd, detail in net.take_events(EventKind.DOWN)]


class TestAPool:
    """Discarding, and the application acknowledges nothing."""

    @pytest.mark.feature("P27")
    def test_the_largest_holder_is_aborted_after_ten_seconds(self, make_net: MakeNet) -> None:
        """By reset, with an event whose errno says why, and counted; the pool has room again."""
        crowd = Crowd(make_net())
        net = crowd.net
        crowd.fill(DISCARDING)
        begun = net.engine.snapshot().pools[0].receive_buffer.pressure.since
        held = {member.cd: crowd.group.info(member.cd).held for member in crowd.members}
        net.advance(begun + 9.9 - net.now)
        assert ends(net) == []
        for peer in crowd.members:
            peer.take()
        net.advance(0.7)
        [(cd, why)] = ends(net)
        assert why == errno.ENOBUFS
        assert held[cd] // CHUNK == max(held.values()) // CHUNK
        victim = next(member for member in crowd.members if member.cd == cd)
        victim.expect_reset(seq=1)
        assert crowd.state != "discarding"
        assert crowd.counters["PressureAborts"] == net.counters()["PressureAborts"] == 1
        assert net.counters()["TransmitAborts"] == 0
        net.advance(60)
        assert ends(net) == []
        for peer in crowd.members:
            peer.take()

    @pytest.mark.feature("P27")
    def test_an_application_that_acknowledges_now_and_then_is_waited_for(self, make_net: MakeNet) -> None:
        crowd = Crowd(make_net())
        net = crowd.net
        crowd.fill(DISCARDING)
        member = crowd.members[0]
        while crowd.group.info(member.cd).delivered == 0:
            crowd.group.recv(65_536)
        for _ in range(8):
            net.advance(7)
            crowd.group.send(member.cd, b"", ackd=1)
            net.flush()
        assert crowd.state == "discarding"
        assert ends(net) == []
        for peer in crowd.members:
            peer.take()

    @pytest.mark.feature("P30")
    def test_low_priority_goes_first(self, make_net: MakeNet) -> None:
        """Though others hold more, as long as it holds more than each is guaranteed."""
        crowd = Crowd(make_net())
        low = crowd.client(priority="low")
        low.send(b"l" * 1_400)
        crowd.net.turn()
        low.send(b"l" * 1_400, seq=1_401)
        crowd.net.turn()
        crowd.fill(DISCARDING)
        crowd.net.advance(10.6)
        assert ends(crowd.net)[0] == (low.cd, errno.ENOBUFS)
        for peer in (low, *crowd.members):
            peer.take()

    @pytest.mark.feature("P27")
    def test_each_second_twice_as_many_until_it_helps(self, make_net: MakeNet) -> None:
        """Small holders of four chunks: 844 are the most of 1,024 that are less than 82.5 %, and 19 to go."""
        net = make_net()
        pool = net.engine.create_pool(CHUNKS * 256)
        group = net.group(7, pool=pool, accept_credits=UNLIMITED)
        clients = []
        for _ in range(230):
            client = net.client(group).established()
            clients.append(client)
        for client in clients:
            client.send(b"p" * 4 * CHUNK)
            net.turn()
        assert net.engine.snapshot().pools[0].receive_buffer.pressure.state == "discarding"
        counts = []
        for _ in range(40):
            net.advance(0.5)
            counts.append(len(ends(net)))
        net.advance(30)
        found = [count for count in counts if count]
        assert found == [1, 2, 4, 8, 4]
        assert ends(net) == []
        for client in clients:
            client.take()

    @pytest.mark.feature("P01", "P27")
    def test_other_pools_are_left_alone(self, make_net: MakeNet) -> None:
        crowd = Crowd(make_net())
        other = crowd.net.engine.create_pool(1 << 20)
        bystander = crowd.net.client(crowd.net.group(5, pool=other)).established()
        bystander.send(b"waits")
        crowd.net.turn()
        crowd.fill(DISCARDING)
        crowd.net.advance(30)
        assert bystander.cd not in dict(ends(crowd.net))
        assert crowd.net.engine.snapshot().pools[1].counters["PressureAborts"] == 0
        for peer in (bystander, *crowd.members):
            peer.take()


class Hall:
    """A transmit buffer of 1,024 chunks, and peers who do not take what is sent to them."""

    def __init__(self, net: Net, peers: int, chunks: int, **ack: int) -> None:
        self.net = net
        self.group = net.group(7, weight=64, accept_credits=UNLIMITED)
        self.peers = [net.client(self.group).established() for _ in range(peers)]
        self.honest = net.client(self.group).established()
        for peer in self.peers:
            if ack:
                peer.ack(**ack)
                net.turn()
            self.group.send(peer.cd, b"s" * chunks * CHUNK)
            net.turn()

    @property
    def state(self) -> str:
        return self.net.engine.snapshot().transmit_buffer.pressure.state

    def leave(self) -> None:
        for peer in (*self.peers, self.honest):
            peer.take()


@pytest.fixture
def small(make_net: MakeNet) -> Net:
    return make_net(transmit_buffer=CHUNKS * 256)


@pytest.mark.feature("P27")
@pytest.mark.parametrize("window", [0, 65_535])
def test_who_has_stalled_makes_room(small: Net, window: int) -> None:
    """A closed window whose probes are answered, or no acknowledgement at all; then it discards no more."""
    hall = Hall(small, 90, 10, win=window)
    assert hall.state == "discarding"
    for _ in range(19):
        small.advance(0.5)
        for peer in hall.peers:
            if window == 0 and peer.take():
                peer.ack(win=0)
    told = ends(small)
    assert told == [], "nobody has stalled for ten seconds"
    for _ in range(4):
        small.advance(0.5)
        for peer in hall.peers:
            if window == 0 and peer.take():
                peer.ack(win=0)
    told = ends(small)
    assert hall.state != "discarding"
    assert {why for _, why in told} == {errno.ENOBUFS}
    assert len(told) == small.counters()["TransmitAborts"]
    assert 1 <= len(told) <= 9, "no more than it takes"
    assert small.counters()["PressureAborts"] == 0
    hall.leave()


@pytest.mark.feature("P27")
def test_a_closed_window_gets_less_patience_when_the_buffer_is_full(small: Net) -> None:
    """Sockstress: who had got no room is told when there is some, and gets an answer through."""
    hall = Hall(small, 128, 8, win=0)
    assert small.transmit_used == CHUNKS * 256
    assert hall.group.send(hall.honest.cd, b"answer") == 0
    small.take_events()
    small.advance(4.0)
    assert [event[2] for event in small.take_events(EventKind.WRITABLE)] == [hall.honest.cd]
    assert hall.group.send(hall.honest.cd, b"answer") == 6
    small.turn()
    assert 0 < len(ends(small)) < 40
    hall.leave()


@pytest.mark.feature("P27")
def test_who_takes_a_segment_now_and_then_is_not_stalled(small: Net) -> None:
    """Nor who has nothing queued; a few bytes are no progress."""
    hall = Hall(small, 90, 10, win=65_535)
    steady, drops = hall.peers[:2]
    for peer in hall.peers:
        peer.take()
    for step in range(3):
        small.advance(4.0)
        steady.ack(min(1 + 1_000 * (step + 1), steady.rcv_nxt))
        drops.ack(1 + step)
        small.turn()
        steady.send(b"")
    small.advance(3.0)
    gone = dict(ends(small))
    assert gone
    assert steady.cd not in gone
    assert hall.honest.cd not in gone
    hall.leave()


@pytest.mark.feature("P30")
def test_of_the_stalled_low_priority_goes_first(small: Net) -> None:
    low = small.group(8, priority="low", weight=64)
    first = small.client(low).established()
    assert low.send(first.cd, b"l" * 9 * CHUNK) == 9 * CHUNK
    small.turn()
    hall = Hall(small, 90, 10, win=0)
    small.advance(11.0)
    assert ends(small)[0] == (first.cd, errno.ENOBUFS)
    first.take()
    hall.leave()


def test_the_application_may_have_finished_with_it(small: Net) -> None:
    """Then there is nobody to tell; its chunks are free all the same."""
    hall = Hall(small, 90, 10, win=0)
    for peer in hall.peers:
        hall.group.finish(peer.cd)
    small.turn()
    small.advance(11.0)
    assert hall.state != "discarding"
    assert ends(small) == []
    assert small.counters()["TransmitAborts"] > 0
    hall.leave()


def test_all_is_acknowledged_all_the_same(make_net: MakeNet) -> None:
    """A stuck application that wakes up after the abort goes on with the others."""
    crowd = Crowd(make_net())
    crowd.fill(DISCARDING)
    crowd.net.advance(10.6)
    [(gone, _)] = ends(crowd.net)
    left: list[Client] = [member for member in crowd.members if member.cd != gone]
    with crowd.net.in_turn():
        while crowd.group.recv(1 << 20):
            pass
        for member in left:
            crowd.group.send(member.cd, b"", ackd=ALL)
    assert crowd.used == 0
    for member in crowd.members:
        member.take()
