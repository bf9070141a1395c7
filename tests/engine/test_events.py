"""`Engine.events` and `broadcast` when the caller's or the system's part fails: nothing is lost."""

from __future__ import annotations

import errno
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.net import Net

from xtcp_twisted.engine import Group
from xtcp_twisted.engine.kinds import EventKind
from xtcp_twisted.errors import GroupClosed


@contextmanager
def no_descriptors() -> Iterator[None]:
    """The process may open none."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.feature("P04")
@pytest.mark.parametrize("end", [False, True])
def test_without_a_descriptor_for_the_group_events_wait(net: Net, end: bool) -> None:
    known, unknown = net.group(7, accept_credits=2), net.group(8, accept_credits=1)
    known.fileno()
    clients = [net.client(group) for group in (known, unknown)]
    for client in clients:
        client.syn()
    net.turn()
    for client in clients:
        client.expect("SA")
        client.ack()
        if end:
            client.rst(seq=1)
    net.engine.poll(net.now)
    kinds = [EventKind.ESTABLISHED, EventKind.RESET] if end else [EventKind.ESTABLISHED]
    with no_descriptors():
        found = net.engine.events()
        assert [(kind, gd) for kind, gd, _, _ in found] == [(kind, known.fileno()) for kind in kinds]
        for _ in range(2):
            with pytest.raises(OSError) as failed:
                net.engine.events()
            assert failed.value.errno == errno.EMFILE
    found = net.engine.events()
    assert [(kind, gd) for kind, gd, _, _ in found] == [(kind, unknown.fileno()) for kind in kinds]
    assert net.engine.snapshot().connections == (0 if end else 2)


@pytest.mark.feature("P04")
@pytest.mark.feature("P06")
def test_requests_wait_for_the_descriptors_of_all_who_see_them(net: Net) -> None:
    groups = [net.pool.open_group(7, share=True) for _ in range(2)]
    groups[0].fileno()
    client = net.client(groups[0])
    client.syn()
    net.engine.poll(net.now)
    with no_descriptors(), pytest.raises(OSError):
        net.engine.events()
    assert [gd for _, gd, _, _ in net.engine.events()] == [group.fileno() for group in groups]
    assert net.engine.events() == []


def failing(group: Group, cd: int, *, close: bool) -> Iterator[int]:
    yield cd
    if close:
        group.close()
    else:
        raise ZeroDivisionError


@pytest.mark.feature("P19")
@pytest.mark.parametrize("close", [False, True])
def test_a_broadcast_to_ids_that_fail_leaves_nothing_behind(net: Net, close: bool) -> None:
    group = net.group(7)
    client = net.client(group).established()
    with pytest.raises(GroupClosed if close else ZeroDivisionError):
        group.broadcast(b"news", failing(group, client.cd, close=close))
    assert net.transmit_used == 0


@pytest.mark.feature("P03")
def test_an_address_of_ipv4_may_be_written_as_one_of_ipv6(net: Net) -> None:
    group = net.pool.open_group(7, address="::ffff:192.0.2.1", domain=socket.AF_INET6)
    assert group.domain == socket.AF_INET
    client = net.client(port=7)
    client.group = group
    client.established()
