"""`xtcp_select` blocks, drives the engine, and ends when something is ready or just when time is up (P25)."""

from __future__ import annotations

import os
import time

import pytest
from support.fig4 import Host, connected, received
from support.net import Net
from support.peer import Client

from xtcp_twisted.api import (
    PF_INET,
    SOCK_STREAM,
    XTCP_ALL,
    XTCP_ISSET,
    ApplicationServer,
    xtcp_accept,
    xtcp_cd,
    xtcp_recv,
    xtcp_select,
    xtcp_set,
)
from xtcp_twisted.config import GroupOptions, MiB
from xtcp_twisted.selecting import wait_readable

pytestmark = pytest.mark.feature("P25")


@pytest.fixture
def client(net: Net, server: ApplicationServer, gd: int) -> Client:
    """A peer that is connected."""
    made = net.client(server.group(gd))
    made.syn()
    assert server.xtcp_select(1, None, xtcp_set([gd]), 1) == 1
    made.cd = server.xtcp_accept(gd)
    server.xtcp_select(0, None, None, 0)
    net.collect()
    made.expect("SA")
    made.ack()
    server.xtcp_select(0, None, None, 0.1)
    return made


@pytest.mark.parametrize(
    "timeout, seconds", [(0, 0), (0.25, 0.25), (3, 3), ((1, 500_000), 1.5), ((0, 1_000), 0.001), (100, 100)]
)
def test_time_is_up(
    net: Net, server: ApplicationServer, gd: int, timeout: float | tuple[int, int], seconds: float
) -> None:
    """Not before, and at once then; nothing is ready, so the sets are empty."""
    start, readgds, acceptgds = net.now, xtcp_set([gd]), xtcp_set([gd])
    assert server.xtcp_select(2, readgds, acceptgds, timeout) == 0
    assert net.now == start + seconds
    assert (len(readgds), len(acceptgds)) == (0, 0)


@pytest.mark.parametrize("timeout", [None, 10, (10, 0)])
def test_it_returns_when_something_comes(
    net: Net, server: ApplicationServer, host: Host, gd: int, client: Client, timeout: float | None
) -> None:
    start, readgds = net.now, xtcp_set([gd])
    host.at(0.125, lambda: client.send(b"hello"))
    assert server.xtcp_select(1, readgds, None, timeout) == 1
    assert net.now == start + 0.125
    assert XTCP_ISSET(gd, readgds) == 1
    assert (host.waits[-1] is None) == (timeout is None)


def test_a_group_that_is_ready_in_both_sets_counts_twice(
    net: Net, server: ApplicationServer, gd: int, client: Client
) -> None:
    client.send(b"hello")
    net.client(server.group(gd)).syn()
    readgds, acceptgds = xtcp_set([gd]), xtcp_set([gd])
    assert server.xtcp_select(2, readgds, acceptgds, 1) == 2
    assert (list(readgds), list(acceptgds)) == ([gd], [gd])


def test_the_sets_hold_the_ready_ones_only(
    net: Net, server: ApplicationServer, gd: int, client: Client
) -> None:
    other = server.xtcp_open_group(PF_INET, SOCK_STREAM, 0, 8)
    client.send(b"hello")
    readgds, acceptgds = xtcp_set([gd, other]), xtcp_set([gd, other])
    assert server.xtcp_select(4, readgds, acceptgds, 1) == 1
    assert (list(readgds), list(acceptgds)) == ([gd], [])


def test_it_drives_the_engine_while_it_waits(
    net: Net, server: ApplicationServer, gd: int, client: Client
) -> None:
    """A resend timer expires, more than once, and the packets leave then."""
    start = net.now
    assert server.xtcp_send(gd, client.cd, 0, b"answer") == 6
    assert server.xtcp_select(1, xtcp_set([gd]), None, 2) == 0
    net.collect()
    times = [segment.time - start for segment in client.take()]
    assert len(times) >= 3
    assert times[0] == 0 and times[1] > 0.1
    assert times == sorted(times)


def test_what_was_queued_leaves_with_the_next_call(
    net: Net, server: ApplicationServer, gd: int, client: Client
) -> None:
    """Also when something is ready already, so that it returns at once."""
    client.send(b"question")
    assert server.xtcp_select(1, xtcp_set([gd]), None, 1) == 1
    assert server.xtcp_recv(gd, xtcp_cd(), bytearray(100)) == 8
    assert server.xtcp_send(gd, client.cd, XTCP_ALL, b"answer") == 6
    client.send(b"next")
    assert server.xtcp_select(1, xtcp_set([gd]), None, 1) == 1
    net.collect()
    client.expect("A", ack=9, data=b"answer")


