"""One descriptor per group, however many connections (P04), and one for the engine."""

from __future__ import annotations

import select
import time
from collections.abc import Callable

import pytest
from support.descriptors import open_descriptors
from support.net import MakeNet, Net

from xtcp_twisted.config import ALL, UNLIMITED
from xtcp_twisted.engine import Group

pytestmark = pytest.mark.feature("P04")

Work = Callable[[Group, int], object]


def by_select(fd: int) -> bool:
    return bool(select.select([fd], [], [], 0)[0])


def by_poll(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


def by_epoll(fd: int) -> bool:
    with select.epoll() as epoll:
        epoll.register(fd, select.EPOLLIN)
        return bool(epoll.poll(0))


ways = pytest.mark.parametrize("readable", [by_select, by_poll, by_epoll])


@ways
def test_readable_exactly_while_there_is_data(net: Net, readable: Callable[[int], bool]) -> None:
    group = net.group(7)
    client = net.client(group).established()
    gd = group.fileno()
    assert not readable(gd)
    client.send(b"first")
    net.turn()
    assert readable(gd)
    assert readable(gd), "asking does not change it"
    group.recv(100)
    assert not readable(gd), "delivered data waits for its acknowledgement, not for recv"
    client.send(b"second")
    net.turn()
    assert readable(gd)
    group.recv(100)
    group.send(client.cd, b"", ackd=ALL)
    assert not readable(gd)


@ways
def test_readable_while_a_request_is_pending(net: Net, readable: Callable[[int], bool]) -> None:
    group = net.group(7)
    gd = group.fileno()
    first, second = net.client(group).asked(), net.client(group).asked()
    assert readable(gd)
    group.accept(first.pending_id())
    assert readable(gd)
    group.refuse(second.pending_id())
    assert not readable(gd)


def test_not_readable_after_the_request_timed_out(net: Net) -> None:
    group = net.group(7)
    gd = group.fileno()
    net.client(group).asked()
    net.advance(1)
    assert not by_select(gd)


def test_readable_until_the_last_connection_was_read(net: Net) -> None:
    group = net.group(7)
    clients = [net.client(group).established() for _ in range(3)]
    for client in clients:
        client.send(b"x")
    net.turn()
    gd = group.fileno()
    for _ in clients:
        assert by_select(gd)
        assert group.recv(10) is not None
    assert not by_select(gd)
    assert group.recv(10) is None


def test_readable_at_the_end_of_a_stream(net: Net) -> None:
    group = net.group(7)
    client = net.client(group).established()
    gd = group.fileno()
    client.fin()
    net.turn()
    assert by_select(gd)
    assert group.recv(10) == (client.cd, b"")
    assert not by_select(gd)


def test_not_readable_after_the_readable_connection_was_reset(net: Net) -> None:
    """RFC 9293 3.10.7.4: a RST flushes the queues; nothing is left to read once the end was told."""
    group = net.group(7)
    client = net.client(group).established()
    gd = group.fileno()
    client.send(b"data")
    client.rst()
    net.turn()
    assert not by_select(gd) or group.recv(10) is not None
    while group.recv(10) is not None:
        pass
    assert not by_select(gd)


def test_asked_for_late_it_still_tells_the_truth(net: Net) -> None:
    """The descriptor is made on first use; data that came before counts."""
    group = net.group(7)
    net.client(group).established().send(b"early")
    net.turn()
    net.events.clear()
    assert by_select(group.fileno())


def test_connections_cost_no_descriptor(make_net: MakeNet) -> None:
    net = make_net()
    group = net.group(7, accept_credits=UNLIMITED)
    group.fileno()
    net.engine.fileno()
    before = open_descriptors()
    clients = [net.client(group).established() for _ in range(200)]
    for client in clients:
        client.send(b"x")
    net.turn()
    assert open_descriptors() == before


def test_a_group_has_one_descriptor_and_close_gives_it_back(net: Net) -> None:
    net.engine.fileno()
    group = net.group(7)
    before = open_descriptors()
    gd = group.fileno()
    assert group.fileno() == gd
    assert open_descriptors() == before + 1
    group.close()
    assert open_descriptors() == before


def test_an_engine_gives_all_descriptors_back(make_net: MakeNet) -> None:
    before = open_descriptors()
    net = make_net()
    net.engine.fileno()
    for port in range(7, 12):
        net.group(port).fileno()
    net.engine.close()
    net.link.close()
    assert open_descriptors() == before


class TestEngineDescriptor:
    """`engine.fileno()` is readable when poll is due; so a program needs one reader.

    Its timer is the kernel's, so the virtual time of these tests lies far ahead
    of the real one: what makes the descriptor readable is the work, not a timer.
    """

    @pytest.fixture
    def net(self, make_net: MakeNet) -> Net:
        return make_net(start=time.monotonic() // 1 + 100_000.0)

    def test_a_packet_makes_it_readable(self, net: Net) -> None:
        client = net.client(net.group(7)).established()
        fd = net.engine.fileno()
        net.turn()
        assert not by_select(fd)
        client.send(b"x")
        assert by_select(fd)
        net.turn()
        assert not by_select(fd)

    def test_queued_work_makes_it_readable(self, net: Net) -> None:
        """A send outside of a turn must not wait for the next packet."""
        group = net.group(7)
        client = net.client(group).established()
        fd = net.engine.fileno()
        net.turn()
        group.send(client.cd, b"unasked")
        assert by_select(fd)
        due = net.engine.poll_at()
        assert due is not None and due <= net.now
        net.turn()
        client.expect("A", data=b"unasked")
        assert not by_select(fd)

    @pytest.mark.parametrize(
        "work",
        [
            lambda group, cd: group.send(cd, b"", ackd=ALL),
            lambda group, cd: group.shutdown(cd),
            lambda group, cd: group.finish(cd),
            lambda group, cd: group.abort(cd),
            lambda group, cd: group.close(abort=True),
        ],
        ids=["ackd", "shutdown", "finish", "abort", "close"],
    )
    def test_every_call_that_queues_makes_it_readable(self, net: Net, work: Work) -> None:
        group = net.group(7)
        client = net.client(group).established()
        client.request(b"question")
        fd = net.engine.fileno()
        net.turn()
        work(group, client.cd)
        assert by_select(fd)
        net.turn()
        assert client.take(), "and there was something to send"

    def test_a_due_timer_makes_it_readable(self, make_net: MakeNet) -> None:
        """The other way round: a virtual time behind the real one has every timer due."""
        net = make_net(start=1.0)
        group = net.group(7)
        client = net.client(group).established()
        fd = net.engine.fileno()
        group.send(client.cd, b"to be sent again")
        net.turn()
        assert by_select(fd)

    def test_accept_makes_it_readable(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group).asked()
        fd = net.engine.fileno()
        net.turn()
        group.accept()
        assert by_select(fd)
        net.turn()
        client.expect("SA")
