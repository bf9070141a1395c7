"""Wrong uses of each call: the documented errno, a sentence, and nothing else in the engine has changed."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest
from support.fig4 import Host
from support.net import V4, V6, MakeNet, Net

from xtcp_twisted import api
from xtcp_twisted.api import (
    PF_INET,
    PF_INET6,
    PF_UNIX,
    SOCK_STREAM,
    ApplicationServer,
    sockaddr_in,
    sockaddr_in6,
    sockaddr_un,
    xtcp_cd,
    xtcp_set,
)
from xtcp_twisted.config import GiB, MiB
from xtcp_twisted.engine import Engine

pytestmark = pytest.mark.feature("P26")

PAGE = Path(__file__).parents[2] / "docs/api.md"


@pytest.fixture
def w(net: Net, host: Host, server: ApplicationServer, gd: int) -> SimpleNamespace:
    """A world with something of everything.

    `cd` has 8 bytes that were received, `reset` has failed, `stale` is closed, `full` takes no more; a
    request waits for `busy`; `foreign` and `theirs` are another application server's.
    """
    another = host.server()
    another.xtcp_initialize(MiB)
    busy = server.xtcp_open_group(PF_INET, SOCK_STREAM, 0, 8)
    failed = server.xtcp_open_group(PF_INET, SOCK_STREAM, 0, 9)
    foreign = another.xtcp_open_group(PF_INET, SOCK_STREAM, 0, 10)
    closed = server.xtcp_open_group(PF_INET, SOCK_STREAM, 0, 11)
    server.xtcp_close_group(closed)

    def connected(owner: ApplicationServer, group: int) -> Any:
        client = net.client(owner.group(group))
        client.syn()
        owner.xtcp_select(0, None, None, 0)
        client.cd = owner.xtcp_accept(group)
        owner.xtcp_select(0, None, None, 0)
        net.collect()
        client.expect("SA")
        client.ack()
        owner.xtcp_select(0, None, None, 0)
        return client

    mine, reset, stale, full = (connected(server, group) for group in (gd, failed, gd, gd))
    theirs = connected(another, foreign)
    mine.send(b"question")
    reset.rst()
    assert server.xtcp_close(gd, stale.cd) == 0
    net.client(server.group(busy)).syn()
    server.xtcp_select(0, None, None, 0)
    place, buf = xtcp_cd(), bytearray(100)
    assert server.xtcp_recv(gd, place, buf) == 8
    while server.xtcp_send(gd, full.cd, 0, bytes(100_000)) > 0:
        pass
    server.xtcp_select(0, None, None, 0)
    net.collect()
    for client in net.clients.values():
        client.take()
    return SimpleNamespace(
        net=net, server=server, gd=gd, busy=busy, failed=failed, foreign=foreign, closed=closed,
        cd=mine.cd, reset=reset.cd, stale=stale.cd, full=full.cd, theirs=theirs.cd,
        place=xtcp_cd(), buf=bytearray(100), sa=sockaddr_in(),
    )  # fmt: skip


World = SimpleNamespace
Case = tuple[str, int, Callable[[World], int]]


def calls_of_a_group(name: str, call: Callable[[World, Any], int]) -> list[Case]:
    """What every call that takes a gd has to say to one that is none of this application server's."""
    return [
        (name, errno.EBADF, lambda w, pick=pick: call(w, pick(w)))
        for pick in (
            lambda w: w.foreign,
            lambda w: w.closed,
            lambda w: 0,
            lambda w: -w.gd,
            lambda w: w.gd + 10_000,
            lambda w: "7",
            lambda w: None,
        )
    ]


def calls_of_a_connection(name: str, call: Callable[[World, Any], int]) -> list[Case]:
    """The same for a cd that is no connection of the group."""
    return [
        (name, errno.EBADF, lambda w, pick=pick: call(w, pick(w)))
        for pick in (
            lambda w: w.stale,
            lambda w: w.theirs,
            lambda w: 0,
            lambda w: -1,
            lambda w: 1 << 70,
            lambda w: "7",
            lambda w: None,
        )
    ]


