"""Each call of Fig. 4 as the patent describes it, in virtual time (P01 to P26)."""

from __future__ import annotations

import ctypes
import errno
import os
import select

import pytest
from support.fig4 import Host, asked, connected, received
from support.net import PEER_V4, V4, V6, Net

from xtcp_twisted import api
from xtcp_twisted.api import (
    PF_INET,
    PF_INET6,
    SOCK_STREAM,
    XTCP_ALL,
    XTCP_CLR,
    XTCP_ISSET,
    XTCP_SET,
    XTCP_ZERO,
    ApplicationServer,
    sockaddr_in,
    sockaddr_in6,
    xtcp_cd,
    xtcp_set,
)
from xtcp_twisted.config import KiB, MiB

pytestmark = pytest.mark.feature("P26")


# --- pools (402) ---------------------------------------------------------------


@pytest.mark.feature("P01")
def test_initialize_makes_a_pool_with_a_buffer_of_that_size(net: Net, host: Host) -> None:
    server = host.server()
    assert server.xtcp_initialize(512 * KiB) == 0
    assert server.xtcp_initialize(buffer_pool_size=MiB, name="second") == 0
    assert [(pool.size, pool.name) for pool in net.engine.pools()] == [(512 * KiB, ""), (MiB, "second")]
    server.close()


@pytest.mark.feature("P02")
def test_finalize_tears_down_the_pool_that_was_initialized_last(net: Net, host: Host) -> None:
    server = host.server()
    server.xtcp_initialize(MiB, name="first")
    first = server.xtcp_open_group(PF_INET, SOCK_STREAM, 0, 1_001)
    server.xtcp_initialize(MiB, name="second")
    second = server.xtcp_open_group(PF_INET, SOCK_STREAM, 0, 1_002)
    assert server.group(second).pool.name == "second"
    client = connected(net, server, second)
    assert server.xtcp_finalize() == 0
    server.xtcp_select(0, None, None, 0)
    net.collect()
    client.expect("FA", ack=1)
    assert server.xtcp_close_group(second) == -errno.EBADF
    third = server.xtcp_open_group(PF_INET, SOCK_STREAM, 0, 1_003)
    assert server.group(third).pool is server.group(first).pool
    assert server.xtcp_finalize() == 0
    assert net.engine.pools() == ()
    assert server.xtcp_finalize() == -errno.ENXIO


# --- groups (404) --------------------------------------------------------------


@pytest.mark.feature("P03", "P04")
@pytest.mark.parametrize("domain", [PF_INET, PF_INET6])
def test_open_group_returns_a_descriptor(net: Net, server: ApplicationServer, domain: int) -> None:
    gd = server.xtcp_open_group(domain, SOCK_STREAM, 0, 5_222)
    assert gd > 0
    os.fstat(gd)
    assert server.group(gd).domain == domain
    assert server.xtcp_close_group(gd) == 0
    with pytest.raises(OSError):
        os.fstat(gd)


@pytest.mark.feature("P03")
def test_port_0_is_a_free_port(server: ApplicationServer, gd: int) -> None:
    other = server.xtcp_open_group(PF_INET, SOCK_STREAM, 0, 0)
    assert server.group(other).port not in (0, server.group(gd).port)


@pytest.mark.feature("P04")
@pytest.mark.parametrize("abort", [False, True])
def test_the_descriptor_works_with_poll(net: Net, server: ApplicationServer, gd: int, abort: bool) -> None:
    """Readable for a request, for data, and for a connection that has failed until it was told."""
    poller = select.poll()
    poller.register(gd, select.POLLIN)

    def readable() -> bool:
        return bool(poller.poll(0))

    assert not readable()
    client = asked(net, server, gd)
    assert readable()
    client.cd = server.xtcp_accept(gd)
    assert not readable()
    server.xtcp_select(0, None, None, 0)
    net.collect()
    client.expect("SA")
    client.send(b"hello")
    server.xtcp_select(0, None, None, 0)
    assert readable()
    assert received(server, gd) == (client.cd, b"hello")
    assert not readable()
    client.rst()
    server.xtcp_select(0, None, None, 0)
    assert readable()
    if abort:
        assert server.xtcp_close(gd, client.cd) == 0
    else:
        assert received(server, gd) == -errno.ECONNRESET
    assert not readable()


@pytest.mark.feature("P07")
@pytest.mark.parametrize("abort, flags", [(False, "FA"), (True, "RA")])
def test_close_group_closes_its_connections(
    net: Net, server: ApplicationServer, gd: int, abort: bool, flags: str
) -> None:
    client = connected(net, server, gd)
    assert server.xtcp_close_group(gd, abort=abort) == 0
    server.xtcp_select(0, None, None, 0)
    net.collect()
    client.expect(flags, ack=1)
    assert server.xtcp_send(gd, client.cd, 0, b"late") == -errno.EBADF


# --- connections (406) -----------------------------------------------------------


