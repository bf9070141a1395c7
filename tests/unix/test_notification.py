"""The notification settings of a Unix-socket group: at once, or after n connections or t ms (P05, P31)."""

from __future__ import annotations

import socket

import pytest
from support.descriptors import readable

from tests.unix.conftest import World
from xtcp_twisted.engine.kinds import EventKind
from xtcp_twisted.engine.unix_group import UnixGroup

pytestmark = pytest.mark.feature("P05", "P31")

DATA = EventKind.DATA


def connected(world: World, group: UnixGroup, n: int) -> tuple[list[socket.socket], list[int]]:
    pairs = [world.connected(group) for _ in range(n)]
    return [client for client, _ in pairs], [cd for _, cd in pairs]


def told(world: World) -> list[int]:
    """The connections of which DATA has told since the last call."""
    world.net.gather()
    return [cd for _, _, cd, _ in world.net.take_events(DATA)]


def is_silent(world: World, group: UnixGroup) -> bool:
    return not told(world) and not group.notified and not readable(group.fileno())


def test_so_many_connections_are_told_together(world: World) -> None:
    group = world.group(notify_connections=3, notify_delay_ms=1000)
    clients, cds = connected(world, group, 3)
    for client in clients[:2]:
        world.asked(client, b"x")
        world.asked(client, b"y")
    assert is_silent(world, group)
    assert group.readable == 2
    world.asked(clients[2], b"x")
    assert told(world) == cds
    assert group.notified
    assert readable(group.fileno())


def test_fewer_are_told_after_the_delay(world: World) -> None:
    group = world.group(notify_connections=3, notify_delay_ms=20)
    clients, cds = connected(world, group, 2)
    world.asked(clients[0], b"x")
    began = world.net.now
    world.net.advance(0.005)
    world.asked(clients[1], b"x")
    assert world.net.engine.poll_at() == pytest.approx(began + 0.020, abs=1e-6)
    world.net.advance(0.0149)
    assert is_silent(world, group)
    world.net.advance(0.0001)
    assert told(world) == cds
    assert readable(group.fileno())


def test_the_next_ones_follow_at_once_until_nothing_is_left(world: World) -> None:
    group = world.group(notify_connections=2, notify_delay_ms=20)
    clients, cds = connected(world, group, 3)
    world.asked(clients[0], b"x")
    world.asked(clients[1], b"x")
    assert told(world) == cds[:2]
    world.asked(clients[2], b"x")
    assert told(world) == cds[2:]
    assert group.recv_batch(10) == [(cd, b"x") for cd in cds]
    world.asked(clients[0], b"y")
    assert is_silent(world, group)


def test_what_is_held_back_is_there_for_who_asks(world: World) -> None:
    group = world.group(notify_connections=2, notify_delay_ms=20)
    [client], [cd] = connected(world, group, 1)
    world.asked(client, b"hello")
    assert group.recv(100) == (cd, b"hello")
    world.net.advance(0.1)
    assert is_silent(world, group)


def test_an_end_of_stream_tells_at_once(world: World) -> None:
    group = world.group(notify_connections=5, notify_delay_ms=1000)
    clients, cds = connected(world, group, 2)
    world.asked(clients[0], b"first")
    clients[1].sendall(b"last")
    clients[1].close()
    world.net.turn()
    assert told(world) == cds[::-1], "the end was the first to be told"
    assert readable(group.fileno())
    assert group.recv_batch(10) == [(cds[0], b"first"), (cds[1], b"last")]


def test_a_request_is_told_at_once_and_no_data_with_it(world: World) -> None:
    group = world.group(accept_credits=1, notify_connections=5, notify_delay_ms=1000)
    [client], _ = connected(world, group, 1)
    world.asked(client, b"x")
    world.client(group)
    world.net.turn()
    assert readable(group.fileno())
    assert not group.notified
    assert told(world) == []


def test_a_pause_and_a_resume_begin_anew(world: World) -> None:
    group = world.group(notify_connections=2, notify_delay_ms=20)
    [client], [cd] = connected(world, group, 1)
    world.asked(client, b"x")
    group.pause(cd)
    world.net.advance(0.1)
    assert is_silent(world, group)
    group.resume(cd)
    world.net.turn()
    assert is_silent(world, group)
    world.net.advance(0.020)
    assert told(world) == [cd]


def test_the_end_of_a_connection_is_the_end_of_its_data(world: World) -> None:
    group = world.group(notify_connections=2, notify_delay_ms=20)
    [client], [cd] = connected(world, group, 1)
    world.asked(client, b"x")
    group.abort(cd)
    world.net.advance(0.1)
    assert is_silent(world, group)
    [other], [cd] = connected(world, group, 1)
    world.asked(other, b"x")
    assert is_silent(world, group)
    world.net.advance(0.020)
    assert told(world) == [cd]


def test_a_change_of_the_settings_tells_what_is_held_back(world: World) -> None:
    group = world.group(notify_connections=5, notify_delay_ms=1000)
    [client], [cd] = connected(world, group, 1)
    world.asked(client, b"x")
    group.set_options(notify_connections=1)
    assert told(world) == [cd]
    assert readable(group.fileno())


def test_a_group_that_closes_while_it_holds_back_tells_nothing(world: World) -> None:
    group = world.group(notify_connections=2, notify_delay_ms=20)
    [client], _ = connected(world, group, 1)
    world.asked(client, b"x")
    group.close()
    world.net.advance(0.1)
    assert told(world) == []
