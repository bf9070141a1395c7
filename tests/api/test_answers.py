"""Requests, answers and ends through the calls of Fig. 4, in virtual time (P13 to P21)."""

from __future__ import annotations

import errno

import pytest
from support.fig4 import Host, connected, received
from support.net import PEER_V4, Net

from xtcp_twisted.api import (
    PF_INET,
    SOCK_STREAM,
    XTCP_ALL,
    ApplicationServer,
    sockaddr_in,
    sockaddr_in6,
    xtcp_cd,
    xtcp_set,
)
from xtcp_twisted.config import GroupOptions, KiB, MiB

pytestmark = pytest.mark.feature("P26")


@pytest.mark.feature("P09")
def test_connect_gives_up_when_told_to(net: Net, server: ApplicationServer, gd: int) -> None:
    place = xtcp_cd()
    cd = server.xtcp_connect(gd, sockaddr_in6(f"::ffff:{PEER_V4}", 9), timeout=2.5)
    start = net.now
    assert server.xtcp_select(1, xtcp_set([gd]), None, 60) == 1
    assert net.now - start == pytest.approx(2.5, abs=0.001)
    assert server.xtcp_recv(gd, place, bytearray(10)) == -errno.ETIMEDOUT
    assert place.value == cd


@pytest.mark.feature("P13")
def test_recv_takes_one_connection_after_the_other(net: Net, server: ApplicationServer, gd: int) -> None:
    assert received(server, gd) == -errno.EAGAIN
    first, second = connected(net, server, gd), connected(net, server, gd)
    second.send(b"two")
    first.send(b"one")
    server.xtcp_select(0, None, None, 0)
    assert received(server, gd) == (second.cd, b"two")
    assert received(server, gd) == (first.cd, b"one")
    assert received(server, gd) == -errno.EAGAIN


@pytest.mark.feature("P13")
def test_recv_fills_no_more_than_len(net: Net, server: ApplicationServer, gd: int) -> None:
    """The rest comes with the next call; the buffer beyond `len` is left alone."""
    client = connected(net, server, gd)
    client.send(b"abcdefgh")
    server.xtcp_select(0, None, None, 0)
    place, buf = xtcp_cd(), bytearray(b"........")
    assert server.xtcp_rcv(gd, place, buf, 3) == 3
    assert (place.value, buf) == (client.cd, b"abc.....")
    assert server.xtcp_recv(gd, place, memoryview(buf)[4:]) == 4
    assert buf == b"abc.defg"
    assert server.xtcp_send(gd, client.cd, 7, None) == 0, "what both calls returned may be acknowledged"
    assert received(server, gd) == (client.cd, b"h")


@pytest.mark.feature("P13")
def test_the_end_of_a_stream_is_0_once(net: Net, server: ApplicationServer, gd: int) -> None:
    client = connected(net, server, gd)
    client.fin(b"bye")
    readgds = xtcp_set([gd])
    assert server.xtcp_select(1, readgds, None, 1) == 1
    assert received(server, gd) == (client.cd, b"bye")
    assert received(server, gd) == (client.cd, b"")
    assert received(server, gd) == -errno.EAGAIN
    assert server.xtcp_send(gd, client.cd, 3, b"and you") == 7
    assert server.xtcp_close(gd, client.cd) == 0


@pytest.mark.feature("P14", "P15", "P24")
def test_the_acknowledgement_rides_on_the_answer(net: Net, server: ApplicationServer) -> None:
    gd = server.xtcp_open_group(PF_INET, SOCK_STREAM, 0, 9, options=GroupOptions(ack_policy="application"))
    client = connected(net, server, gd)
    client.send(b"question")
    assert server.xtcp_select(1, xtcp_set([gd]), None, 1) == 1
    assert received(server, gd) == (client.cd, b"question")
    net.advance(0.15)
    client.expect_nothing()
    assert server.xtcp_send(gd, client.cd, 8, b"answer") == 6
    server.xtcp_select(0, None, None, 0)
    net.collect()
    client.expect("PA", ack=9, data=b"answer")
    client.expect_nothing()


@pytest.mark.feature("P16")
@pytest.mark.parametrize("buf, length", [(None, None), (None, 0), (b"", None), (b"unsent", 0)])
def test_len_0_acknowledges_without_data(
    net: Net, server: ApplicationServer, gd: int, buf: bytes | None, length: int | None
) -> None:
    client = connected(net, server, gd)
    client.send(b"question")
    server.xtcp_select(0, None, None, 0)
    assert received(server, gd) == (client.cd, b"question")
    assert server.xtcp_send(gd, client.cd, 8, buf, length) == 0
    server.xtcp_select(0, None, None, 0)
    net.collect()
    client.expect("A", ack=9, data=b"")
    assert net.receive_used == 0