CASES: Final[list[Case]] = [
    *[
        ("xtcp_initialize", errno.EINVAL, lambda w, size=size: w.server.xtcp_initialize(size))
        for size in (0, -1, 1.5, "1 MiB", None)
    ],
    ("xtcp_initialize", errno.EINVAL, lambda w: w.server.xtcp_initialize(MiB, name=7)),
    ("xtcp_initialize", errno.ENOBUFS, lambda w: w.server.xtcp_initialize(1 * GiB)),
    *[
        ("xtcp_open_group", number, lambda w, args=args: w.server.xtcp_open_group(*args, 80))
        for number, several in (
            (errno.EAFNOSUPPORT, [(domain, SOCK_STREAM, 0) for domain in (17, True, 2.0, "2", None)]),
            (errno.ESOCKTNOSUPPORT, [(PF_INET, type_, 0) for type_ in (2, True, 1.0, "1", None)]),
            (errno.EPROTONOSUPPORT, [(PF_INET, SOCK_STREAM, proto) for proto in (17, False, 0.0, None)]),
        )
        for args in several
    ],
    *[
        (
            "xtcp_open_group",
            errno.EINVAL,
            lambda w, port=port: w.server.xtcp_open_group(PF_INET, SOCK_STREAM, 0, port),
        )
        for port in (-1, 65_536, "80", None, 1.5, True)
    ],
    ("xtcp_open_group", errno.EINVAL, lambda w: w.server.xtcp_open_group(PF_UNIX, SOCK_STREAM, 0, 80)),
    *[
        (
            "xtcp_open_group",
            errno.EINVAL,
            lambda w, more=more: w.server.xtcp_open_group(PF_UNIX, SOCK_STREAM, 0, "\0somewhere", **more),
        )
        for more in ({"address": V4}, {"share": True}, {"share": None}, {"options": {}}, {"name": 7})
    ],
    ("xtcp_open_group", errno.EADDRINUSE, lambda w: w.server.xtcp_open_group(PF_INET, SOCK_STREAM, 0, 7)),
    ("xtcp_open_group", errno.EADDRINUSE, lambda w: w.server.xtcp_open_group(PF_INET, SOCK_STREAM, 0, 10)),
    (
        "xtcp_open_group",
        errno.EADDRNOTAVAIL,
        lambda w: w.server.xtcp_open_group(PF_INET, SOCK_STREAM, 0, 80, address="192.0.2.99"),
    ),
    *[
        (
            "xtcp_open_group",
            errno.EADDRNOTAVAIL,
            lambda w, domain=domain, ip=ip: w.server.xtcp_open_group(domain, SOCK_STREAM, 0, 80, address=ip),
        )
        for domain, ip in ((PF_INET, V6), (PF_INET6, V4), (PF_INET, "here"), (PF_INET6, ""))
    ],
    *calls_of_a_group("xtcp_close_group", lambda w, gd: w.server.xtcp_close_group(gd)),
    *calls_of_a_group("xtcp_accept", lambda w, gd: w.server.xtcp_accept(gd)),
    *calls_of_a_group(
        "xtcp_accept", lambda w, gd: w.server.xtcp_accept(w.busy, into=gd) if gd is not None else -9
    ),
    ("xtcp_accept", errno.EAGAIN, lambda w: w.server.xtcp_accept(w.gd)),
    ("xtcp_accept", errno.EBADF, lambda w: w.server.xtcp_accept(w.busy, pd=12_345)),
    *calls_of_a_group("xtcp_pending", lambda w, gd: w.server.xtcp_pending(gd)),
    ("xtcp_pending", errno.EAGAIN, lambda w: w.server.xtcp_pending(w.gd)),
    ("xtcp_pending", errno.EFAULT, lambda w: w.server.xtcp_pending(w.busy, 7)),
    ("xtcp_pending", errno.EFAULT, lambda w: w.server.xtcp_pending(w.busy, None, "here")),
    *calls_of_a_group("xtcp_refuse", lambda w, gd: w.server.xtcp_refuse(gd)),
    ("xtcp_refuse", errno.EAGAIN, lambda w: w.server.xtcp_refuse(w.gd)),
    ("xtcp_refuse", errno.EBADF, lambda w: w.server.xtcp_refuse(w.busy, 12_345)),
    *calls_of_a_group(
        "xtcp_connect", lambda w, gd: w.server.xtcp_connect(gd, sockaddr_in("198.51.100.1", 7))
    ),
    ("xtcp_connect", errno.EFAULT, lambda w: w.server.xtcp_connect(w.gd, ("198.51.100.1", 7))),
    ("xtcp_connect", errno.EAFNOSUPPORT, lambda w: w.server.xtcp_connect(w.gd, sockaddr_un("/run/x"))),
    ("xtcp_connect", errno.EINVAL, lambda w: w.server.xtcp_connect(w.gd, sockaddr_in("example.org", 7))),
    (
        "xtcp_connect",
        errno.EINVAL,
        lambda w: w.server.xtcp_connect(w.gd, sockaddr_in("198.51.100.1", 70_000)),
    ),
    (
        "xtcp_connect",
        errno.EINVAL,
        lambda w: w.server.xtcp_connect(w.gd, sockaddr_in("198.51.100.1", 7), timeout=-1),
    ),
    *calls_of_a_group("xtcp_pars", lambda w, gd: w.server.xtcp_pars(gd, w.cd, w.sa)),
    *calls_of_a_connection("xtcp_pars", lambda w, cd: w.server.xtcp_pars(w.gd, cd, w.sa)),
    ("xtcp_pars", errno.EFAULT, lambda w: w.server.xtcp_pars(w.gd, w.cd, None)),
    ("xtcp_pars", errno.EAFNOSUPPORT, lambda w: w.server.xtcp_pars(w.gd, w.cd, sockaddr_un())),
    ("xtcp_pars", errno.ENOTCONN, lambda w: w.server.xtcp_pars(w.failed, w.reset, w.sa)),
    *calls_of_a_group("xtcp_close", lambda w, gd: w.server.xtcp_close(gd, w.cd)),
    *calls_of_a_connection("xtcp_close", lambda w, cd: w.server.xtcp_close(w.gd, cd)),
    *calls_of_a_group("xtcp_recv", lambda w, gd: w.server.xtcp_recv(gd, w.place, w.buf)),
    ("xtcp_recv", errno.EAGAIN, lambda w: w.server.xtcp_recv(w.gd, w.place, w.buf)),
    ("xtcp_recv", errno.EFAULT, lambda w: w.server.xtcp_recv(w.gd, 7, w.buf)),
    ("xtcp_recv", errno.EFAULT, lambda w: w.server.xtcp_recv(w.failed, ctypes.c_int(), w.buf)),
    ("xtcp_writable", errno.EFAULT, lambda w: w.server.xtcp_writable(w.gd, ctypes.c_int())),
    ("xtcp_pending", errno.EFAULT, lambda w: w.server.xtcp_pending(w.busy, ctypes.c_uint32())),
    ("xtcp_recv", errno.EFAULT, lambda w: w.server.xtcp_recv(w.gd, w.place, b"read only")),
    ("xtcp_recv", errno.EFAULT, lambda w: w.server.xtcp_recv(w.gd, w.place, "no buffer")),
    ("xtcp_recv", errno.EFAULT, lambda w: w.server.xtcp_recv(w.gd, w.place, w.buf, 101)),
    *[
        ("xtcp_recv", errno.EINVAL, lambda w, n=n: w.server.xtcp_recv(w.gd, w.place, w.buf, n))
        for n in (0, -1, 1.5, "1")
    ],
    *calls_of_a_group("xtcp_send", lambda w, gd: w.server.xtcp_send(gd, w.cd, 8, b"x")),
    *calls_of_a_connection("xtcp_send", lambda w, cd: w.server.xtcp_send(w.gd, cd, 8, b"x")),
    *[
        ("xtcp_send", errno.EINVAL, lambda w, ackd=ackd: w.server.xtcp_send(w.gd, w.cd, ackd, b"x"))
        for ackd in (9, 1 << 40, -1, 1.5, "8", None, True)
    ],
    *[
        ("xtcp_send", errno.EINVAL, lambda w, n=n: w.server.xtcp_send(w.gd, w.cd, 8, b"x", n))
        for n in (-1, 1.5, "1")
    ],
    ("xtcp_send", errno.EFAULT, lambda w: w.server.xtcp_send(w.gd, w.cd, 8, "text")),
    ("xtcp_send", errno.EFAULT, lambda w: w.server.xtcp_send(w.gd, w.cd, 8, b"x", 2)),
    ("xtcp_send", errno.EFAULT, lambda w: w.server.xtcp_send(w.gd, w.cd, 8, None, 1)),
    ("xtcp_send", errno.EAGAIN, lambda w: w.server.xtcp_send(w.gd, w.full, 0, b"x")),
    ("xtcp_send", errno.EPIPE, lambda w: w.server.xtcp_send(w.failed, w.reset, 0, b"x")),
    *[
        ("xtcp_close", errno.EINVAL, lambda w, flag=flag: w.server.xtcp_close(w.gd, w.cd, abort=flag))
        for flag in (2, None, "yes")
    ],
    ("xtcp_close_group", errno.EINVAL, lambda w: w.server.xtcp_close_group(w.gd, abort="no")),
    *calls_of_a_group("xtcp_options", lambda w, gd: w.server.xtcp_options(gd, weight=2)),
    *[
        ("xtcp_options", errno.EINVAL, lambda w, wrong=wrong: w.server.xtcp_options(w.gd, **wrong))
        for wrong in (
            {"wait": 3},
            {"weight": 2, "wait": 3},
            {"weight": 0},
            {"weight": "2"},
            {"dscp": 8, "priority": "urgent"},
            {"notify_connections": 2},
        )
    ],
    *calls_of_a_group("xtcp_need", lambda w, gd: w.server.xtcp_need(gd, w.cd, 9)),
    *calls_of_a_connection("xtcp_need", lambda w, cd: w.server.xtcp_need(w.gd, cd, 9)),
    *[
        ("xtcp_need", errno.EINVAL, lambda w, n=n: w.server.xtcp_need(w.gd, w.cd, n))
        for n in (-1, 1 << 40, 1.5, "9", True, None)
    ],
    *calls_of_a_group("xtcp_writable", lambda w, gd: w.server.xtcp_writable(gd, w.place)),
    ("xtcp_writable", errno.EAGAIN, lambda w: w.server.xtcp_writable(w.gd, w.place)),
    ("xtcp_writable", errno.EFAULT, lambda w: w.server.xtcp_writable(w.gd, None)),
    ("xtcp_select", errno.EBADF, lambda w: w.server.xtcp_select(1, xtcp_set([w.foreign]), None, 0)),
    (
        "xtcp_select",
        errno.EBADF,
        lambda w: w.server.xtcp_select(2, xtcp_set([w.gd]), xtcp_set([w.closed]), 0),
    ),
    ("xtcp_select", errno.EFAULT, lambda w: w.server.xtcp_select(1, {w.gd}, None, 0)),
    ("xtcp_select", errno.EINVAL, lambda w: w.server.xtcp_select(2, *[xtcp_set([w.gd])] * 2, 0)),
    ("xtcp_select", errno.EINVAL, lambda w: w.server.xtcp_select(0, xtcp_set([w.gd]), None, 0)),
    *[
        ("xtcp_select", errno.EINVAL, lambda w, t=t: w.server.xtcp_select(1, xtcp_set([w.gd]), None, t))
        for t in (-1, float("nan"), float("inf"), 1e10, 10**400, "1", (1,), (0, 1_000_000), (0, -1))
    ],
    *[
        ("XTCP_SET", errno.EBADF, lambda w, gd=gd: api.XTCP_SET(gd, xtcp_set()))
        for gd in (0, -1, 1 << 31, 1 << 70, True, 7.0, "7", None)
    ],
    ("XTCP_SET", errno.EFAULT, lambda w: api.XTCP_SET(w.gd, None)),
    ("XTCP_CLR", errno.EFAULT, lambda w: api.XTCP_CLR(w.gd, set())),
    ("XTCP_ISSET", errno.EFAULT, lambda w: api.XTCP_ISSET(w.gd, [w.gd])),
    ("XTCP_ZERO", errno.EFAULT, lambda w: api.XTCP_ZERO(None)),
]


