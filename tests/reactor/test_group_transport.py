"""The transport of a group: many answers, broadcasts, room and losses, pausing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.reactor.recorders import Recorder, Upper, opened
from tests.reactor.world import ANY, World
from xtcp_twisted.config import ALL
from xtcp_twisted.errors import GroupClosed, LocalError, NotAcknowledgeable

# -- the transport ---------------------------------------------------------------------------------


def test_send_many_passes_over_those_who_have_gone(world: World) -> None:
    protocol = Recorder()
    clients = opened(world, protocol, 3)
    one, two, three = protocol.cds
    protocol.group.abort(two)
    assert protocol.group.sendMany([(one, b"1"), (two, b"2"), (three, b"3", ALL)]) == []
    world.turn()
    clients[0].expect("A", data=b"1")
    clients[2].expect("A", data=b"3")


def test_send_many_passes_over_those_who_send_no_more(world: World) -> None:
    protocol = Recorder()
    clients = opened(world, protocol, 2)
    one, two = protocol.cds
    protocol.group.shutdown(one)
    assert protocol.group.sendMany([(one, b"1"), (two, b"2")]) == []
    world.turn()
    clients[0].expect("FA")
    clients[1].expect("A", data=b"2")


@pytest.mark.parametrize("wrong", [(1,), (1, b"", 0, 0)])
def test_send_many_says_what_an_answer_is(world: World, wrong: tuple[object, ...]) -> None:
    protocol = Recorder()
    (client,) = opened(world, protocol)
    with pytest.raises(LocalError, match="give"):
        protocol.group.sendMany([(protocol.cds[0], b"before"), wrong])
    world.turn()
    client.expect("A", data=b"before")


def test_send_many_acknowledges_no_more_than_was_delivered(world: World) -> None:
    protocol = Recorder()
    opened(world, protocol)
    with pytest.raises(NotAcknowledgeable):
        protocol.group.sendMany([(protocol.cds[0], b"", 1)])


def test_send_many_of_an_iterator_that_closes_the_group(world: World) -> None:
    protocol = Recorder()
    opened(world, protocol)

    def answers() -> Iterator[tuple[int, bytes]]:
        yield protocol.cds[0], b"before"
        protocol.group.engineGroup.close()
        yield protocol.cds[0], b"after"

    with pytest.raises(GroupClosed):
        protocol.group.sendMany(answers())


def test_send_many_returns_what_did_not_fit(world: World) -> None:
    protocol = Recorder()
    opened(world, protocol)
    (cd,) = protocol.cds
    payload = b"x" * (8 << 20)
    ((who, rest),) = protocol.group.sendMany([(cd, payload)])
    assert who == cd
    assert 0 < len(rest) < len(payload)


def test_room_is_reported_after_a_short_send(world: World) -> None:
    class Pusher(Recorder):
        def __init__(self) -> None:
            super().__init__()
            self.rest = b"x" * (1 << 20)
            self.asked = 0

        def connectionsMade(self, cds: list[int]) -> None:
            super().connectionsMade(cds)
            self.connectionsWritable(cds)

        def connectionsWritable(self, cds: list[int]) -> None:
            self.asked += 1
            (cd,) = cds
            self.rest = self.rest[self.group.send(cd, self.rest) :]

    protocol = Pusher()
    (client,) = opened(world, protocol)
    for _ in range(20_000):
        if not client.inbox and not protocol.rest:
            break
        client.take()
        client.ack()
        world.turn()
    assert len(client.received) == 1 << 20
    assert protocol.asked > 1


def test_a_loss_is_told_before_the_room_that_came_after_it(world: World) -> None:
    """Both in one turn: otherwise nobody would ever call a protocol that waits for room since the loss."""

    class Apologist(Recorder):
        def __init__(self) -> None:
            super().__init__()
            self.missed: set[int] = set()

        def connectionsStalled(self, cds: list[int]) -> None:
            self.missed.update(cds)

        def connectionsWritable(self, cds: list[int]) -> None:
            for cd in self.missed.intersection(cds):
                self.group.send(cd, b"sorry")

    protocol = Apologist()
    (client,) = opened(world, protocol)
    (cd,) = protocol.cds
    while protocol.group.send(cd, bytes(10_000)):
        pass
    world.turn()
    assert protocol.group.broadcast(b"news") == 0
    for _ in range(20_000):
        client.take()
        client.ack()
        world.turn()
        if not client.inbox:
            break
    assert client.received.endswith(b"\0sorry")


@pytest.mark.feature("P19")
def test_broadcast(world: World) -> None:
    protocol = Recorder()
    clients = opened(world, protocol, 3)
    assert protocol.group.broadcast(b"all") == 3
    world.turn()
    for client in clients:
        client.expect("A", data=b"all")
        client.ack()
    assert protocol.group.broadcast(b"two", protocol.cds[:2]) == 2
    world.turn()
    clients[0].expect("A", data=b"two")
    clients[1].expect("A", data=b"two")
    clients[2].expect_nothing()


def test_pause_and_resume(world: World) -> None:
    protocol = Upper()
    (client,) = opened(world, protocol)
    (cd,) = protocol.cds
    protocol.group.pause(cd)
    client.send(b"x")
    world.turns(2)
    assert protocol.data == []
    protocol.group.resume(cd)
    world.turn()
    client.expect("A", data=ANY)
    assert protocol.data == [b"x"]


def test_the_users_number(world: World) -> None:
    protocol = Recorder()
    (client,) = opened(world, protocol)
    (cd,) = protocol.cds
    protocol.group.setUser(cd, 7)
    assert protocol.group.user(cd) == 7
    assert protocol.group.peer(cd) == client.key
    assert protocol.group.local(cd) == ("192.0.2.1", 7)
    assert protocol.group.info(cd).state == "ESTABLISHED"
