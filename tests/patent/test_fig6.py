"""The patent's operation flows, Fig. 6a to 6i, block by block.

An application server uses the calls of Fig. 4, its clients are scripted peers;
time is virtual.  A test has the number of its block in its name.  Two blocks of
Fig. 6h, the purge and the mark, share the number 676 with another in the text;
here they are 678 and 680.
"""

from __future__ import annotations

import errno
import os
import socket

import pytest
from support.calls import Calls
from support.fig6 import ACK_ALL, ANSWER, REQUEST, SOON, answered, requested
from support.net import PEER_V4, PEER_V6, V4, V6, Net
from support.peer import Client

from xtcp_twisted.api import (
    PF_INET,
    SOCK_STREAM,
    ApplicationServer,
    sockaddr_in,
    sockaddr_in6,
    xtcp_cd,
)
from xtcp_twisted.config import ACCEPT_TIMEOUT_MS, KiB, MiB


def is_open(fd: int) -> bool:
    """Whether a descriptor of this process has this number."""
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def descriptors() -> set[int]:
    """Of this process, without the one that lists them."""
    return {fd for fd in map(int, os.listdir("/proc/self/fd")) if is_open(fd)}


class TestFig6a:
    """A connection pool request."""

    @pytest.mark.feature("P01", "P02", "P26")
    def test_602_a_request_comes_by_initialize_or_finalize(self, net: Net) -> None:
        calls = ApplicationServer(net.engine)
        assert calls.xtcp_initialize(1 * MiB) == 0
        assert calls.xtcp_finalize() == 0
        assert calls.xtcp_finalize() == -errno.ENXIO

    @pytest.mark.feature("P01", "P12")
    def test_604_a_pool_is_created_with_its_shared_buffer(self, net: Net) -> None:
        """Of the size that was asked for, for the connections of all its groups."""
        calls = Calls(net, pool=256 * KiB)
        [pool] = net.engine.snapshot().pools
        assert (pool.receive_buffer.size, pool.receive_buffer.used) == (256 * KiB, 0)
        for port in (7, 8):
            gd = calls.open(port)
            calls.connect(gd).send(bytes(1_000))
            assert calls.select(read=[gd]) == ([gd], [])
        [pool] = net.engine.snapshot().pools
        one, other = (group.held for group in pool.groups)
        assert min(one, other) >= 1_000 and one + other == pool.receive_buffer.used

    @pytest.mark.feature("P02")
    def test_604_a_pool_is_torn_down(self, calls: Calls, gd: int, client: Client) -> None:
        """Its connections and groups are closed, its descriptors and its buffer are free again."""
        client.send(REQUEST)
        calls.turn()
        assert is_open(gd)
        assert calls.xtcp_finalize() == 0
        assert not is_open(gd)
        calls.net.turn()
        assert client.take()[-1].flags & {"F", "R"}
        assert calls.net.engine.snapshot().pools == ()
        assert calls.xtcp_close(gd, client.cd) == -errno.EBADF


class TestFig6b:
    """A connection group request."""

    @pytest.mark.feature("P03", "P07", "P26")
    def test_612_a_request_comes_by_open_group_or_close_group(self, calls: Calls) -> None:
        gd = calls.xtcp_open_group(PF_INET, SOCK_STREAM, 0, 7)
        assert gd > 0
        assert calls.xtcp_close_group(gd) == 0
        assert calls.xtcp_close_group(gd) == -errno.EBADF

    @pytest.mark.feature("P03", "P04", "P05")
    def test_614_a_group_is_opened_with_its_shared_descriptor(self, calls: Calls, gd: int) -> None:
        """Which its connections share, and which all later calls take."""
        clients = [calls.connect(gd)]
        before = descriptors()
        clients += [calls.connect(gd) for _ in range(20)]
        assert descriptors() <= before and gd in before
        sa = sockaddr_in()
        for client in clients:
            assert calls.xtcp_pars(gd, client.cd, sa) == 0
        answered(calls, gd, clients[7])
        assert [calls.xtcp_close(gd, client.cd) for client in clients] == [0] * 21

    @pytest.mark.feature("P07")
    @pytest.mark.parametrize("abort", [False, True])
    def test_614_a_group_is_closed(self, calls: Calls, gd: int, client: Client, abort: bool) -> None:
        """Its connections with it, in order or not; the port is free for another."""
        assert calls.xtcp_close_group(gd, abort=abort) == 0
        calls.turn()
        assert ("R" if abort else "F") in client.take()[-1].flags
        assert not is_open(gd)
        assert calls.open(7) > 0