def state(net: Net) -> tuple[Any, ...]:
    """All that the engine shows of itself, and that nothing waits to be sent."""
    groups = [pool.groups() for pool in net.engine.pools()]
    options = [group.options for of_pool in groups for group in of_pool]
    return net.engine.snapshot(), net.counters(), net.engine.poll_at(), groups, options


@pytest.mark.parametrize(
    "name, number, call", CASES, ids=[f"{name}-{errno.errorcode[number]}" for name, number, _ in CASES]
)
def test_a_wrong_use_is_told_and_changes_nothing(
    w: SimpleNamespace, name: str, number: int, call: Callable[[World], int]
) -> None:
    before = state(w.net)
    w.server.error = ""
    assert call(w) == -number
    assert state(w.net) == before
    w.server.xtcp_select(0, None, None, 0)
    w.net.expect_nothing()
    assert w.server.error or name.startswith("XTCP_") or call(w) == -errno.EBADF


def test_no_pool(host: Host) -> None:
    server = host.server()
    assert server.xtcp_finalize() == -errno.ENXIO
    assert server.xtcp_open_group(PF_INET, SOCK_STREAM, 0, 80) == -errno.ENXIO
    assert "xtcp_initialize" in server.error


def test_no_application_server() -> None:
    assert api.xtcp_initialize(MiB) == -errno.ESRCH
    assert api.xtcp_select(0, None, None, 0) == -errno.ESRCH
    assert "with ApplicationServer" in api.xtcp_strerror()