@pytest.mark.feature("P08")
def test_accept_comes_before_the_handshake(net: Net, server: ApplicationServer, gd: int) -> None:
    assert server.xtcp_accept(gd) == -errno.EAGAIN
    client = asked(net, server, gd)
    client.expect_nothing()
    cd = server.xtcp_accept(gd)
    assert cd > 0
    server.xtcp_select(0, None, None, 0)
    net.collect()
    client.expect("SA", ack=1)
    assert server.xtcp_accept(gd) == -errno.EAGAIN


@pytest.mark.feature("P08")
def test_a_request_that_is_not_accepted_in_time_is_refused(
    net: Net, server: ApplicationServer, gd: int
) -> None:
    client = asked(net, server, gd)
    assert server.xtcp_select(1, None, xtcp_set([gd]), 5.0) == 1, "the application is told and does nothing"
    net.advance(1)
    client.expect_reset(seq=0)
    assert server.xtcp_accept(gd) == -errno.EAGAIN


@pytest.mark.feature("P06", "P08")
def test_the_application_decides_by_address(net: Net, server: ApplicationServer, gd: int) -> None:
    """It looks at who asks, takes one into another group, and refuses the other."""
    guests = server.xtcp_open_group(PF_INET, SOCK_STREAM, 0, 8)
    friend, foe = asked(net, server, gd, ip="198.51.100.1"), asked(net, server, gd, ip="198.51.100.2")
    who, pd = sockaddr_in(), xtcp_cd()
    assert server.xtcp_pending(gd, pd, who) == 2
    assert (who.sin_addr, who.sin_port) == friend.key
    friend.cd = server.xtcp_accept(gd, into=guests, pd=pd.value)
    assert server.xtcp_pending(gd, pd, who) == 1
    assert (who.sin_addr, who.sin_port) == foe.key
    assert server.xtcp_refuse(gd, pd.value) == 0
    assert server.xtcp_pending(gd, pd, who) == -errno.EAGAIN
    server.xtcp_select(0, None, None, 0)
    net.collect()
    foe.expect_reset(seq=0)
    friend.expect("SA")
    friend.send(b"hi")
    server.xtcp_select(0, None, None, 0)
    assert received(server, gd) == -errno.EAGAIN
    assert received(server, guests) == (friend.cd, b"hi")


def test_refuse_takes_the_oldest_request(net: Net, server: ApplicationServer, gd: int) -> None:
    first, second = asked(net, server, gd), asked(net, server, gd)
    assert server.xtcp_refuse(gd) == 0
    server.xtcp_select(0, None, None, 0)
    net.collect()
    first.expect_reset(seq=0)
    second.expect_nothing()
    assert server.xtcp_refuse(gd) == 0
    assert server.xtcp_refuse(gd) == -errno.EAGAIN


@pytest.mark.feature("P10")
def test_pars_tells_both_ends(net: Net, server: ApplicationServer, gd: int) -> None:
    client = connected(net, server, gd)
    peer, local = sockaddr_in(), sockaddr_in()
    assert server.xtcp_pars(gd, client.cd, peer, local) == 0
    assert peer == sockaddr_in(PEER_V4, client.sport)
    assert local == sockaddr_in(V4, 7)
    mapped = sockaddr_in6()
    assert server.xtcp_pars(gd, client.cd, mapped) == 0
    assert mapped == sockaddr_in6(f"::ffff:{PEER_V4}", client.sport)


@pytest.mark.feature("P10", "P32")
def test_pars_of_ipv6(net: Net, server: ApplicationServer) -> None:
    gd = server.xtcp_open_group(PF_INET6, SOCK_STREAM, 0, 7)
    client = connected(net, server, gd)
    peer, local = sockaddr_in6(), sockaddr_in6()
    assert server.xtcp_pars(gd, client.cd, peer, local) == 0
    assert (peer.sin6_addr, peer.sin6_port) == client.key
    assert (local.sin6_addr, local.sin6_port) == (V6, 7)
    small = sockaddr_in()
    assert server.xtcp_pars(gd, client.cd, small) == -errno.EAFNOSUPPORT
    assert small == sockaddr_in()


@pytest.mark.feature("P11")
@pytest.mark.parametrize("abort, flags", [(False, "FA"), (True, "RA")])
def test_close(net: Net, server: ApplicationServer, gd: int, abort: bool, flags: str) -> None:
    """In order: what was received is acknowledged, then FIN; or a reset."""
    client = connected(net, server, gd)
    client.send(b"question")
    server.xtcp_select(0, None, None, 0)
    assert received(server, gd) == (client.cd, b"question")
    assert server.xtcp_close(gd, client.cd, abort=abort) == 0
    assert server.xtcp_close(gd, client.cd) == -errno.EBADF
    server.xtcp_select(0, None, None, 0)
    net.collect()
    client.expect(flags, ack=1 if abort else 9)


