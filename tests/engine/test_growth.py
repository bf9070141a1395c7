"""What must not grow with the number of connections, groups and packets: turns are bounded, by counting.

How long each takes is for ``python -m benchmarks growth`` to say.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.crafted import ACK, FIN, RST, SYN
from support.net import Net

from benchmarks.crowd import Crowd, client_of, reply, segment
from examples.echo import Echo
from xtcp_twisted.config import GroupOptions
from xtcp_twisted.engine import Group

#: Of one turn: packets that a flush sends, connections that a walk ends, timers that a poll fires.
SENT, ENDED, FIRED = 4_096, 2_048, 4_096
MANY = 10_000


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def crowd() -> Any:
    """A group protocol with `MANY` clients, and a clock that only the test moves."""
    made = Crowd(Echo, MANY, Clock())
    made.open(0, MANY)
    yield made
    made.stack.stop()


def group_of(crowd: Crowd) -> Group:
    [group] = crowd.pool.groups()
    assert isinstance(group, Group)
    return group


def turn(crowd: Crowd, answer: Callable[[bytes], bytes | None] | None = None) -> int:
    """One turn of the server, and what its clients say to it; the packets that it sent."""
    crowd.stack.reader.doRead()
    packets = [packet for _, packet in crowd.link.take()]
    if answer is not None:
        crowd.deliver(map(answer, packets))
    return len(packets)


def turns(crowd: Crowd, answer: Callable[[bytes], bytes | None] | None = None) -> list[int]:
    """Packets that each turn sends, until the server has no more to do."""
    sent = []
    while crowd.busy:
        sent.append(turn(crowd, answer))
    return sent


def goodbye(packet: bytes) -> bytes | None:
    return reply(packet, FIN | ACK)


class TestTurns:
    def test_a_broadcast_leaves_over_several_turns(self, crowd: Crowd):
        assert group_of(crowd).broadcast(b"to all") == MANY
        assert turns(crowd) == [SENT, SENT, MANY - 2 * SENT]

    def test_packets_that_come_meanwhile_are_served(self, crowd: Crowd):
        """Who asks after the first turn of a broadcast is answered in the second."""
        group = group_of(crowd)
        group.broadcast(b"to all")
        crowd.stack.reader.doRead()
        asking = group.quiet(rows=MANY)[0]
        assert not asking
        crowd.deliver([segment(MANY, 0, 0, SYN)])
        crowd.stack.reader.doRead()
        flags = [packet[33] for _, packet in crowd.link.take()]
        assert flags.count(SYN | ACK) == 1, "the SYN-ACK left with the second part"
        assert len(flags) == 2 * SENT

    def test_timers_that_are_due_together_fire_over_several_turns(self, crowd: Crowd):
        engine = crowd.stack.engine
        group_of(crowd).broadcast(b"lost")
        turns(crowd)
        before = engine.counters()
        assert before["TCPTimeouts"] == before["TCPLossProbes"] == 0
        due = engine.poll_at()
        assert due is not None
        fired = []
        while not fired or sum(fired) < MANY:
            engine.poll(due + 3)
            fired.append(
                sum(engine.counters()[name] for name in ("TCPTimeouts", "TCPLossProbes")) - sum(fired)
            )
            assert len(fired) < 10
        assert max(fired) <= FIRED

    @pytest.mark.parametrize("abort", [False, True])
    def test_a_group_is_closed_over_several_turns(self, crowd: Crowd, abort: bool):
        engine, open_ = crowd.stack.engine, MANY
        group_of(crowd).close(abort=abort)
        while open_:
            now = engine.snapshot().states["ESTABLISHED"]
            assert now == max(0, open_ - ENDED)
            open_ = now
            turn(crowd, None if abort else goodbye)
        turns(crowd, goodbye)
        assert engine.connections == 0
        assert engine.counters()["OutRsts"] == (MANY if abort else 0), "each peer is told"

    def test_a_pool_is_closed_over_several_turns_and_its_buffer_freed_with_the_last(self, crowd: Crowd):
        engine = crowd.stack.engine
        before = engine.snapshot().arena_bytes
        crowd.pool.close()
        for part in range(1, MANY // ENDED + 1):
            assert engine.snapshot().states["ESTABLISHED"] == MANY - part * ENDED
            assert engine.snapshot().arena_bytes == before
            turn(crowd, goodbye)
        turns(crowd, goodbye)
        assert engine.connections == 0
        assert before - engine.snapshot().arena_bytes == 32 << 20

    def test_an_engine_that_is_closed_resets_all(self, crowd: Crowd):
        crowd.stack.engine.close()
        assert sum(packet[33] & RST > 0 for _, packet in crowd.link.take()) == MANY


class TestGroups:
    def test_groups_that_close_together_end_their_own_connections(self, crowd: Crowd):
        engine = crowd.stack.engine
        groups = [
            crowd.pool.open_group(1_000 + i, options=GroupOptions(accept_credits=9)) for i in range(100)
        ]
        for number, group in enumerate(groups):
            crowd.deliver(map(reply, crowd.ask(MANY + number, MANY + number + 1, group.port)))
        crowd.turns()
        assert engine.connections == MANY + 100
        for group in groups:
            group.close()
        ended = [client_of(packet) for packet in crowd.turns() if packet[33] & FIN]
        assert sorted(ended) == list(range(MANY, MANY + 100))
        assert engine.snapshot().states["ESTABLISHED"] == MANY

    def test_a_snapshot_makes_only_what_has_changed(self, net: Net):
        first, second = net.group(7), net.group(8)
        before = {group.port: group for group in net.engine.snapshot().pools[0].groups}
        client = net.client(second).asked()
        after = {group.port: group for group in net.engine.snapshot().pools[0].groups}
        assert after[7] is before[7]
        assert (before[8].pending, after[8].pending) == (0, 1)
        second.refuse(client.pending_id())
        first.set_options(priority="low")
        last = {group.port: group for group in net.engine.snapshot().pools[0].groups}
        assert (last[7].priority, last[8].pending) == ("low", 0)
        net.flush()
        client.take()

    def test_a_group_that_follows_in_its_row_is_another(self, net: Net):
        group = net.group(7)
        old = net.engine.snapshot().pools[0].groups[0]
        group.close()
        net.turn()
        net.group(7)
        new = net.engine.snapshot().pools[0].groups[0]
        assert (new.row, new.port) == (old.row, old.port)
        assert new.serial > old.serial

    def test_the_row_of_a_unix_group_is_not_sought(self, tmp_path: Path, net: Net):
        """The lowest that is free, by as many looks at the table for the thousandth as for the first."""

        class Looked(dict[int, Any]):
            looks = 0

            def __contains__(self, row: object) -> bool:
                self.looks += 1
                return super().__contains__(row)

        def opened(name: int) -> Any:
            return net.pool.open_group(
                0, domain=socket.AF_UNIX, path=str(tmp_path / str(name)), options=GroupOptions()
            )

        groups = [opened(name) for name in range(100)]
        rows = [group.row for group in groups]
        assert rows == list(range(rows[0], rows[0] + 100))
        domain = groups[0].unix
        domain.groups = Looked(domain.groups)
        for name in (70, 30, 50):
            groups[name].close()
        assert [opened(name).row - rows[0] for name in (100, 101, 102, 103)] == [30, 50, 70, 100]
        assert domain.groups.looks == 0

    def test_a_unix_group_with_nothing_to_do_is_not_looked_at(self, tmp_path: Path, net: Net):
        pool = net.pool
        groups: list[Any] = [
            pool.open_group(0, domain=socket.AF_UNIX, path=str(tmp_path / str(i)), options=GroupOptions())
            for i in range(50)
        ]
        net.turn()
        looked: list[object] = []
        taking = type(groups[0]).take_requests

        def count(group: Any, most: int) -> None:
            looked.append(group)
            taking(group, most)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(groups[0]), "take_requests", count)
            net.turn()
            assert looked == []
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(tmp_path / "7"))
                net.turn()
                assert looked == [groups[7]]
                assert groups[7].waiting == 1
                net.turn()
                assert looked == [groups[7]]


def test_connections_are_counted_without_a_snapshot(net: Net):
    group = net.group(7, accept_credits=2)
    assert net.engine.connections == 0
    net.client(group).established()
    assert net.engine.connections == net.engine.snapshot().connections == 1