def test_a_closed_application_server(server: ApplicationServer, gd: int) -> None:
    server.close()
    for result in (
        server.xtcp_initialize(MiB),
        server.xtcp_close_group(gd),
        server.xtcp_select(0, None, None, 0),
    ):
        assert result == -errno.ESHUTDOWN


def test_a_closed_engine(server: ApplicationServer, gd: int) -> None:
    """Its application servers are of no use any more, and may still be closed."""
    server.engine.close()
    for result in (
        server.xtcp_initialize(MiB),
        server.xtcp_finalize(),
        server.xtcp_open_group(PF_INET, SOCK_STREAM, 0, 80),
        server.xtcp_recv(gd, xtcp_cd(), bytearray(1)),
        server.xtcp_select(1, xtcp_set([gd]), None, 0),
    ):
        assert result == -errno.ESHUTDOWN
        assert server.error.startswith("the engine is closed")


@pytest.mark.parametrize("engine", [None, Engine, "engine"])
def test_an_application_server_of_no_engine(engine: Any) -> None:
    with pytest.raises(TypeError, match="give Engine"):
        ApplicationServer(engine)


@pytest.mark.parametrize(
    "gds, sentence",
    [
        (
            [-errno.EADDRINUSE],
            "-98 is no descriptor of a group; xtcp_open_group has failed: Address already in use",
        ),
        ([None], "None is no descriptor of a group"),
    ],
)
def test_a_set_of_no_groups(gds: Any, sentence: str) -> None:
    """An object of Python cannot be made of what C would be undefined for."""
    with pytest.raises(ValueError, match=sentence):
        xtcp_set(gds)