@pytest.mark.feature("P18")
def test_what_was_not_acknowledged_is_returned_again_with_what_is_new(
    net: Net, server: ApplicationServer, gd: int
) -> None:
    client = connected(net, server, gd)
    client.send(b"GET one GET t")
    server.xtcp_select(0, None, None, 0)
    assert received(server, gd) == (client.cd, b"GET one GET t")
    assert server.xtcp_send(gd, client.cd, 8, b"1") == 1
    client.send(b"wo ")
    server.xtcp_select(0, None, None, 0)
    assert received(server, gd) == (client.cd, b"GET two ")
    assert server.xtcp_send(gd, client.cd, XTCP_ALL, b"2") == 1
    assert received(server, gd) == -errno.EAGAIN
    assert net.receive_used == 0


@pytest.mark.feature("P18")
def test_an_incomplete_request_is_offered_when_it_is_complete(
    net: Net, server: ApplicationServer, gd: int
) -> None:
    client = connected(net, server, gd)
    client.send(b"10 bytes")
    server.xtcp_select(0, None, None, 0)
    assert received(server, gd) == (client.cd, b"10 bytes")
    assert server.xtcp_need(gd, client.cd, 10) == 0
    client.send(b"!")
    assert server.xtcp_select(1, xtcp_set([gd]), None, 0) == 0
    client.send(b"!")
    assert server.xtcp_select(1, xtcp_set([gd]), None, 0) == 1
    assert received(server, gd) == (client.cd, b"10 bytes!!")


@pytest.mark.feature("P15")
def test_data_that_finds_no_room_is_refused_and_its_acknowledgement_is_not(
    net: Net, server: ApplicationServer, host: Host, gd: int
) -> None:
    client = connected(net, server, gd, window=1_000)
    flood, taken = bytes(64 * KiB), 0
    while (count := server.xtcp_send(gd, client.cd, 0, flood)) > 0:
        taken += count
    assert count == -errno.EAGAIN
    client.send(b"question")
    server.xtcp_select(0, None, None, 0)
    assert received(server, gd) == (client.cd, b"question")
    assert server.xtcp_send(gd, client.cd, 8, flood) == -errno.EAGAIN
    assert server.group(gd).info(client.cd).rcv_ackd == server.group(gd).info(client.cd).rcv_nxt
    place, writegds = xtcp_cd(), xtcp_set([gd])
    assert server.xtcp_select(1, None, None, 0, writegds=writegds) == 0
    client.window = 10 * MiB

    def drain() -> None:
        net.collect()
        client.take()
        client.ack()
        if client.rcv_nxt < taken:
            host.at(0.01, drain)

    host.at(0.01, drain)
    assert server.xtcp_select(1, None, None, 60, writegds=xtcp_set([gd])) == 1
    assert server.xtcp_writable(gd, place) == 0
    assert place.value == client.cd
    assert server.xtcp_send(gd, client.cd, 0, b"more") == 4


@pytest.mark.feature("P21", "P26")
def test_a_connection_that_is_down_is_told(net: Net, server: ApplicationServer) -> None:
    gd = server.xtcp_open_group(PF_INET, SOCK_STREAM, 0, 9, options=GroupOptions(user_timeout_s=5))
    client = connected(net, server, gd)
    assert server.xtcp_send(gd, client.cd, 0, b"anybody there?") == 14
    start = net.now
    assert server.xtcp_select(1, xtcp_set([gd]), None, 60) == 1
    assert net.now - start == pytest.approx(5, abs=0.01)
    assert received(server, gd) == -errno.ETIMEDOUT
    assert net.transmit_used == 0


def test_close_of_a_connection_that_has_failed_takes_the_news_away(
    net: Net, server: ApplicationServer, gd: int
) -> None:
    client = connected(net, server, gd)
    client.rst()
    assert server.xtcp_select(1, xtcp_set([gd]), None, 1) == 1
    assert server.xtcp_close(gd, client.cd) == 0
    assert received(server, gd) == -errno.EAGAIN
    assert server.xtcp_select(1, xtcp_set([gd]), None, 0) == 0


def test_who_never_asks_for_ends_does_not_grow(
    net: Net, server: ApplicationServer, gd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest news is forgotten; that connection is merely stale."""
    monkeypatch.setattr("xtcp_twisted.serving.MOST_ENDS", 2)
    clients = [connected(net, server, gd) for _ in range(3)]
    for client in clients:
        client.rst()
        server.xtcp_select(0, None, None, 0)
    assert server.xtcp_send(gd, clients[0].cd, 0, b"x") == -errno.EBADF
    place = xtcp_cd()
    told = []
    while server.xtcp_recv(gd, place, bytearray(1)) == -errno.ECONNRESET:
        told.append(place.value)
    assert told == [clients[1].cd, clients[2].cd]


@pytest.mark.feature("P10")
def test_pars_writes_both_ends_or_none(net: Net, server: ApplicationServer, gd: int) -> None:
    client = connected(net, server, gd)
    peer = sockaddr_in()
    assert server.xtcp_pars(gd, client.cd, peer, b"no structure") == -errno.EFAULT  # type: ignore[arg-type]
    assert peer == sockaddr_in()
