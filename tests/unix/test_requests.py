"""Requests of Unix-socket clients: credits, decisions, and a lack of descriptors (P08, P31)."""

from __future__ import annotations

import errno
import gc
import os
import resource
import select
import socket
from collections.abc import Iterator

import pytest

from tests.unix.conftest import World, got
from xtcp_twisted.config import UNLIMITED
from xtcp_twisted.engine.kinds import EventKind
from xtcp_twisted.errors import LocalError, NothingPending, PoolExhausted, StalePending

pytestmark = pytest.mark.feature("P31")


def readable(fd: int) -> bool:
    return bool(select.select([fd], [], [], 0)[0])


@pytest.mark.feature("P08")
def test_a_request_waits_for_the_application(world: World) -> None:
    group = world.group(accept_credits=0)
    assert not readable(group.fileno())
    client = world.client(group)
    world.net.turn()
    ((pending_id, peer),) = group.pending()
    assert peer == ("", 0)
    assert world.net.take_events() == [(EventKind.PENDING, group.fileno(), pending_id, 0)]
    assert readable(group.fileno())
    assert group.credentials(pending_id)[0] == os.getpid()
    cd = group.accept()
    assert not readable(group.fileno())
    with pytest.raises(StalePending):
        group.accept(pending_id)
    with pytest.raises(NothingPending):
        group.accept()
    world.net.turn()
    assert world.net.kinds() == [EventKind.ESTABLISHED]
    world.asked(client, b"hello")
    assert readable(group.fileno())
    assert group.recv(100) == (cd, b"hello")
    assert not readable(group.fileno())


@pytest.mark.feature("P08")
def test_what_was_sent_before_the_decision_is_there(world: World) -> None:
    group = world.group(accept_credits=0)
    client = world.client(group)
    client.send(b"early")
    world.net.poll()
    cd = group.accept()
    assert group.recv(100) == (cd, b"early")
    world.net.flush()
    world.net.poll()
    assert world.net.kinds() == [EventKind.PENDING, EventKind.ESTABLISHED, EventKind.DATA]


@pytest.mark.feature("P08")
def test_a_request_is_refused(world: World) -> None:
    group = world.group(accept_credits=0)
    client, other = world.client(group), world.client(group)
    other.send(b"let me in")
    world.net.turn()
    for pending_id, _ in group.pending():
        group.refuse(pending_id)
        with pytest.raises(StalePending):
            group.refuse(pending_id)
    assert got(client) == b""
    with pytest.raises(ConnectionResetError):
        other.recv(1)
    assert group.counters["Refused"] == 2
    assert not readable(group.fileno())


@pytest.mark.feature("P08")
def test_a_request_that_nobody_accepts_is_refused_in_time(world: World) -> None:
    group = world.group(accept_credits=0)
    client = world.client(group)
    world.net.turn()
    world.net.advance(0.899)
    assert got(client) is None
    world.net.advance(0.002)
    assert got(client) == b""
    assert group.pending() == []


def test_requests_that_wait_are_bounded(world: World) -> None:
    """The others wait in the kernel, and follow."""
    group = world.group(accept_credits=0)
    clients = [world.client(group) for _ in range(100)]
    world.net.turn()
    world.net.turn()
    assert len(group.pending()) == group.waiting == 64
    assert [group.pending(n) for n in (-1, 0, 3, 100)] == [group.pending()[:n] for n in (0, 0, 3, 64)]
    accepted = 0
    while group.pending():
        group.accept()
        accepted += 1
        world.net.turn()
    assert accepted == len(clients)


@pytest.mark.feature("P08")
def test_credits_accept_without_asking(world: World) -> None:
    group = world.group(accept_credits=2)
    for _ in range(3):
        world.client(group)
    world.net.turn()
    assert (len(group), len(group.pending())) == (2, 1)
    group.credit(5)
    assert (len(group), len(group.pending())) == (3, 0)
    for _ in range(5):
        world.client(group)
    world.net.turn()
    assert (len(group), len(group.pending())) == (7, 1)
    group.credit(UNLIMITED)
    group.credit(0)
    world.client(group)
    world.net.turn()
    assert (len(group), len(group.pending())) == (8, 1)
    with pytest.raises(LocalError, match="n: -1 is not allowed"):
        group.credit(-1)