def test_the_record_table_is_full(make_net: MakeNet) -> None:
    net = make_net(max_connections=16)
    server = Host(net).server()
    server.xtcp_initialize(MiB)
    gd = server.xtcp_open_group(PF_INET, SOCK_STREAM, 0, 7)
    for _ in range(16):
        assert server.xtcp_connect(gd, sockaddr_in("198.51.100.1", 7)) > 0
    assert server.xtcp_connect(gd, sockaddr_in("198.51.100.1", 7)) == -errno.ENOBUFS
    server.close()
    server.engine.flush(net.now)
    net.collect()
    net.strays.clear()


def test_a_connection_over_tcp_joins_no_unix_group(w: SimpleNamespace, tmp_path: Path) -> None:
    local = w.server.xtcp_open_group(PF_UNIX, SOCK_STREAM, 0, str(tmp_path / "socket"))
    assert w.server.xtcp_accept(w.busy, into=local) == -errno.EINVAL
    assert w.server.xtcp_pending(w.busy) == 1


def test_an_address_of_the_wrong_size(w: SimpleNamespace) -> None:
    """A peer over IPv4 fits into sockaddr_in6, mapped; one over IPv6 does not fit into sockaddr_in."""
    sa = sockaddr_in6()
    assert w.server.xtcp_pars(w.gd, w.cd, sa) == 0
    assert sa.sin6_addr == "::ffff:198.51.100.7"