@pytest.mark.feature("P08")
class TestFig6c:
    """A connection request of a client."""

    def test_622_a_request_is_received_and_not_answered(self, calls: Calls, gd: int) -> None:
        """The decision is the application's."""
        client = calls.asks(gd)
        calls.pass_by(0.1)
        client.expect_nothing()
        assert calls.net.engine.snapshot().half_open == 1

    @pytest.mark.feature("P25")
    def test_624_the_application_server_is_notified(self, calls: Calls, gd: int) -> None:
        """By the return of `xtcp_select`, in the accept set of this group and no other."""
        other = calls.open(8)
        assert calls.select(read=[gd], accept=[gd, other], timeout=0.5) == ([], [])
        calls.asks(gd)
        assert calls.select(read=[gd], accept=[gd, other], timeout=None) == ([], [gd])

    @pytest.mark.parametrize("timely", [True, False])
    def test_626_whether_it_is_accepted_in_time(self, calls: Calls, gd: int, timely: bool) -> None:
        """In time is within `accept_timeout_ms` of the notification."""
        client = calls.asks(gd)
        calls.pass_by((ACCEPT_TIMEOUT_MS + (-10 if timely else 10)) / 1_000)
        cd = calls.xtcp_accept(gd)
        assert cd > 0 if timely else cd == -errno.EAGAIN
        calls.turn()
        client.expect("SA" if timely else "RA", ack=1)

    @pytest.mark.feature("P06")
    def test_628_accepted_it_is_completed_and_attached(self, calls: Calls, gd: int) -> None:
        """To the group that the application server names."""
        other = calls.open(8)
        client = calls.connect(gd, into=other)
        client.send(REQUEST)
        assert calls.select(read=[gd, other]) == ([other], [])
        assert calls.recv(other) == (client.cd, REQUEST)
        assert len(calls.group(gd)) == 0 and len(calls.group(other)) == 1

    def test_630_not_accepted_it_is_rejected(self, calls: Calls, gd: int) -> None:
        """With a reset, RFC 9293 section 3.10.7.2; nothing of it is kept."""
        client = calls.asks(gd)
        calls.pass_by(1)
        client.expect("RA", seq=0, ack=1)
        assert calls.select(accept=[gd]) == ([], [])
        assert calls.net.engine.snapshot().half_open == 0

    def test_630_refused_it_is_rejected_at_once(self, calls: Calls, gd: int) -> None:
        client = calls.asks(gd)
        assert calls.select(accept=[gd]) == ([], [gd])
        assert calls.xtcp_refuse(gd) == 0
        calls.turn()
        client.expect("RA", seq=0, ack=1)


@pytest.mark.feature("P10")
class TestFig6d:
    """A request for connection parameters."""

    @pytest.mark.feature("P26")
    def test_632_a_request_comes_by_pars(self, calls: Calls, gd: int, client: Client) -> None:
        sa = sockaddr_in()
        assert calls.xtcp_pars(gd, client.cd, sa) == 0
        assert calls.xtcp_pars(gd, client.cd + 1, sa) == -errno.EBADF
        assert calls.xtcp_pars(gd + 1, client.cd, sa) == -errno.EBADF

    @pytest.mark.parametrize("v6", [False, True], ids=["IPv4", "IPv6"])
    def test_634_the_parameters_are_returned(self, calls: Calls, v6: bool) -> None:
        """Address and port of the peer, in the structure of the group's family; this end's, if wanted."""
        gd = calls.open(7, v6=v6)
        client = calls.connect(gd)
        if v6:
            peer, local = sockaddr_in6(), sockaddr_in6()
            assert calls.xtcp_pars(gd, client.cd, peer, local) == 0
            assert (peer.sin6_family, peer.sin6_addr, peer.sin6_port) == (
                socket.AF_INET6,
                PEER_V6,
                client.sport,
            )
            assert (local.sin6_addr, local.sin6_port) == (V6, 7)
        else:
            sa, own = sockaddr_in(), sockaddr_in()
            assert calls.xtcp_pars(gd, client.cd, sa, own) == 0
            assert (sa.sin_family, sa.sin_addr, sa.sin_port) == (socket.AF_INET, PEER_V4, client.sport)
            assert (own.sin_addr, own.sin_port) == (V4, 7)


