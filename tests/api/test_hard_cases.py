"""Failures that a call of Fig. 4 meets because the machine or the network gives no more (P26)."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.fig4 import Host
from support.net import V4, MakeNet, Net
from support.peer import Client

from xtcp_twisted.api import (
    PF_INET,
    PF_INET6,
    SOCK_STREAM,
    ApplicationServer,
    sockaddr_in,
    sockaddr_in6,
    xtcp_cd,
    xtcp_set,
)
from xtcp_twisted.config import MiB

pytestmark = pytest.mark.feature("P26")


def asked(net: Net, server: ApplicationServer, gd: int) -> Client:
    client = net.client(server.group(gd))
    client.syn()
    assert server.xtcp_select(1, None, xtcp_set([gd]), 1) == 1
    return client


def connected(net: Net, server: ApplicationServer, gd: int) -> Client:
    client = asked(net, server, gd)
    client.cd = server.xtcp_accept(gd)
    server.xtcp_select(0, None, None, 0)
    net.collect()
    client.expect("SA")
    client.ack()
    server.xtcp_select(0, None, None, 0.1)
    return client


@contextmanager
def descriptors_used_up() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    probe = os.dup(0)
    os.close(probe)
    resource.setrlimit(resource.RLIMIT_NOFILE, (probe, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_no_descriptor_is_left(net: Net, server: ApplicationServer, gd: int) -> None:
    """The group is not opened: its port is free."""
    server.xtcp_select(0, None, None, 0)
    with descriptors_used_up():
        assert server.xtcp_open_group(PF_INET, SOCK_STREAM, 0, 80) == -errno.EMFILE
    [pool] = net.engine.pools()
    assert [group.port for group in pool.groups()] == [7]
    assert server.xtcp_open_group(PF_INET, SOCK_STREAM, 0, 80) > 0


def test_the_table_of_connections_is_full(make_net: MakeNet) -> None:
    """The request stays, and is accepted when there is room."""
    net = make_net(max_connections=16)
    server = Host(net).server()
    server.xtcp_initialize(MiB)
    gd = server.xtcp_open_group(PF_INET, SOCK_STREAM, 0, 7)
    client = asked(net, server, gd)
    cds = [server.xtcp_connect(gd, sockaddr_in("198.51.100.1", 7)) for _ in range(16)]
    assert min(cds) > 0
    assert server.xtcp_accept(gd) == -errno.ENOBUFS
    assert server.xtcp_close(gd, cds[0], abort=True) == 0
    server.xtcp_select(0, None, None, 0)
    assert server.xtcp_accept(gd) > 0
    server.xtcp_select(0, None, None, 0)
    net.collect()
    client.expect("SA")
    server.close()
    server.engine.flush(net.now)
    net.collect()
    net.strays.clear()
    client.take()


def test_an_address_of_ipv6_does_not_fit_into_sockaddr_in(net: Net, server: ApplicationServer) -> None:
    gd = server.xtcp_open_group(PF_INET6, SOCK_STREAM, 0, 8)
    client = asked(net, server, gd)
    assert server.xtcp_pending(gd, xtcp_cd(), sockaddr_in()) == -errno.EAFNOSUPPORT
    place, sa = xtcp_cd(), sockaddr_in6()
    assert server.xtcp_pending(gd, place, sa) == 1
    assert sa.sin6_addr == client.ip and place.value > 0
    assert server.xtcp_refuse(gd, place.value) == 0
    server.xtcp_select(0, None, None, 0)
    net.collect()
    client.expect("RA", ack=1)


def test_a_source_that_is_not_there(make_net: MakeNet) -> None:
    """An engine without IPv6 has no address to connect from."""
    net = make_net(addresses=(V4,))
    server = Host(net).server()
    server.xtcp_initialize(MiB)
    gd = server.xtcp_open_group(PF_INET6, SOCK_STREAM, 0, 7)
    assert server.xtcp_connect(gd, sockaddr_in6("2001:db8::7", 7)) == -errno.EADDRNOTAVAIL
    server.close()


def test_a_peer_that_answers_no_more(net: Net, server: ApplicationServer, gd: int) -> None:
    """The connection is down, and the group ready until the application was told."""
    client = connected(net, server, gd)
    assert server.xtcp_send(gd, client.cd, 0, b"anybody there?") > 0
    readgds = xtcp_set([gd])
    assert server.xtcp_select(1, readgds, None, 300) == 1
    place = xtcp_cd()
    assert server.xtcp_recv(gd, place, bytearray(10)) == -errno.ETIMEDOUT
    assert place.value == client.cd
    net.collect()
    client.take()
    assert server.xtcp_select(1, xtcp_set([gd]), None, 1) == 0


def test_the_link_has_gone() -> None:
    net = Net()
    with Host(net).server() as server:
        server.xtcp_initialize(MiB)
        gd = server.xtcp_open_group(PF_INET, SOCK_STREAM, 0, 7)
        net.link.close()
        assert server.xtcp_select(1, xtcp_set([gd]), None, 1) == -errno.ENODEV
        assert server.error == "the link is closed"


@pytest.mark.feature("P03", "P04")
@pytest.mark.parametrize("where", [("PF_INET", "7"), ("PF_UNIX", "'x.sock'")])
def test_a_gd_is_positive_though_descriptor_0_is_free(tmp_path: Path, where: tuple[str, str]) -> None:
    """A process may run without a standard input; 0 would be no group."""
    domain, port = where
    program = f"""
import os
from xtcp_twisted.api import *
from xtcp_twisted.config import EngineConfig, MiB
from xtcp_twisted.engine import Engine
from xtcp_twisted.link.memory import MemoryLink
config = EngineConfig(addresses=("192.0.2.1",))
with Engine(MemoryLink(), config) as engine, ApplicationServer(engine) as server:
    server.xtcp_initialize(MiB)
    os.close(0)
    gd = server.xtcp_open_group({domain}, SOCK_STREAM, 0, {port})
    assert gd > 0 and server.xtcp_select(1, xtcp_set([gd]), None, 0) == 0, (gd, server.error)
    assert server.xtcp_close_group(gd) == 0
"""
    path = os.pathsep.join(path for path in sys.path if path)
    subprocess.run(
        [sys.executable, "-c", program], check=True, cwd=tmp_path, env=os.environ | {"PYTHONPATH": path}
    )
