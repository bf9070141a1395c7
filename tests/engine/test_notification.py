"""The notification settings of a group (P05): told at once, or after n connections or t ms."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.descriptors import readable
from support.net import Net
from support.peer import Client

from xtcp_twisted.config import UNLIMITED, GroupOptions
from xtcp_twisted.engine import Group
from xtcp_twisted.engine.kinds import EventKind
from xtcp_twisted.errors import ConfigurationError

pytestmark = pytest.mark.feature("P05")

DATA = EventKind.DATA


def holding(net: Net, n: int, ms: int, port: int = 7, **options: object) -> Group:
    return net.group(port, accept_credits=UNLIMITED, notify_connections=n, notify_delay_ms=ms, **options)


def clients(net: Net, group: Group, n: int) -> list[Client]:
    made = [net.client(group).established() for _ in range(n)]
    net.take_events()
    return made


def told(net: Net) -> list[int]:
    """The connections of which DATA has told since the last call."""
    net.gather()
    return [cd for _, _, cd, _ in net.take_events(DATA)]


def say(net: Net, *speakers: Client, data: bytes = b"x") -> None:
    for client in speakers:
        client.send(data)
    net.turn()


def test_at_once_is_what_happens_without_settings(net: Net) -> None:
    group = net.group(accept_credits=UNLIMITED)
    [one] = clients(net, group, 1)
    say(net, one)
    assert told(net) == [one.cd]
    assert group.notified
    assert readable(group.fileno())


def test_a_count_needs_a_delay() -> None:
    with pytest.raises(ConfigurationError, match="needs notify_delay_ms.*notify_delay_ms=20"):
        GroupOptions(notify_connections=2, notify_delay_ms=0)


@pytest.mark.parametrize(
    "name, value", [("notify_connections", 0), ("notify_delay_ms", 10_000), ("notify_delay_ms", -1)]
)
def test_bad_settings_are_refused(name: str, value: int) -> None:
    with pytest.raises(ConfigurationError, match=name):
        GroupOptions(**{name: value})  # type: ignore[arg-type]


def test_so_many_connections_are_told_together(net: Net) -> None:
    group = holding(net, 3, 1000)
    a, b, c = clients(net, group, 3)
    say(net, a)
    say(net, b)
    assert told(net) == []
    assert group.readable == 2
    assert not group.notified
    assert not readable(group.fileno())
    say(net, c)
    assert told(net) == [a.cd, b.cd, c.cd]
    assert group.notified
    assert readable(group.fileno())


def test_more_of_one_connection_is_still_one(net: Net) -> None:
    group = holding(net, 2, 1000)
    [a] = clients(net, group, 1)
    for _ in range(5):
        say(net, a)
    assert told(net) == []
    assert not readable(group.fileno())


def test_fewer_are_told_after_the_delay_exactly(net: Net) -> None:
    group = holding(net, 3, 20)
    a, b = clients(net, group, 2)
    say(net, a)
    began = net.now
    net.advance(0.005)
    say(net, b)
    due = net.engine.poll_at()
    assert due is not None
    assert due == pytest.approx(began + 0.020, abs=1e-6)
    net.now = due - 1e-4
    net.turn()
    assert told(net) == []
    assert not readable(group.fileno())
    net.now = due
    net.turn()
    assert told(net) == [a.cd, b.cd]
    assert readable(group.fileno())


def test_the_engines_descriptor_waits_for_the_delay(net: Net) -> None:
    group = holding(net, 2, 20)
    [a] = clients(net, group, 1)
    net.engine.fileno()
    say(net, a)
    assert net.engine.poll_at() == pytest.approx(net.now + 0.020, abs=1e-6)
    net.advance(0.020)
    assert told(net) == [a.cd]


def test_what_was_told_is_not_told_twice_and_others_follow_at_once(net: Net) -> None:
    group = holding(net, 2, 20)
    a, b, c = clients(net, group, 3)
    say(net, a, b)
    assert told(net) == [a.cd, b.cd]
    say(net, c)
    assert told(net) == [c.cd]
    net.advance(0.1)
    assert told(net) == []
    assert len(group.recv_batch(10)) == 3
    assert not readable(group.fileno())
    say(net, a)
    assert told(net) == []
    net.advance(0.020)
    assert told(net) == [a.cd]


@pytest.mark.parametrize("how", ["recv", "recv_batch"])
def test_data_held_back_is_there_for_who_asks(net: Net, how: str) -> None:
    group = holding(net, 2, 20)
    [a] = clients(net, group, 1)
    say(net, a, data=b"hello")
    got = group.recv(100) if how == "recv" else group.recv_batch(1)[0]
    assert got == (a.cd, b"hello")
    net.advance(0.1)
    assert told(net) == []
    assert not readable(group.fileno())


def test_an_end_of_stream_tells_at_once(net: Net) -> None:
    group = holding(net, 5, 1000)
    a, b = clients(net, group, 2)
    say(net, a, data=b"first")
    b.fin(b"last")
    net.turn()
    assert told(net) == [b.cd, a.cd], "the end was the first to be told"
    assert readable(group.fileno())
    assert group.recv_batch(10) == [(a.cd, b"first"), (b.cd, b"last")]


def test_the_end_of_stream_of_one_that_waits_tells_at_once(net: Net) -> None:
    group = holding(net, 5, 1000)
    [a] = clients(net, group, 1)
    say(net, a, data=b"first")
    assert told(net) == []
    a.fin()
    net.turn()
    net.gather()
    kinds = [EventKind(kind) for kind, _, cd, _ in net.take_events() if cd == a.cd]
    assert kinds[0] == DATA
    assert readable(group.fileno())


def test_a_reset_is_told_at_once_and_its_data_is_not(net: Net) -> None:
    group = holding(net, 5, 1000)
    a, b = clients(net, group, 2)
    say(net, a, b)
    a.rst()
    net.turn()
    net.gather()
    assert [(EventKind(e[0]), e[2]) for e in net.take_events()] == [(EventKind.RESET, a.cd)]
    assert not readable(group.fileno())
    b.rst()
    net.turn()
    net.gather()
    assert not told(net)
    net.advance(2)
    assert not readable(group.fileno())


def test_a_request_makes_the_descriptor_readable_at_once_and_tells_of_no_data(net: Net) -> None:
    group = net.group(accept_credits=1, notify_connections=5, notify_delay_ms=1000)
    [a] = clients(net, group, 1)
    say(net, a)
    net.client(group).asked()
    assert readable(group.fileno())
    assert not group.notified
    assert told(net) == []


def test_a_pause_and_a_resume_begin_anew(net: Net) -> None:
    group = holding(net, 2, 20)
    [a] = clients(net, group, 1)
    say(net, a)
    group.pause(a.cd)
    net.advance(0.1)
    assert told(net) == []
    assert not readable(group.fileno())
    group.resume(a.cd)
    net.turn()
    assert told(net) == []
    net.advance(0.020)
    assert told(net) == [a.cd]


@pytest.mark.parametrize("abort", [False, True])
def test_a_group_that_closes_while_it_holds_back_is_forgotten(net: Net, abort: bool) -> None:
    group = holding(net, 2, 20)
    other = holding(net, 2, 50, port=8)
    [a] = clients(net, group, 1)
    [b] = clients(net, other, 1)
    say(net, a, b)
    group.close(abort=abort)
    net.advance(0.2)
    assert told(net) == [b.cd]
    again = holding(net, 2, 20)
    [c] = clients(net, again, 1)
    say(net, c)
    assert told(net) == []
    net.advance(0.020)
    assert told(net) == [c.cd]


def test_many_groups_each_have_their_own_time(net: Net) -> None:
    groups = [holding(net, 2, 10 * (20 - i), port=100 + i) for i in range(20)]
    peers = [clients(net, group, 1)[0] for group in groups]
    say(net, *peers)
    for peer in reversed(peers):
        assert told(net) == []
        net.advance(0.010)
        assert told(net) == [peer.cd]


def test_a_change_of_the_settings_tells_what_is_held_back(net: Net) -> None:
    group = holding(net, 5, 1000)
    [a] = clients(net, group, 1)
    say(net, a)
    assert told(net) == []
    group.set_options(notify_connections=1, notify_delay_ms=0)
    assert told(net) == [a.cd]
    assert readable(group.fileno())


def test_need_counts_when_it_is_met(net: Net) -> None:
    group = holding(net, 2, 20)
    [a] = clients(net, group, 1)
    say(net, a, data=b"ab")
    assert group.recv(1) == (a.cd, b"a")
    group.need(a.cd, 4)
    net.turn()
    net.advance(0.1)
    assert told(net) == []
    say(net, a, data=b"cdef")
    assert told(net) == []
    net.advance(0.020)
    assert told(net) == [a.cd]


STEPS = st.lists(
    st.tuples(st.sampled_from(["say", "fin", "wait", "read", "pause", "resume"]), st.integers(0, 4)),
    max_size=40,
)


class Application:
    """Hears of data, receives it, and notes what it was told."""

    def __init__(self, n: int) -> None:
        self.net = Net()
        self.group = holding(self.net, n, 20)
        self.peers = clients(self.net, self.group, 5)
        self.sent = {peer.cd: b"" for peer in self.peers}
        self.got = {peer.cd: b"" for peer in self.peers}
        #: Connections that were told of, and neither received nor followed by more since.
        self.unread: set[int] = set()
        self.over: set[int] = set()

    def note(self) -> None:
        for cd in told(self.net):
            assert cd not in self.unread, "told twice"
            self.unread.add(cd)

    def read(self) -> None:
        for cd, data in self.group.recv_batch(10):
            self.got[cd] += data
            self.unread.discard(cd)
            self.group.done([(cd, data)])

    def say(self, peer: Client, data: bytes, *, last: bool) -> None:
        if peer.cd in self.over:
            return
        self.sent[peer.cd] += data
        self.unread.discard(peer.cd)
        if last:
            peer.fin(data)
            self.over.add(peer.cd)
        else:
            peer.send(data)

    def step(self, what: str, peer: Client, data: bytes) -> None:
        if what in ("say", "fin"):
            self.say(peer, data, last=what == "fin")
        elif what == "pause":
            self.group.pause(peer.cd)
            self.unread.discard(peer.cd)
        elif what == "resume":
            self.group.resume(peer.cd)
        elif what == "wait":
            self.net.advance(0.007)
        self.net.turn()
        self.note()
        if what == "read":
            self.read()


@settings(max_examples=60, deadline=None)
@given(n=st.integers(2, 4), steps=STEPS)
def test_every_byte_is_told_of_and_delivered_once(n: int, steps: list[tuple[str, int]]) -> None:
    application = Application(n)
    group = application.group
    for number, (what, i) in enumerate(steps):
        application.step(what, application.peers[i], b"%d " % number)
    for peer in application.peers:
        group.resume(peer.cd)
    application.net.turn()
    application.note()
    application.net.advance(0.020)
    application.note()
    assert group.notified == bool(group.readable), "nothing is held back any more"
    behind = {cd for cd, data in application.sent.items() if data != application.got[cd]}
    assert behind <= application.unread, "data that nobody was told of"
    for _ in range(4):
        application.read()
    assert application.got == application.sent
    application.net.close()


@pytest.mark.parametrize("way", ["with data", "in a probe"])
def test_urgent_data_tells_at_once(net: Net, way: str) -> None:
    group = holding(net, 5, 1000)
    a, b = clients(net, group, 2)
    say(net, a, b)
    assert told(net) == []
    if way == "with data":
        b.send(b"now", flags="PAU", urgent=3)
    else:
        b.send(b"", flags="AU", urgent=3)
    net.turn()
    net.gather()
    kinds = {(EventKind(kind), cd) for kind, _, cd, _ in net.take_events()}
    assert kinds == {(DATA, a.cd), (DATA, b.cd), (EventKind.URGENT, b.cd)}
    assert readable(group.fileno())