class TestFig6e:
    """A packet on an open connection."""

    @pytest.mark.feature("P14")
    def test_642_a_request_packet_is_received(self, calls: Calls, gd: int, client: Client) -> None:
        """And its acknowledgement deferred."""
        client.send(REQUEST)
        assert calls.select(read=[gd], timeout=0.03) == ([gd], [])
        calls.turn()
        client.expect_nothing()
        info = calls.group(gd).info(client.cd)
        assert (info.held, (info.wire_ack - client.iss) % 2**32) == (len(REQUEST), 1)

    @pytest.mark.feature("P22")
    def test_644_whether_it_is_a_retransmission(self, calls: Calls, gd: int, client: Client) -> None:
        """What came before is; what goes on from there is not, even if old bytes come along."""
        answered(calls, gd, client)
        client.ack()
        calls.pass_by(0.3)
        client.send(REQUEST, seq=1)
        assert calls.select(read=[gd], timeout=0.3) == ([], [])
        client.send(REQUEST + b" And there?", seq=1)
        assert calls.select(read=[gd], timeout=0.3) == ([gd], [])
        assert calls.recv(gd) == (client.cd, b" And there?")

    @pytest.mark.feature("P12", "P14")
    def test_646_a_new_packet_is_buffered_in_the_pools_buffer(
        self, calls: Calls, gd: int, client: Client
    ) -> None:
        """Until the application acknowledges it."""
        requested(calls, gd, client)
        [pool] = calls.net.engine.snapshot().pools
        assert pool.receive_buffer.used >= len(REQUEST)
        calls.pass_by(1)
        assert calls.net.engine.snapshot().pools[0].receive_buffer.used == pool.receive_buffer.used
        assert calls.xtcp_send(gd, client.cd, len(REQUEST), None) == 0
        assert calls.net.engine.snapshot().pools[0].receive_buffer.used == 0

    @pytest.mark.feature("P04", "P25")
    def test_648_the_application_server_is_notified(self, calls: Calls, gd: int, client: Client) -> None:
        """By the group in the read set that `xtcp_select` returns, which blocked until then."""
        other = calls.open(8)
        client.send(REQUEST)
        assert calls.select(read=[other, gd], accept=[gd], timeout=None) == ([gd], [])

    @pytest.mark.feature("P22")
    def test_650_the_cached_reply_is_queued_again(self, calls: Calls, gd: int, client: Client) -> None:
        """For a retransmission, and the application is not notified."""
        answered(calls, gd, client, lost=True)
        calls.pass_by(SOON)
        client.send(REQUEST, seq=1)
        assert calls.select(read=[gd]) == ([], [])
        assert client.expect("A", data=ANSWER, seq=1)
        assert calls.net.counters()["AnswersReplayed"] == 1

    @pytest.mark.feature("P22")
    def test_652_and_with_it_the_acknowledgement(self, calls: Calls, gd: int, client: Client) -> None:
        """In the same packet; without an answer to repeat, alone."""
        answered(calls, gd, client, lost=True)
        calls.pass_by(SOON)
        client.send(REQUEST, seq=1)
        calls.turn()
        client.expect("A", data=ANSWER, ack=ACK_ALL)
        client.ack()
        calls.pass_by(1)
        client.expect_nothing()
        client.send(REQUEST, seq=1)
        calls.turn()
        client.expect("A", ack=ACK_ALL)


@pytest.mark.feature("P13")
class TestFig6f:
    """A request of the application server to read."""

    @pytest.mark.feature("P26")
    def test_656_a_request_comes_by_rcv(self, calls: Calls, gd: int, client: Client) -> None:
        """It never blocks, under both of its names."""
        now = calls.net.now
        cd, buf = xtcp_cd(), bytearray(100)
        assert calls.xtcp_rcv(gd, cd, buf) == calls.xtcp_recv(gd, cd, buf) == -errno.EAGAIN
        assert calls.net.now == now
        client.send(REQUEST)
        calls.turn()
        assert calls.xtcp_rcv(gd, cd, buf) == len(REQUEST)

    def test_658_the_packet_is_returned(self, calls: Calls, gd: int) -> None:
        """With the id of its connection, each of the group in its turn, as far as the buffer reaches."""
        clients = [calls.connect(gd) for _ in range(3)]
        for number, client in enumerate(clients):
            client.send(REQUEST + b"%d" % number)
        assert calls.select(read=[gd]) == ([gd], [])
        got = [calls.recv(gd) for _ in clients]
        assert got == [(client.cd, REQUEST + b"%d" % n) for n, client in enumerate(clients)]
        assert calls.nothing(gd) == errno.EAGAIN
        clients[0].send(b"a longer one")
        assert calls.select(read=[gd]) == ([gd], [])
        assert calls.recv(gd, limit=4) == (clients[0].cd, (REQUEST + b"0")[:4])
