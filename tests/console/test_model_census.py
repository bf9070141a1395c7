"""The census beside the traffic: in slices, every five seconds, complete or not at all."""

from __future__ import annotations

import pytest
from support.net import MakeNet, Net
from support.watched import EPOCH, Watched
from twisted.internet import task

from xtcp_console import census
from xtcp_console.census import EDGES_S, PAUSE_S, SLICE_S, CensusTaker


@pytest.fixture
def watched(net: Net) -> Watched:
    return Watched(net)


class Stopwatch:
    """Each look at it takes a while."""

    def __init__(self, look_s: float) -> None:
        self.now = 0.0
        self.looks = 0
        self.look_s = look_s

    def __call__(self) -> float:
        self.looks += 1
        self.now += self.look_s
        return self.now


def test_there_is_none_before_the_first_is_complete(watched: Watched) -> None:
    assert watched.tick.census is None
    watched.count()
    assert watched.tick.census is not None


def test_connections_by_state_and_idle_time(watched: Watched) -> None:
    net = watched.net
    group = net.group(7)
    net.client(group).established()
    watched.seconds(2)
    net.client(group).established()
    net.client(group).established()
    net.client(group).time_wait()
    watched.seconds(4)
    watched.count()
    taken = watched.tick.census
    assert taken is not None
    assert taken.edges_s == EDGES_S == (1, 10, 60, 600, 3_600)
    assert taken.rows == {"ESTABLISHED": (0, 3, 0, 0, 0, 0), "TIME_WAIT": (0, 1, 0, 0, 0, 0)}
    assert taken.total == 4
    at = taken.at
    assert EPOCH + 1_005 <= at <= EPOCH + net.now
    watched.seconds(2)
    assert watched.tick.census is taken, "until the next is complete"
    watched.seconds(6)
    later = watched.tick.census
    assert later is not None
    assert later.rows["ESTABLISHED"] == (0, 2, 1, 0, 0, 0), "the first is idle for ten seconds now"
    assert later.at > at


def test_one_begins_every_five_seconds(watched: Watched) -> None:
    times = []
    for _ in range(20 * 16):
        watched.pass_by(0.0625)
        if (taken := watched.tick.census) is not None:
            times.append(taken.at)
    began = sorted(set(times))
    assert [round(at - EPOCH - 1_000) for at in began] == [0, 5, 10, 15]


def test_one_that_takes_longer_than_five_seconds_comes_to_its_end(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(census, "ROWS", 1)
    monkeypatch.setattr(census, "SLICE_S", 0)
    group = watched.net.group(7)
    for _ in range(8):
        watched.net.client(group).established()
    watched.seconds(12)
    taken = watched.tick.census
    assert taken is not None
    assert taken.total == 8


def test_no_slice_is_longer_than_its_time(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """20 rows, three at a time; a slice has time for two times three."""
    group = net.group(7)
    for _ in range(20):
        net.client(group).established()
    monkeypatch.setattr(census, "ROWS", 3)
    reactor = task.Clock()
    watch = Stopwatch(SLICE_S * 0.6)
    taker = CensusTaker(reactor, lambda: EPOCH, watch)
    taker.begin(net.engine)
    slices = 0
    while taker.busy:
        looks = watch.looks
        reactor.advance(PAUSE_S)
        slices += 1
        assert watch.looks - looks <= 3, "at its start, and after each three rows until its time was over"
    assert slices == 4
    assert taker.latest is not None
    assert taker.latest.rows == {"ESTABLISHED": (20, 0, 0, 0, 0, 0)}


def test_between_two_slices_the_reactor_does_other_things(net: Net) -> None:
    net.client(net.group(7)).established()
    reactor = task.Clock()
    taker = CensusTaker(reactor, lambda: EPOCH)
    taker.begin(net.engine)
    assert taker.latest is None, "not even the first slice is in the turn that asks for it"
    [call] = reactor.getDelayedCalls()
    assert call.getTime() == pytest.approx(PAUSE_S)
    reactor.advance(PAUSE_S)
    assert taker.latest is not None
    assert not reactor.getDelayedCalls()


def test_an_engine_that_ends_meanwhile(net: Net) -> None:
    net.client(net.group(7)).established()
    reactor = task.Clock()
    taker = CensusTaker(reactor, lambda: EPOCH)
    taker.begin(net.engine)
    net.engine.close()
    reactor.advance(PAUSE_S)
    assert not taker.busy
    assert taker.latest is None
    assert not reactor.getDelayedCalls()


def test_the_census_of_a_stopped_engine_stays(watched: Watched) -> None:
    watched.net.client(watched.net.group(7)).established()
    watched.count()
    watched.seconds(5)
    watched.count()
    taken = watched.tick.census
    watched.net.close()
    watched.seconds(12)
    assert watched.tick.census is taken
    assert taken is not None
    assert taken.total == 1


def test_a_new_engine_is_counted_anew(watched: Watched, make_net: MakeNet) -> None:
    watched.count()
    assert watched.tick.census is not None
    watched.net.close()
    watched.restart(make_net())
    watched.seconds(1)
    assert watched.tick.census is None
    watched.count()
    assert watched.tick.census is not None