@pytest.mark.feature("P09")
def test_connect_is_told_by_writable(net: Net, server: ApplicationServer, gd: int) -> None:
    listener = net.listener(server.group(gd))
    cd = server.xtcp_connect(gd, sockaddr_in(listener.ip, listener.sport))
    assert cd > 0
    place = xtcp_cd()
    assert server.xtcp_writable(gd, place) == -errno.EAGAIN
    listener.server, listener.port = server.group(gd).local(cd)
    net.clients[listener.ip, listener.sport, listener.port] = listener
    server.xtcp_select(0, None, None, 0)
    net.collect()
    listener.expect("S", seq=0)
    listener.answer()
    writegds = xtcp_set([gd])
    assert server.xtcp_select(1, None, None, 0, writegds=writegds) == 1
    assert list(writegds) == [gd]
    assert (server.xtcp_writable(gd, place), place.value) == (0, cd)
    assert server.xtcp_writable(gd, place) == -errno.EAGAIN


@pytest.mark.feature("P09")
def test_a_connect_that_is_refused_is_told_by_recv(net: Net, server: ApplicationServer, gd: int) -> None:
    listener = net.listener(server.group(gd))
    cd = server.xtcp_connect(gd, sockaddr_in(listener.ip, listener.sport))
    listener.server, listener.port = server.group(gd).local(cd)
    net.clients[listener.ip, listener.sport, listener.port] = listener
    server.xtcp_select(0, None, None, 0)
    net.collect()
    listener.expect("S", seq=0)
    listener.send(b"", "RA", seq=0, ack=1, options=[])
    assert server.xtcp_select(1, xtcp_set([gd]), None, 0) == 1
    place = xtcp_cd()
    assert server.xtcp_recv(gd, place, bytearray(10)) == -errno.ECONNREFUSED
    assert place.value == cd
    assert server.xtcp_recv(gd, place, bytearray(10)) == -errno.EAGAIN


@pytest.mark.feature("P25", "P26")
def test_sets_of_groups(gd: int) -> None:
    groups = xtcp_set()
    assert XTCP_ISSET(gd, groups) == 0
    assert (XTCP_SET(gd, groups), XTCP_ISSET(gd, groups), len(groups)) == (0, 1, 1)
    assert (XTCP_CLR(gd, groups), XTCP_ISSET(gd, groups), XTCP_CLR(gd, groups)) == (0, 0, 0)
    XTCP_SET(gd, groups)
    assert (XTCP_ZERO(groups), len(groups)) == (0, 0)
    assert XTCP_SET(-1, groups) == -errno.EBADF
    for wrong in (XTCP_SET(gd, {gd}), XTCP_CLR(gd, None), XTCP_ISSET(gd, 3), XTCP_ZERO([])):  # type: ignore[arg-type]
        assert wrong == -errno.EFAULT
    assert len(groups) == 0


@pytest.mark.feature("P26")
def test_every_call_of_the_figure_is_there_under_its_name() -> None:
    """Fig. 4, 402a to 410f; and the name that its text has for one of them."""
    names = (
        "xtcp_initialize xtcp_finalize xtcp_open_group xtcp_close_group xtcp_accept xtcp_pars xtcp_close"
        " xtcp_recv xtcp_send xtcp_set XTCP_ZERO XTCP_CLR XTCP_SET XTCP_ISSET xtcp_select xtcp_rcv"
    )
    for name in names.split():
        assert callable(getattr(api, name))
        assert name in api.__all__
    assert api.xtcp_rcv is api.xtcp_recv


@pytest.mark.feature("P16", "P26")
def test_all_that_was_received(net: Net, server: ApplicationServer, gd: int) -> None:
    client = connected(net, server, gd)
    client.send(b"question")
    server.xtcp_select(0, None, None, 0)
    assert received(server, gd) == (client.cd, b"question")
    assert server.xtcp_send(gd, client.cd, XTCP_ALL, None, 0) == 0
    server.xtcp_select(0, None, None, 0)
    net.collect()
    client.expect("A", ack=9)


@pytest.mark.feature("P05", "P26")
def test_options_change_for_the_connections_that_the_group_has(
    net: Net, server: ApplicationServer, gd: int
) -> None:
    client = connected(net, server, gd)
    client.send(b"question")
    assert server.xtcp_select(1, xtcp_set([gd]), None, 0) == 1
    net.expect_nothing()
    assert server.xtcp_options(gd, ack_policy="immediate", dscp=46) == 0
    server.xtcp_select(0, None, None, 0)
    net.collect()
    assert client.expect("A", ack=9).tos == 46 << 2


@pytest.mark.feature("P26")
def test_an_integer_of_64_bits_is_a_place_for_an_id(net: Net, server: ApplicationServer, gd: int) -> None:
    client = connected(net, server, gd)
    client.send(b"question")
    server.xtcp_select(0, None, None, 0)
    place = ctypes.c_int64()
    assert server.xtcp_recv(gd, place, bytearray(100)) == 8
    assert place.value == client.cd