def test_waiting_inside_of_an_event_loop(server: ApplicationServer, gd: int) -> None:
    """It would stop that loop; looking does not."""

    async def inside() -> tuple[int, int]:
        readgds = xtcp_set([gd])
        return server.xtcp_select(1, readgds, None, 1), server.xtcp_select(1, readgds, None, 0)

    assert asyncio.run(inside()) == (-errno.EDEADLK, 0)
    assert "asyncio" in server.error


def test_a_failed_connection_is_told_once(w: SimpleNamespace) -> None:
    assert w.server.xtcp_recv(w.failed, w.place, w.buf) == -errno.ECONNRESET
    assert w.place.value == w.reset
    assert w.server.xtcp_recv(w.failed, w.place, w.buf) == -errno.EAGAIN
    assert w.server.xtcp_close(w.failed, w.reset) == -errno.EBADF


# --- The page ---------------------------------------------------------------------

#: Tested elsewhere, in this folder or where the error is made.
ELSEWHERE: Final = {
    "xtcp_finalize": {"ENXIO"},
    "xtcp_open_group": {"ENXIO", "ENOBUFS", "EMFILE"},
    "xtcp_accept": {"EINVAL", "ENOBUFS"},
    "xtcp_pending": {"EAFNOSUPPORT"},
    "xtcp_connect": {"EADDRNOTAVAIL", "ENOBUFS"},
    "xtcp_recv": {"ECONNRESET", "ECONNREFUSED", "ETIMEDOUT", "EHOSTUNREACH"},
    "xtcp_select": {"EBUSY", "EDEADLK", "ENODEV"},
}


def test_the_page_has_every_errno_of_every_call() -> None:
    """docs/api.md and these tests know the same ones."""
    documented: dict[str, set[str]] = {}
    for line in PAGE.read_text().splitlines():
        if row := re.match(r"\| `(\w+)\(", line):
            documented[row[1]] = set(re.findall(r"\bE[A-Z]{3,}\b", line))
    tested: dict[str, set[str]] = {name: set(numbers) for name, numbers in ELSEWHERE.items()}
    for name, number, _ in CASES:
        tested.setdefault(name, set()).add(errno.errorcode[number])
    assert documented == tested