def test_a_part_that_was_not_acknowledged_makes_it_ready_once(
    net: Net, server: ApplicationServer, gd: int, client: Client
) -> None:
    """It comes again after a send with a part of it, and never by itself."""
    client.send(b"question")
    cd, buf = xtcp_cd(), bytearray(100)
    assert server.xtcp_select(1, xtcp_set([gd]), None, 1) == 1
    assert server.xtcp_recv(gd, cd, buf) == 8
    assert server.xtcp_select(1, xtcp_set([gd]), None, 1) == 0
    assert server.xtcp_send(gd, client.cd, 5, None, 0) == 0
    assert server.xtcp_select(1, xtcp_set([gd]), None, 1) == 1
    assert (server.xtcp_recv(gd, cd, buf), bytes(buf[:3])) == (3, b"ion")
    assert server.xtcp_select(1, xtcp_set([gd]), None, 1) == 0
    net.collect()
    client.take()


def test_one_waits_and_the_other_misses_nothing(
    net: Net, host: Host, server: ApplicationServer, gd: int
) -> None:
    """Two application servers: whoever waits drives the engine for both."""
    another = host.server()
    another.xtcp_initialize(MiB)
    theirs = another.xtcp_open_group(PF_INET, SOCK_STREAM, 0, 8)
    peer = net.client(another.group(theirs))
    peer.syn()
    assert server.xtcp_select(2, xtcp_set([gd]), xtcp_set([gd]), 0.5) == 0
    assert another.xtcp_select(1, None, xtcp_set([theirs]), 0) == 1
    peer.cd = another.xtcp_accept(theirs)
    assert server.xtcp_select(1, xtcp_set([gd]), None, 0.01) == 0
    net.collect()
    peer.expect("SA")
    peer.ack()
    peer.send(b"hello")
    peer.rst()
    assert server.xtcp_select(1, xtcp_set([gd]), None, 0.01) == 0
    assert another.xtcp_select(1, xtcp_set([theirs]), None, 0) == 1
    assert another.xtcp_recv(theirs, xtcp_cd(), bytearray(10)) < 0
    another.close()


def test_the_functions_act_for_the_current_application_server(net: Net, host: Host) -> None:
    with host.server() as outer:
        outer.xtcp_initialize(MiB)
        mine = outer.xtcp_open_group(PF_INET, SOCK_STREAM, 0, 7)
        with host.server() as inner:
            inner.xtcp_initialize(MiB)
            theirs = inner.xtcp_open_group(PF_INET, SOCK_STREAM, 0, 8)
            assert xtcp_select(1, None, xtcp_set([theirs]), 0) == 0
            assert xtcp_accept(mine) == -9
        assert xtcp_select(1, None, xtcp_set([mine]), 0) == 0
        assert xtcp_recv(theirs, xtcp_cd(), bytearray(1)) == -9
    inner.close()
    outer.close()


@pytest.mark.parametrize("milliseconds", [1, 2.5, 10])
def test_a_real_wait_is_never_over_early(milliseconds: float) -> None:
    fd = os.eventfd(0)
    start = time.monotonic()
    wait_readable(fd, milliseconds / 1_000)
    assert time.monotonic() - start >= milliseconds / 1_000
    os.eventfd_write(fd, 1)
    wait_readable(fd, None)
    os.close(fd)


@pytest.mark.feature("P05", "P25")
def test_it_tells_of_data_as_the_group_says(net: Net, server: ApplicationServer) -> None:
    """After three connections, or after 50 ms; what is there may be received before."""
    options = GroupOptions(notify_connections=3, notify_delay_ms=50)
    gd = server.xtcp_open_group(PF_INET, SOCK_STREAM, 0, 9, options=options)
    clients = [connected(net, server, gd) for _ in range(3)]
    clients[0].send(b"early")
    start = net.now
    assert server.xtcp_select(1, xtcp_set([gd]), None, 1) == 1
    assert net.now - start == pytest.approx(0.05, abs=0.001)
    assert received(server, gd) == (clients[0].cd, b"early")
    clients[1].send(b"unasked")
    assert server.xtcp_select(1, xtcp_set([gd]), None, 0) == 0
    assert received(server, gd) == (clients[1].cd, b"unasked")
    start = net.now
    for client in clients:
        client.send(b"all")
    assert server.xtcp_select(1, xtcp_set([gd]), None, 1) == 1
    assert net.now == start
