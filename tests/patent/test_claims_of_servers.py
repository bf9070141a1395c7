"""The claims of WO 02/091709 about an application server: 31 to 37, methods, and 38 to 44, apparatus."""

from __future__ import annotations

import errno

import pytest
from support.claims import ANSWER, speaks_tcp_with_clients, with_pool
from support.worlds import REQUEST, World

from xtcp_twisted.api import (
    PF_INET,
    SOCK_STREAM,
    sockaddr_in,
    xtcp_accept,
    xtcp_cd,
    xtcp_initialize,
    xtcp_open_group,
    xtcp_pars,
    xtcp_rcv,
    xtcp_select,
    xtcp_send,
    xtcp_set,
)
from xtcp_twisted.config import KiB

# --- 31 to 37, 38 to 44: the application server -----------------------------------------


def requests_group_and_connection(world: World, clients: int = 1) -> None:
    """First a group, then a connection of it for each client that asks."""
    with world.server:
        gd = xtcp_open_group(PF_INET, SOCK_STREAM, 0, 7)
        assert gd > 0
        cds = set()
        for _ in range(clients):
            end = world.asks(gd)
            cd = xtcp_accept(gd)
            assert cd > 0
            world.until(lambda end=end: end.connected)
            sa = sockaddr_in()
            assert xtcp_pars(gd, cd, sa) == 0
            assert (sa.sin_addr, sa.sin_port) == end.address
            cds.add(cd)
        assert xtcp_accept(gd) == -errno.EAGAIN
    assert len(cds) == clients


@pytest.mark.feature("P03", "P08", "P26")
def test_claim_31_requesting_a_group_then_a_connection_of_it(method: World) -> None:
    requests_group_and_connection(with_pool(method))


@pytest.mark.feature("P03", "P08", "P26")
def test_claim_38_requesting_a_group_then_a_connection_of_it(apparatus: World) -> None:
    requests_group_and_connection(with_pool(apparatus))


@pytest.mark.feature("P26", "P33")
def test_claim_32_with_clients_that_communicate_by_tcp(method: World) -> None:
    speaks_tcp_with_clients(with_pool(method))


@pytest.mark.feature("P26", "P33")
def test_claim_39_with_clients_that_communicate_by_tcp(apparatus: World) -> None:
    speaks_tcp_with_clients(with_pool(apparatus))


def requests_a_pool(world: World) -> None:
    """Without one there is no group; with one there is."""
    with world.server:
        assert xtcp_open_group(PF_INET, SOCK_STREAM, 0, 7) == -errno.ENXIO
        assert xtcp_initialize(256 * KiB) == 0
    requests_group_and_connection(world)
    [pool] = world.engine.snapshot().pools
    assert pool.receive_buffer.size == 256 * KiB


@pytest.mark.feature("P01", "P26")
def test_claim_33_requesting_a_pool(method: World) -> None:
    requests_a_pool(method)


@pytest.mark.feature("P01", "P26")
def test_claim_40_requesting_a_pool(apparatus: World) -> None:
    requests_a_pool(apparatus)


@pytest.mark.feature("P08", "P26")
def test_claim_34_requesting_a_second_connection_of_the_group(method: World) -> None:
    requests_group_and_connection(with_pool(method), clients=2)


@pytest.mark.feature("P08", "P26")
def test_claim_41_requesting_a_second_connection_of_the_group(apparatus: World) -> None:
    requests_group_and_connection(with_pool(apparatus), clients=2)


def requests_a_second_group(world: World) -> None:
    """For other clients, and each set of clients is notified of by its own descriptor."""
    with world.server:
        gds = [xtcp_open_group(PF_INET, SOCK_STREAM, 0, port) for port in (7, 8)]
        assert min(gds) > 0 and gds[0] != gds[1]
        for gd in gds:
            end, cd = world.connect(gd)
            end.send(REQUEST)
            readgds = xtcp_set(gds)
            assert xtcp_select(2, readgds, None, 10) == 1
            assert list(readgds) == [gd]
            assert world.receive(gd) == (cd, REQUEST)


@pytest.mark.feature("P03", "P26")
def test_claim_35_requesting_a_second_group(method: World) -> None:
    requests_a_second_group(with_pool(method))


@pytest.mark.feature("P03", "P26")
def test_claim_42_requesting_a_second_group(apparatus: World) -> None:
    requests_a_second_group(with_pool(apparatus))


def is_notified_and_requests_reading(world: World) -> None:
    """The notification names the group, the reading the connection in it that was established before."""
    with world.server:
        gd = xtcp_open_group(PF_INET, SOCK_STREAM, 0, 7)
        end, accepted = world.connect(gd)
        readgds, cd, buf = xtcp_set([gd]), xtcp_cd(), bytearray(100)
        assert xtcp_select(1, readgds, None, 0) == 0
        assert xtcp_rcv(gd, cd, buf, 100) == -errno.EAGAIN
        end.send(REQUEST)
        readgds = xtcp_set([gd])
        assert (xtcp_select(1, readgds, None, 10), list(readgds)) == (1, [gd])
        assert xtcp_rcv(gd + 1_000, cd, buf, 100) == -errno.EBADF
        assert xtcp_rcv(gd, cd, buf, 100) == len(REQUEST)
        assert (cd.value, bytes(buf[: len(REQUEST)])) == (accepted, REQUEST)


@pytest.mark.feature("P13", "P25", "P26")
def test_claim_36_notified_of_a_request_and_reading_it(method: World) -> None:
    is_notified_and_requests_reading(with_pool(method))


@pytest.mark.feature("P13", "P25", "P26")
def test_claim_43_notified_of_a_request_and_reading_it(apparatus: World) -> None:
    is_notified_and_requests_reading(with_pool(apparatus))


def requests_transmission(world: World) -> None:
    """Of answer and acknowledgement; group and connection must belong together."""
    with world.server:
        gd = xtcp_open_group(PF_INET, SOCK_STREAM, 0, 7)
        other = xtcp_open_group(PF_INET, SOCK_STREAM, 0, 8)
        end, cd = world.connect(gd)
        end.send(REQUEST)
        assert world.receive(gd) == (cd, REQUEST)
        for wrong in ((other, cd), (gd, cd + 1), (gd + 1_000, cd)):
            assert xtcp_send(*wrong, len(REQUEST), ANSWER, len(ANSWER)) == -errno.EBADF
        assert world.cached == 0
        assert xtcp_send(gd, cd, len(REQUEST), ANSWER, len(ANSWER)) == len(ANSWER)
    world.until(lambda: end.readable)
    assert end.read() == ANSWER
    assert end.unacknowledged == 0


@pytest.mark.feature("P15", "P26")
def test_claim_37_requesting_transmission_of_answer_and_acknowledgement(method: World) -> None:
    requests_transmission(with_pool(method))


@pytest.mark.feature("P15", "P26")
def test_claim_44_requesting_transmission_of_answer_and_acknowledgement(apparatus: World) -> None:
    requests_transmission(with_pool(apparatus))