def test_credits_may_be_paced(world: World) -> None:
    group = world.group(accept_rate=10)
    for _ in range(30):
        world.client(group)
    world.net.advance(0.001)
    first = len(group)
    assert first <= 10
    world.net.advance(1.01)
    assert len(group) == first + 10
    world.net.advance(3.0)
    assert len(group) == 30


@pytest.mark.feature("P06")
def test_a_connection_may_join_another_group(world: World) -> None:
    group = world.group(accept_credits=0)
    other = world.group(path=str(world.folder / "other"), pool=world.net.engine.create_pool(65_536))
    client = world.client(group)
    world.net.turn()
    cd = group.accept(into=other)
    world.net.turn()
    world.asked(client, b"hello")
    assert group.recv(100) is None
    assert other.recv(100) == (cd, b"hello")
    world.client(group)
    world.net.turn()
    with pytest.raises(LocalError, match="into: give a Unix-socket group"):
        group.accept(into=world.net.group(7))  # type: ignore[arg-type]
    assert len(group.pending()) == 1


def test_closing_refuses_who_waits(world: World) -> None:
    group = world.group(accept_credits=0)
    client = world.client(group)
    world.net.turn()
    group.close()
    assert got(client) == b""
    assert world.net.take_events(EventKind.ESTABLISHED) == []


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    """The process may open 20 more than it has, gaps between those included."""
    gc.collect()  # the garbage of other tests would give descriptors back in the middle of this one
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    more = [os.dup(0) for _ in range(20)]
    for fd in more:
        os.close(fd)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(more) + 1, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


class TestExhaustion:
    """Without descriptors, requests wait in the kernel; nothing spins, nobody else is hurt."""

    def test_requests_wait_for_descriptors(self, world: World, few_descriptors: None) -> None:
        group = world.group()
        served, cd = world.connected(group)
        waiting = []
        while True:
            try:
                waiting.append(world.client(group))
            except OSError:
                break
        world.net.turn()
        for client in waiting:
            client.send(b"hello")
        world.net.advance(0.5)
        accepted = len(group)
        assert accepted < 1 + len(waiting)
        assert group.counters["AcceptFails"] >= 3
        # Whoever is connected goes on.
        world.asked(served, b"and me")
        assert (cd, b"and me") in group.recv_batch(100)
        group.send(cd, b"answer", ackd=6)
        world.net.flush()
        assert got(served) == b"answer"
        # Some leave.  They had waited longest, so they come first; then there is room for others.
        for client in waiting[:4]:
            client.close()
        world.net.advance(0.3)
        for cd, data in group.recv_batch(100):
            assert data == b"hello"
            group.finish(cd)
        world.net.advance(0.3)
        assert group.counters["Ended"] == 4
        assert len(group) == 5
        assert {data for _, data in group.recv_batch(100)} == {b"hello"}

    def test_no_group_without_a_descriptor(self, world: World, few_descriptors: None) -> None:
        world.group()
        held = []
        while True:
            try:
                held.append(os.dup(0))
            except OSError:
                break
        try:
            for free in range(3):
                with pytest.raises(PoolExhausted, match="ulimit -n"):
                    world.group(path=str(world.folder / f"other{free}"))
                os.close(held.pop())
        finally:
            for fd in held:
                os.close(fd)
        assert sorted(os.listdir(world.folder)) == ["s", "s.lock"]
        assert len(world.net.pool.groups()) == 1


@pytest.mark.feature("P09")
class TestConnect:
    def test_to_a_server(self, world: World) -> None:
        group = world.group()
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(world.folder / "server"))
            server.listen()
            cd = group.connect((str(world.folder / "server"), 0))
            group.send(cd, b"hello")
            world.net.turn()
            assert world.net.take_events() == [(EventKind.ESTABLISHED, group.fileno(), cd, 0)]
            other, _ = server.accept()
            with other:
                assert other.recv(100) == b"hello"
                other.send(b"world")
                world.net.turn()
                assert group.recv(100) == (cd, b"world")
                assert group.peer(cd) == (str(world.folder / "server"), 0)

    def test_to_nobody(self, world: World) -> None:
        group = world.group()
        cd = group.connect((str(world.folder / "nobody"), 0))
        world.net.turn()
        assert world.net.take_events() == [(EventKind.DOWN, group.fileno(), cd, errno.ENOENT)]
        assert len(group) == 0

    @pytest.mark.parametrize("remote", [("/s", 7), "/s", ("", 0), None])
    def test_nonsense(self, world: World, remote: tuple[str, int]) -> None:
        with pytest.raises(LocalError):
            world.group().connect(remote)


