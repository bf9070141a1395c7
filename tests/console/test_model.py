"""The model with a real engine: what a tick tells."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
from support.net import MakeNet, Net
from support.watched import CHUNK, EPOCH, Filler, Watched
from twisted.logger import LogLevel, capturedLogs

from xtcp_console.figures import PRESSURES, Thresholds, View
from xtcp_console.model import usage
from xtcp_twisted import __version__
from xtcp_twisted.config import KiB
from xtcp_twisted.engine import Engine


@pytest.fixture
def watched(net: Net) -> Watched:
    return Watched(net)


def test_there_is_no_view_before_an_engine_was_seen(net: Net) -> None:
    watched = Watched(net, seen=False)
    watched.seconds(2)
    assert watched.model.view is None
    watched.engine = net.engine
    watched.seconds(1)
    assert watched.tick.serial == 1


def test_the_engine_and_its_process(watched: Watched) -> None:
    group = watched.net.group(7)
    for _ in range(3):
        watched.net.client(group).established()
    watched.net.client(group).syn_received()
    watched.net.client(group).time_wait()
    watched.usage = replace(watched.usage, rss_bytes=60_000_000, descriptors=21)
    watched.seconds(1)
    engine = watched.tick.engine
    snapshot = watched.net.engine.snapshot()
    assert (engine.state, engine.reason) == ("running", None)
    assert (engine.started, engine.uptime_s) == (EPOCH + 1_000, 1.0)
    assert (engine.pid, engine.version, engine.host) == (os.getpid(), __version__, os.uname().nodename)
    assert engine.addresses == ("192.0.2.1", "2001:db8::1")
    assert (engine.connections, engine.half_open, engine.time_wait) == (3, 1, 1)
    assert (engine.max_connections, engine.active) == (1_024, snapshot.active)
    assert (engine.rss_bytes, engine.descriptors) == (60_000_000, 21)
    assert engine.connection_bytes == snapshot.connection_bytes > 0
    assert engine.bytes_per_connection == snapshot.connection_bytes / 3


def test_memory_per_connection_is_not_told_without_connections(watched: Watched) -> None:
    assert watched.tick.engine.bytes_per_connection is None


def test_the_cores_that_the_process_used_over_the_last_seconds(watched: Watched) -> None:
    def work(cores: float) -> None:
        watched.usage = replace(watched.usage, cpu_s=watched.usage.cpu_s + cores)

    watched.seconds(6, lambda: work(0.5))
    assert watched.tick.engine.cpu == pytest.approx(0.5)
    watched.seconds(5, lambda: work(1.5))
    assert watched.tick.engine.cpu == pytest.approx(1.5)


def test_how_late_the_reactor_ran_the_sample(watched: Watched) -> None:
    watched.seconds(3)
    assert watched.tick.engine.loop_delay_ms == 0
    watched.pass_by(1.25)
    assert watched.tick.engine.loop_delay_ms == pytest.approx(250)
    watched.pass_by(0.75)
    assert watched.tick.engine.loop_delay_ms == 0, "the next one was due on its own second"
    watched.pass_by(3.5)
    assert watched.tick.engine.loop_delay_ms == pytest.approx(2_500), "and missed two after it"


def test_the_usage_of_this_process() -> None:
    taken = usage()
    assert taken.rss_bytes > 1 << 20
    assert 0 < taken.descriptors <= len(os.listdir("/proc/self/fd"))
    assert 0 < taken.cpu_s <= usage().cpu_s


def test_a_group(watched: Watched) -> None:
    net = watched.net
    pool = net.engine.create_pool(64 * KiB, name="im")
    group = net.group(5222, pool=pool, address="192.0.2.1", priority="high", ack_policy="application")
    client = net.client(group).established()
    watched.pass_by(0.5)
    net.client(group).asked()
    client.send(b"r" * CHUNK)
    net.turn()
    gd = group.fileno()
    watched.pass_by(0.5)
    shown = watched.tick.groups[str(group.row)]
    assert (shown.row, shown.gd, shown.name, shown.pool) == (group.row, gd, "im:5222", pool.row)
    assert (shown.address, shown.port) == ("192.0.2.1", 5222)
    assert (shown.priority, shown.ack_policy, shown.pressure) == ("high", "application", "open")
    assert (shown.connections, shown.pending, shown.readable) == (1, 1, 1)
    assert (shown.held_bytes, shown.share) == (256, 256 / (64 * KiB))
    assert (watched.tick.pending, watched.tick.readable, watched.tick.group_count) == (1, 1, 1)


def test_a_pool_and_who_holds_most_of_its_buffer(watched: Watched) -> None:
    net = watched.net
    filler = Filler(net, "im", 7)
    second = net.group(8, pool=filler.pool, ack_policy="immediate")
    holder = net.client(second).established()
    watched.seconds(1)
    empty = watched.tick.pools[str(filler.pool.row)]
    assert (empty.name, empty.connections, empty.groups) == ("im", 9, 2)
    assert (empty.largest, empty.largest_share) == (None, None)
    filler.fill(3)
    holder.send(b"r" * CHUNK)
    net.turn()
    watched.seconds(1)
    pool = watched.tick.pools[str(filler.pool.row)]
    assert (pool.largest, pool.largest_share) == ("im:7", 0.75)
    assert (pool.receive.used_bytes, pool.receive.size_bytes) == (4 * 256, 64 * KiB)
    assert pool.receive.used == 4 / 256
    filler.drain(0)
    watched.seconds(1)
    pool = watched.tick.pools[str(filler.pool.row)]
    assert (pool.receive.used_bytes, pool.receive.peak_bytes) == (256, 4 * 256)


def test_the_transmit_buffer(watched: Watched) -> None:
    net = watched.net
    group = net.group(7)
    silent = net.client(group).established()
    choked = net.client(group, window=0).established()
    group.send(silent.cd, b"a" * 1_000)
    group.send(choked.cd, b"b" * 500)
    net.turn()
    watched.seconds(1)
    transmit = watched.tick.transmit
    snapshot = net.engine.snapshot()
    assert (transmit.unacked_bytes, transmit.queued_bytes) == (snapshot.unacked_bytes, snapshot.queued_bytes)
    assert transmit.unacked_bytes >= 1_000
    assert transmit.unacked_bytes + transmit.queued_bytes == 1_500
    assert transmit.connections == 2
    size = snapshot.transmit_buffer.size
    assert transmit.unacked == pytest.approx(transmit.unacked_bytes / size)
    assert transmit.queued == pytest.approx(transmit.queued_bytes / size)
    assert transmit.buffer.used == snapshot.transmit_buffer.used / size


def test_a_broadcast_is_not_shown_as_more_than_it_takes(watched: Watched) -> None:
    net = watched.net
    group = net.group(7)
    for _ in range(8):
        net.client(group).established()
    group.broadcast(b"b" * 1_000)
    net.turn()
    watched.seconds(1)
    transmit = watched.tick.transmit
    assert transmit.unacked_bytes == 8_000
    assert transmit.unacked + transmit.queued == pytest.approx(transmit.buffer.used)


def test_a_buffer_that_grows_and_when_it_comes_into_the_next_state(watched: Watched) -> None:
    filler = Filler(watched.net)
    watched.seconds(2)
    row = str(filler.pool.row)
    still = watched.tick.pools[row].receive
    assert (still.delta_bytes_per_s, still.next_state_s) == (0.0, None)
    for chunks in range(16, 97, 16):
        filler.fill(chunks)
        watched.seconds(1)
    growing = watched.tick.pools[row].receive
    assert growing.delta_bytes_per_s == 16 * 256
    assert growing.next_state_s == (128 - 96) / 16
    for chunks in (144, 160, 176, 192, 208, 224):
        filler.fill(chunks)
        watched.seconds(1)
    full = watched.tick.pools[row].receive
    assert full.pressure.state == "discarding"
    assert full.delta_bytes_per_s > 0
    assert full.next_state_s is None, "there is none above it"
    filler.drain(100)
    watched.seconds(1)
    emptying = watched.tick.pools[row].receive
    assert emptying.delta_bytes_per_s < 0
    assert emptying.next_state_s is None


def test_the_pressure_of_a_buffer(watched: Watched) -> None:
    filler = Filler(watched.net)
    watched.seconds(3)
    filler.fill(200)
    since = EPOCH + watched.net.now
    watched.seconds(2)
    pressure = watched.tick.pools[str(filler.pool.row)].receive.pressure
    assert pressure.state == "withholding"
    assert pressure.since == pytest.approx(since, abs=1e-3)
    assert pressure.entries == {"open": 0, "frozen": 1, "withholding": 1, "discarding": 0}
    assert set(pressure.durations_s) == set(PRESSURES)
    assert pressure.durations_s["open"] == pytest.approx(3.0, abs=1e-3)
    assert pressure.durations_s["withholding"] == pytest.approx(2.0, abs=1e-3)
    assert pressure.thresholds == Thresholds(0.5, 0.75, 0.875, 0.05)
    assert watched.tick.transmit.buffer.pressure.state == "open"


def test_the_duration_of_a_state_goes_on_while_the_engine_rests(watched: Watched) -> None:
    filler = Filler(watched.net)
    filler.fill(130)
    watched.seconds(1)
    before = watched.tick.pools[str(filler.pool.row)].receive.pressure
    watched.net.stall(5.0)
    watched.reactor.advance(5.0)
    after = watched.tick.pools[str(filler.pool.row)].receive.pressure
    assert after.durations_s["frozen"] - before.durations_s["frozen"] == pytest.approx(5.0)
    assert after.since == pytest.approx(before.since)


def test_the_counters_that_should_stand_still(watched: Watched) -> None:
    counters = watched.tick.counters
    assert counters["ListenDrops"] == counters["InvalidTransitions"] == 0
    assert counters["AcksWithheld"] == counters["PressureDropSegs"] == 0
    assert "InSegs" not in counters
    watched.net.inject(b"\x45\x00")
    watched.net.turn()
    watched.seconds(1)
    assert set(watched.tick.counters) == set(counters)


def test_a_tick_is_json(watched: Watched) -> None:
    group = watched.net.group(7)
    watched.net.client(group).established()
    watched.seconds(6)
    watched.count()
    text = watched.tick.json
    assert b"\n" not in text
    tick = json.loads(text)
    assert tick["engine"]["connections"] == 1
    assert tick["groups"][str(group.row)]["port"] == 7
    assert tick["census"]["total"] == 1
    assert watched.tick.json is text


def test_listeners_get_each_view_and_do_not_harm_each_other(watched: Watched) -> None:
    got: list[View] = []

    def broken(view: View) -> None:
        raise ValueError("a viewer has gone")

    watched.model.listeners.extend((broken, got.append))
    with capturedLogs() as logged:
        watched.seconds(3)
    assert [view.tick.serial for view in got] == [2, 3, 4]
    assert got[-1] is watched.model.view
    assert [event["log_level"] for event in logged] == [LogLevel.critical] * 3


def test_a_second_that_fails_is_not_the_last(net: Net) -> None:
    class Moody(Watched):
        broken = False

        @property
        def engine(self) -> Engine | None:
            if self.broken:
                raise OSError("no figures now")
            return self.net.engine

        @engine.setter
        def engine(self, engine: Engine | None) -> None:
            pass

    watched = Moody(net)
    watched.broken = True
    with capturedLogs() as logged:
        watched.reactor.advance(1.0)
    assert [event["log_failure"].type for event in logged] == [OSError]
    watched.broken = False
    watched.seconds(1)
    assert watched.tick.serial == 2


def test_nothing_happens_after_stop(watched: Watched) -> None:
    watched.seconds(1)
    watched.model.stop()
    watched.seconds(3)
    assert watched.tick.serial == 2
    assert watched.reactor.getDelayedCalls() == []


def test_two_answers_of_one_application_are_seen_by_all(make_net: MakeNet) -> None:
    """The figures of the groups sum up to the engine's."""
    watched = Watched(make_net())
    one, two = watched.net.group(7), watched.net.group(8)
    clients = [watched.net.client(one).established(), watched.net.client(two).established()]

    def talk() -> None:
        for client in clients:
            client.exchange(b"request", b"the answer")

    watched.seconds(6, talk)
    tick = watched.tick
    for name in ("requests_per_s", "answers_per_s", "in_bytes_per_s", "out_bytes_per_s"):
        assert getattr(tick.rates, name) == sum(getattr(group, name) for group in tick.groups.values()) > 0
