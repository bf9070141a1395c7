"""Whom a change of an option reaches is what the option says of itself, and so docs/options.md (P05).

Each change is made to a group that has a connection.  What then happens, byte for
byte, is laid beside what happens without the change, and beside a group that was
opened with the new value:

* of an option that reaches all connections, the one that lives behaves as one of the other group;
* of one that reaches requests or new connections, these do, and the one that lives as without the change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import attrs
import pytest
from support.ecn import CE, marked
from support.fast_open import REQUEST
from support.net import MakeNet, Net
from support.peer import Client
from support.pressure import CHUNK, FROZEN, WITHHOLDING, Crowd, Listeners

from xtcp_twisted.config import (
    ALL,
    HANDSHAKES,
    LIVE,
    LOWERED,
    REACHES,
    REQUESTS,
    UNLIMITED,
    WINDOW_SCALE,
    EngineConfig,
    GroupOptions,
    KiB,
    PressureThresholds,
)
from xtcp_twisted.engine import Engine, Group, Pool
from xtcp_twisted.engine.kinds import ENDS, EventKind
from xtcp_twisted.reactor.settings import PoolSettings

pytestmark = pytest.mark.feature("P05")

#: More than any connection may queue.
MUCH = b"m" * 300_000


# --- what a connection that lives goes through ---------------------------------------


def seen(client: Client, start: float) -> list[tuple[object, ...]]:
    """What has come to the client since, but for numbers that begin anywhere."""
    return [
        (round(s.time - start, 3), sorted(s.flags), len(s.data), s.window, s.raw[1], s.raw[8])
        for s in client.take()
    ]


def of(client: Client) -> Group:
    assert client.group is not None
    return client.group


def is_asked(net: Net, client: Client) -> object:
    """A question that nobody answers."""
    start = net.now
    client.send(b"question")
    net.advance(1)
    return seen(client, start)


def answers(net: Net, client: Client) -> object:
    """Three pieces of an answer, a turn each; nobody acknowledges."""
    start = net.now
    for _ in range(3):
        of(client).send(client.cd, bytes(1_000))
        net.turn()
    net.advance(10)
    return seen(client, start), [event[0] for event in net.take_events(*ENDS)]


def is_idle(net: Net, client: Client) -> object:
    """For ten minutes."""
    start = net.now
    net.advance(600)
    return seen(client, start), [event[0] for event in net.take_events(*ENDS)]


def tells(net: Net, client: Client) -> object:
    """When the application hears of data: at once, within 0.1 s, or later."""
    client.send(b"question")
    told = []
    for wait in (0, 0.1, 1):
        net.advance(wait)
        told.append(len(net.take_events(EventKind.DATA)))
    client.take()
    return told


def fill_window(net: Net, client: Client) -> None:
    """The client sends all that it may, of which the application takes nothing."""
    while (room := client.judge.edge - client.seq) > 0:
        client.send(bytes(min(room, 1_220)))
        net.turn()
        client.take()


def has_room(net: Net, client: Client) -> object:
    """What it may send, and how many KiB it shows that it may be sent."""
    client.send(b"question")
    net.advance(1)
    [acknowledgement] = client.take()
    taken = of(client).send(client.cd, MUCH)
    net.turn()
    client.take()
    return taken, (acknowledgement.window << WINDOW_SCALE) // KiB


def sends_in_need(net: Net, client: Client) -> object:
    """What the transmit buffer takes while it withholds."""
    listeners = Listeners(net)
    listeners.fill(784)
    assert listeners.state == "withholding"
    taken = of(client).send(client.cd, MUCH)
    client.take()
    return taken


def loses(net: Net, client: Client) -> object:
    """A flight of which nothing arrives, by the timer: what is left of the window."""
    of(client).send(client.cd, bytes(14_000))
    net.advance(1.5)
    client.take()
    info = of(client).info(client.cd)
    return info.cwnd, info.ssthresh


def lives(net: Net, client: Client) -> object:
    """All that a handshake agrees on shows: gaps and marks, an answer that is lost, windows, the end."""
    group = of(client)
    client.exchange(b"request", b"answer")
    client.send(b"behind a gap", seq=client.seq + 10)
    net.turn()
    gap = [s.raw for s in client.take()]
    client.send(b"0123456789", seq=client.seq - 22, **marked(client, CE))
    net.advance(1)
    group.recv_batch(10)
    with client.losing():
        group.send(client.cd, bytes(5_000))
        net.flush()
    net.advance(3)
    client.ack()
    net.advance(0.1)
    client.fin()
    net.advance(1)
    group.finish(client.cd)
    net.advance(1)
    return gap, [(s.time, s.raw) for s in client.take()], net.kinds()


# --- what requests and new connections meet ------------------------------------------


def asks(net: Net, group: Group) -> object:
    """Four requests: how many wait."""
    for _ in range(4):
        net.client(group).asked().take()
    return group.waiting


def is_refused(net: Net, group: Group) -> object:
    client = net.client(group).asked()
    group.refuse(client.pending_id())
    net.turn()
    return len(client.take())


def takes_entries(net: Net, group: Group) -> object:
    """Whether a request that was answered is kept in the table, or in a cookie."""
    net.client(group).asked().expect("SA")
    return net.engine.snapshot().half_open, net.counters()["SyncookiesSent"]


def asks_fast(net: Net, group: Group) -> object:
    """Whether a cookie is given, and what the SYN brought that has it."""
    client = net.client(group)
    client.syn(cookie=b"")
    net.turn()
    cookie = client.expect("SA").cookie
    if cookie is None:
        return None
    client.rst(seq=1)
    again = net.client(group)
    again.syn(cookie=cookie, data=REQUEST)
    net.turn()
    again.take()
    [(_, data)] = group.recv_batch(5)
    return data


def agrees(net: Net, group: Group) -> object:
    """The flags and options of a SYN-ACK, to a client that offers all there is."""
    client = net.client(group)
    client.syn(flags="SEC")
    net.poll()
    group.accept(client.pending_id())
    net.flush()
    (answer,) = client.take()
    return answer.flags, sorted(answer.options), answer.options[2]


def connects(net: Net, group: Group) -> object:
    """To nobody, for half a minute: how the SYNs ask, and when it is given up."""
    peer = net.listener(group).connected_to()
    net.advance(30)
    return next(s.flags for s in peer.take()), [event[0] for event in net.take_events(*ENDS)]


@dataclass(frozen=True)
class Change:
    """One option of a group that becomes another.

    :ivar shows: where the difference shows: on a connection, or in a group, whose requests and new
        connections it is then about.
    :ivar rest: the other options of the group.
    :ivar config: of the engine.
    """

    option: str
    before: Any
    after: Any
    shows: Callable[[Net, Any], object]
    rest: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.option} from {self.before} to {self.after}"


PATIENT = {"notify_connections": 2, "notify_delay_ms": 500}
PROBED = {"keepalive_s": 60}
CROWDED = {"transmit_buffer": 256 * KiB}
CHANGES = (
    Change("ack_policy", "bounded", "immediate", is_asked),
    Change("ack_policy", "bounded", "application", is_asked),
    Change("ack_policy", "application", "bounded", is_asked),
    Change("ack_delay_ms", 40, 300, is_asked),
    Change("ack_delay_ms", 300, 40, is_asked),
    Change("notify_connections", 1, 2, tells, {"notify_delay_ms": 500}),
    Change("notify_connections", 2, 1, tells, {"notify_delay_ms": 500}),
    Change("notify_delay_ms", 50, 500, tells, PATIENT),
    Change("keepalive_s", 0, 60, is_idle),
    Change("keepalive_s", 60, 0, is_idle),
    Change("keepalive_interval_s", 30, 150, is_idle, PROBED),
    Change("keepalive_probes", 3, 1, is_idle, PROBED),
    Change("user_timeout_s", 100, 5, answers),
    Change("user_timeout_s", 5, 100, answers),
    Change("nagle", False, True, answers),
    Change("nagle", True, False, answers),
    Change("mss", 0, 600, answers),
    Change("priority", "normal", "low", sends_in_need, config=CROWDED),
    Change("priority", "low", "high", sends_in_need, config=CROWDED),
    Change("weight", 1, 16, has_room),
    Change("guaranteed_bytes", 2 * KiB, 16 * KiB, has_room),
    Change("congestion", "cubic", "reno", loses),
    Change("congestion", "reno", "cubic", loses),
    Change("dscp", 0, 46, answers),
    Change("hop_limit", 0, 99, answers),
)
OTHERS = (
    Change("accept_credits", 0, 2, asks),
    Change("accept_credits", UNLIMITED, 0, asks),
    Change("accept_rate", 0, 1, asks, {"accept_credits": UNLIMITED}),
    Change("accept_rate", 1, 0, asks, {"accept_credits": UNLIMITED}),
    Change("refuse", "reset", "silent", is_refused),
    Change("refuse", "silent", "reset", is_refused),
    *(
        Change(
            "syn_cookies",
            before,
            not before,
            takes_entries,
            {"accept_credits": UNLIMITED},
            {"syn_cookies": "always"},
        )
        for before in (True, False)
    ),
    Change("fast_open", 0, 8, asks_fast, {"accept_credits": UNLIMITED}),
    Change("fast_open", 8, 0, asks_fast, {"accept_credits": UNLIMITED}),
    Change("window_scaling", True, False, agrees),
    Change("timestamps", True, False, agrees),
    Change("sack", True, False, agrees),
    Change("ecn", "passive", "off", agrees),
    Change("ecn", "off", "passive", agrees),
    Change("ecn", "on", "passive", connects),
    Change("ecn", "off", "on", connects),
    Change("connect_timeout_s", 180, 5, connects),
    Change("connect_timeout_s", 5, 180, connects),
    Change("mss", 600, 0, agrees),
)


def grouped(make_net: MakeNet, change: Change, value: Any) -> tuple[Net, Group]:
    """A group that is opened with this value; its connections may hold 4 chunks, and the guaranteed ones."""
    net = make_net(**change.config)
    pool = net.engine.create_pool(72 * KiB)
    return net, net.group(7, pool=pool, **{**change.rest, change.option: value})


def settled(net: Net, group: Group) -> Client:
    """A connection of it that lives."""
    client = net.client(group)
    client.syn(flags="SEC")
    net.poll()
    if group.waiting:
        group.accept(client.pending_id())
    net.flush()
    client.expect("SAE" if client.judge.ecn else "SA")
    client.ack()
    net.turn()
    [client.cd] = [event[2] for event in net.take_events(EventKind.ESTABLISHED)]
    net.take_events()
    return client


def test_each_option_says_whom_a_change_reaches() -> None:
    said = {option.name: option.metadata[REACHES] for option in attrs.fields(GroupOptions)}
    lowered = LOWERED[REACHES]
    assert {change.option for change in CHANGES} == {
        name for name, reached in said.items() if reached in (LIVE[REACHES], lowered)
    }
    assert {change.option for change in OTHERS} == {
        name for name, reached in said.items() if reached in (REQUESTS[REACHES], HANDSHAKES[REACHES], lowered)
    }


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_a_connection_that_lives_follows(make_net: MakeNet, change: Change) -> None:
    unchanged, follows, fresh = (
        grouped(make_net, change, value) for value in (change.before, change.before, change.after)
    )
    client = settled(*follows)
    follows[1].set_options(**{change.option: change.after})
    happened = change.shows(follows[0], client)
    assert happened == change.shows(fresh[0], settled(*fresh))
    assert happened != change.shows(unchanged[0], settled(*unchanged))


@pytest.mark.parametrize("change", OTHERS, ids=str)
def test_a_connection_that_lives_does_not_notice(make_net: MakeNet, change: Change) -> None:
    unchanged, changed = (grouped(make_net, change, change.before) for _ in range(2))
    there, here = settled(*unchanged), settled(*changed)
    changed[1].set_options(**{change.option: change.after})
    assert lives(changed[0], here) == lives(unchanged[0], there)


@pytest.mark.parametrize("change", OTHERS, ids=str)
def test_but_who_comes_does(make_net: MakeNet, change: Change) -> None:
    unchanged, changed, fresh = (
        grouped(make_net, change, value) for value in (change.before, change.before, change.after)
    )
    changed[1].set_options(**{change.option: change.after})
    happened = change.shows(*changed)
    assert happened == change.shows(*fresh)
    assert happened != change.shows(*unchanged)


# --- who is held back ----------------------------------------------------------------


def test_a_withheld_acknowledgement_leaves_under_a_higher_priority(make_net: MakeNet) -> None:
    """To `low` the frozen pool is withholding; to `normal` it is not."""
    crowd = Crowd(make_net())
    client = crowd.client(priority="low")
    crowd.fill(FROZEN)
    client.send(b"question")
    crowd.net.turn()
    client.expect_nothing()
    of(client).set_options(priority="normal")
    assert crowd.net.engine.poll_at() <= crowd.net.now
    crowd.net.turn()
    client.expect("A", ack=9)


def test_a_frozen_window_opens_under_a_higher_priority(make_net: MakeNet) -> None:
    """The frozen pool does not move it, though the application has acknowledged nearly all."""
    crowd = Crowd(make_net())
    client = crowd.client()
    fill_window(crowd.net, client)
    crowd.fill(FROZEN)
    with crowd.net.in_turn():
        assert of(client).recv(1 << 20) == (client.cd, bytes(client.seq - 1))
        of(client).send(client.cd, b"", ackd=client.seq - 2_000)
    client.expect_nothing()
    edge = client.judge.edge
    of(client).set_options(priority="high")
    crowd.net.turn()
    client.expect("A", ack=client.seq)
    assert client.judge.edge > edge


@pytest.mark.parametrize("changes", [{"weight": 16}, {"guaranteed_bytes": 16 * KiB}], ids=str)
def test_a_window_that_was_full_opens_with_a_larger_share(net: Net, changes: dict[str, int]) -> None:
    """The client has nothing else to hear of it by but its own probes."""
    pool = net.engine.create_pool(72 * KiB)
    client = net.client(net.group(7, pool=pool, ack_policy="immediate")).established()
    fill_window(net, client)
    updates = net.counters()["WindowUpdates"]
    of(client).set_options(**changes)
    net.turn()
    client.expect("A", ack=client.seq)
    assert client.judge.edge - client.seq >= 8 * CHUNK
    assert net.counters()["WindowUpdates"] == updates + 1


def test_a_frozen_window_opens_with_a_larger_guarantee(make_net: MakeNet) -> None:
    crowd = Crowd(make_net())
    client = crowd.client()
    crowd.fill(FROZEN)
    fill_window(crowd.net, client)
    of(client).set_options(weight=64)
    crowd.net.turn()
    client.expect_nothing()
    of(client).set_options(guaranteed_bytes=64 * KiB)
    crowd.net.turn()
    client.expect("A", ack=client.seq)
    assert client.judge.edge - client.seq >= 8 * CHUNK


def test_who_could_not_send_may_under_a_higher_priority(make_net: MakeNet) -> None:
    """A withholding transmit buffer takes nothing of `low`."""
    net = make_net(**CROWDED)
    listeners = Listeners(net)
    client = listeners.client(7, priority="low")
    listeners.fill(784)
    net.take_events()
    assert of(client).send(client.cd, b"answer") == 0
    net.turn()
    of(client).set_options(priority="normal")
    net.turn()
    assert net.take_events(EventKind.WRITABLE) == [(EventKind.WRITABLE, of(client).fileno(), client.cd, 0)]
    assert of(client).send(client.cd, b"answer") == 6
    net.turn()
    client.expect("PA", data=b"answer")


def test_a_connection_under_way_keeps_the_time_that_it_began_with(net: Net) -> None:
    group = net.group(7, connect_timeout_s=5)
    peer = net.listener(group).connected_to()
    group.set_options(connect_timeout_s=100)
    net.advance(6)
    assert [event[2] for event in net.take_events(EventKind.DOWN)] == [peer.cd]
    peer.take()


# --- buffers -------------------------------------------------------------------------

#: Chunks of a pool that are in use, the most that were, what a threshold becomes, the states before and
#: after.
THRESHOLDS = {
    "frozen": (400, 400, 0.3, "open", "frozen"),
    "withholding": (FROZEN, FROZEN, 0.6, "frozen", "withholding"),
    "discarding": (WITHHOLDING, WITHHOLDING, 0.76, "withholding", "discarding"),
    "hysteresis": (480, 520, 0.01, "frozen", "open"),
}


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_a_threshold_holds_for_a_buffer_in_use(make_net: MakeNet, threshold: str) -> None:
    crowd = Crowd(make_net())
    client = crowd.client()
    use, most, value, before, after = THRESHOLDS[threshold]
    crowd.fill(use)
    while crowd.used < most:
        client.send(bytes(5 * CHUNK))
        crowd.net.turn()
    with crowd.net.in_turn():
        of(client).recv_batch(1)
        of(client).send(client.cd, b"", ackd=ALL)
    client.take()
    assert (crowd.used, crowd.state) == (use, before)
    crowd.pool.set_thresholds(attrs.evolve(crowd.pool.thresholds, **{threshold: value}))
    crowd.net.turn()
    assert crowd.state == after


def test_what_is_said_to_change_can_be_changed() -> None:
    """And nothing else: throttling is changed in tests/engine/test_throttling.py."""
    assert {f.name for f in attrs.fields(PressureThresholds) if REACHES in f.metadata} == set(THRESHOLDS)
    for settings, owner in ((PoolSettings, Pool), (EngineConfig, Engine)):
        for option in attrs.fields(settings):
            assert hasattr(owner, f"set_{option.name}") == (REACHES in option.metadata), option.name