def test_a_turn_is_due_for_what_came_before_the_kernel_was_asked(world: World) -> None:
    """A program that goes by `poll_at` alone hears of a client that has sent and gone."""
    group = world.group()
    client = world.client(group)
    client.send(b"hello")
    client.close()
    world.net.turn()
    assert world.net.engine.poll_at() == world.net.now
    world.net.turn()
    assert world.net.kinds() == [EventKind.ESTABLISHED, EventKind.DATA, EventKind.EOF]
    assert world.net.engine.poll_at() is None
    assert group.recv(100) is not None


@pytest.mark.feature("P04")
@pytest.mark.parametrize("first", [True, False])
def test_the_engine_is_readable_when_it_has_something_to_do(world: World, first: bool) -> None:
    """Bytes that wait for an acknowledgement are not that, though the kernel would call them readable."""
    engine = world.net.engine
    if first:
        assert not readable(engine.fileno())
    group = world.group()
    world.net.turn()
    assert not readable(engine.fileno())
    client = world.client(group)
    assert readable(engine.fileno())
    world.net.turn()
    world.net.turn()
    ((_, _, cd, _),) = world.net.take_events()
    assert not readable(engine.fileno())
    client.send(b"hello")
    assert readable(engine.fileno())
    world.net.turn()
    assert readable(group.fileno())
    assert not readable(engine.fileno())
    assert group.recv(100) == (cd, b"hello")
    world.net.turn()
    assert not readable(engine.fileno())
    group.send(cd, b"answer", ackd=5)
    assert readable(engine.fileno())
    world.net.turn()
    got(client)
    # That the client has read is nothing to wake up for.
    assert not readable(engine.fileno())
    client.close()
    assert readable(engine.fileno())


@pytest.mark.feature("P04")
def test_the_descriptor_can_be_asked_for_attention(world: World) -> None:
    """By whoever has something to show that is neither data nor a request."""
    group = world.group()
    assert (group.attention, readable(group.fileno())) == (False, False)
    group.attention = True
    assert (group.attention, readable(group.fileno())) == (True, True)
    client, _ = world.connected(group)
    world.asked(client, b"hello")
    group.attention = False
    assert readable(group.fileno())
    group.recv(100)
    assert (group.attention, readable(group.fileno())) == (False, False)

    assert (group.attention, group.notified, readable(group.fileno())) == (False, False, False)


def test_who_was_accepted_is_no_request_any_more(world: World) -> None:
    """Nor is one told of, when the application accepts before it asks what happened."""
    group = world.group(accept_credits=0)
    world.client(group)
    world.net.engine.poll(world.net.now)
    cd = group.accept()
    assert world.net.engine.events() == [(EventKind.ESTABLISHED, group.fileno(), cd, 0)]


def test_credits_keep_to_the_rate_for_those_who_wait(world: World) -> None:
    group = world.group(accept_credits=0, accept_rate=2)
    for _ in range(4):
        world.client(group)
    world.net.turn()
    first = [pending_id for pending_id, _ in group.pending()]
    group.credit(UNLIMITED)
    assert len(group) == 1
    world.net.advance(0.51)
    assert len(group) == 2
    # The oldest first, and before those who come now.
    world.client(group)
    world.net.turn()
    assert [pending_id for pending_id, _ in group.pending()] == first[2:]


@pytest.mark.feature("P05")
def test_a_rate_counts_from_when_it_is_set(world: World) -> None:
    """Not from the first of all who were accepted without one."""
    group = world.group()
    for _ in range(50):
        world.client(group)
    world.net.advance(0.01)
    assert len(group) == 50
    group.set_options(accept_rate=10)
    world.client(group)
    world.net.advance(0.01)
    assert len(group) == 51


@pytest.mark.feature("P19")
def test_a_broadcast_to_ids_that_fail_leaves_nothing_behind(world: World) -> None:
    group = world.group()
    _, cd = world.connected(group)
    with pytest.raises(ZeroDivisionError):
        group.broadcast(b"news", (cd // left for left in (1, 0)))
    assert world.net.transmit_used == 0
