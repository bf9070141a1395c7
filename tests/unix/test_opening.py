"""The path of a Unix-socket group: who may have it, who may connect, what is left behind (P03, P31)."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.descriptors import open_descriptors

from tests.unix.conftest import World, got
from xtcp_twisted.config import GroupOptions
from xtcp_twisted.engine.kinds import EventKind
from xtcp_twisted.engine.unix_domain import UnixDomain
from xtcp_twisted.engine.unix_path import SocketFile
from xtcp_twisted.errors import (
    AddressInUse,
    AddressNotAvailable,
    GroupClosed,
    LocalError,
    PoolClosed,
    PoolExhausted,
    StaleConnection,
)

pytestmark = pytest.mark.feature("P31")

UNIX = int(socket.AF_UNIX)


def files(world: World) -> list[str]:
    return sorted(os.listdir(world.folder))


@pytest.mark.feature("P03")
@pytest.mark.parametrize("mode", [0o600, 0o666])
def test_the_file_has_its_mode(world: World, mode: int) -> None:
    before = os.umask(0o077)
    try:
        group = world.group(mode=mode)
    finally:
        os.umask(before)
    found = os.lstat(world.path)
    assert stat.S_ISSOCK(found.st_mode)
    assert stat.S_IMODE(found.st_mode) == mode
    assert (group.address, group.port, group.domain) == (world.path, 0, UNIX)


@pytest.mark.feature("P07")
def test_closing_leaves_nothing_behind(world: World) -> None:
    before = open_descriptors()
    group = world.group()
    client, cd = world.connected(group)
    group.close()
    world.net.turn()
    assert files(world) == []
    assert got(client) == b""
    assert world.net.engine.snapshot().unix_connections == 0
    for call in (group.fileno, group.pending, lambda: group.recv(1), lambda: group.send(cd, b"x")):
        with pytest.raises(GroupClosed):
            call()
    group.close()
    client.close()
    # The engine's own epoll instance stays.
    assert open_descriptors() == before + 1


def test_a_file_that_somebody_else_has_put_there_stays(world: World) -> None:
    group = world.group()
    os.unlink(world.path)
    Path(world.path).write_text("mine")
    group.close()
    assert files(world) == ["s"]
    assert Path(world.path).read_text() == "mine"


def test_two_groups_cannot_have_one_path(world: World) -> None:
    group = world.group()
    with pytest.raises(AddressInUse, match="is taken"):
        world.group()
    assert world.net.pool.groups() == (group,)
    client, cd = world.connected(group)
    world.asked(client, b"still here")
    assert group.recv(100) == (cd, b"still here")
    group.close()
    world.group()


def test_another_server_there_is_left_alone(world: World) -> None:
    """One that knows nothing of locks, too."""
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(world.path)
        other.listen()
        with pytest.raises(AddressInUse, match="another process listens there"):
            world.group()
        assert files(world) == ["s"]
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(world.path)


def test_another_server_that_is_about_to_listen_is_left_alone(world: World) -> None:
    """It has bound, and who tries to connect is refused: only the lock tells that it lives."""
    with socket.socket(socket.AF_UNIX) as other, open(f"{world.path}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        other.bind(world.path)
        with pytest.raises(AddressInUse, match="has locked"):
            world.group()
        assert os.path.exists(world.path)


DIES = """
import os, signal, socket, sys
from xtcp_twisted.config import EngineConfig, MiB
from xtcp_twisted.engine import Engine
from xtcp_twisted.link.memory import MemoryLink
engine = Engine(MemoryLink(), EngineConfig(addresses=("192.0.2.1",), arena_limit=256 * MiB, max_time_wait=16,
                transmit_buffer=MiB, max_connections=16, max_half_open=16))
engine.create_pool(65_536).open_group(0, domain=socket.AF_UNIX, path=sys.argv[1])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_dead_server_left_is_replaced(world: World) -> None:
    ended = subprocess.run([sys.executable, "-c", DIES, world.path], check=False, timeout=60)
    assert ended.returncode == -9
    assert files(world) == ["s", "s.lock"]
    group = world.group()
    client, cd = world.connected(group)
    world.asked(client, b"hello")
    assert group.recv(100) == (cd, b"hello")
    group.close()
    assert files(world) == []


def test_what_is_no_socket_is_left_alone(world: World) -> None:
    Path(world.path).write_text("precious")
    with pytest.raises(AddressInUse, match="is no socket"):
        world.group()
    assert Path(world.path).read_text() == "precious"
    assert files(world) == ["s"]


def test_a_link_in_the_place_of_the_lock_is_not_followed(world: World) -> None:
    target = world.folder / "target"
    os.symlink(target, f"{world.path}.lock")
    with pytest.raises(AddressNotAvailable):
        world.group()
    assert not target.exists()


@pytest.mark.parametrize(
    "path, error, why",
    [
        ("/nowhere/at/all", AddressNotAvailable, "No such file or directory"),
        ("/proc/s", AddressNotAvailable, "cannot be used"),
        ("/" + 107 * "x", LocalError, "at most 107 bytes"),
        ("", LocalError, "give the path of a socket"),
        (7, LocalError, "give the path of a socket"),
        (b"/bytes", LocalError, "give the path of a socket"),
        ("/a\0b", LocalError, "a NUL may stand at its beginning only"),
    ],
)
def test_a_path_that_cannot_be(world: World, path: Any, error: type[LocalError], why: str) -> None:
    before = open_descriptors()
    with pytest.raises(error, match=why):
        world.group(path=path)
    assert world.net.pool.groups() == ()
    assert open_descriptors() <= before + 1


@pytest.mark.parametrize(
    "wrong, why",
    [
        ({"port": 7}, "not for Unix sockets"),
        ({"address": "192.0.2.1"}, "not for Unix sockets"),
        ({"share": True}, "not for Unix sockets"),
        ({"mode": 0o1777}, "give permissions"),
        ({"mode": "600"}, "give permissions"),
        ({"options": 7}, "give GroupOptions"),
        ({"domain": socket.AF_INET, "port": 7}, "give domain=AF_UNIX"),
    ],
)
def test_what_does_not_go_with_a_path(world: World, wrong: dict[str, Any], why: str) -> None:
    arguments: dict[str, Any] = {"port": 0, "domain": UNIX, "path": world.path, "options": GroupOptions()}
    with pytest.raises(LocalError, match=why):
        world.net.pool.open_group(**arguments | wrong)
    assert files(world) == []
    assert world.net.pool.groups() == ()


def test_a_relative_path_is_that_of_the_moment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon changes its folder later."""
    monkeypatch.chdir(world.folder)
    group = world.group(path="s")
    monkeypatch.chdir("/")
    assert group.address == world.path
    client, _ = world.connected(group)
    group.close()
    assert files(world) == []
    assert got(client) is None or got(client) == b""


def test_a_name_without_a_file(world: World) -> None:
    name = f"\0xtcp-test-{os.getpid()}"
    group = world.group(path=name)
    client, cd = world.connected(group)
    world.asked(client, b"hello")
    assert group.recv(100) == (cd, b"hello")
    assert group.local(cd) == (name, 0)
    assert files(world) == []
    with pytest.raises(AddressInUse):
        world.group(path=name)


def test_a_group_stops_and_listens_again(world: World) -> None:
    group = world.group()
    client, cd = world.connected(group)
    group.stop_listening()
    assert files(world) == []
    with pytest.raises(FileNotFoundError):
        world.client(group)
    world.asked(client, b"connections stay")
    assert group.recv(100) == (cd, b"connections stay")
    group.listen()
    group.listen()
    world.connected(group)


@pytest.mark.feature("P02")
def test_a_pool_takes_its_groups_along(world: World) -> None:
    pool = world.net.engine.create_pool(65_536)
    group = world.group(pool=pool)
    client, cd = world.connected(group)
    world.asked(client, b"unseen")
    gd = group.fileno()
    pool.close()
    assert files(world) == []
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with pytest.raises(GroupClosed):
        world.net.engine.group(gd)
    with pytest.raises(PoolClosed):
        world.group(pool=pool)
    assert world.net.engine.snapshot().unix_connections == 0
    with pytest.raises(GroupClosed):
        group.user(cd)


@pytest.mark.feature("P07")
@pytest.mark.parametrize("abort", [False, True])
def test_a_group_closes_in_order_or_at_once(world: World, abort: bool) -> None:
    group = world.group()
    client, cd = world.connected(group)
    group.send(cd, b"goodbye")
    group.close(abort=abort)
    world.net.turn()
    assert got(client) == (b"" if abort else b"goodbye")
    assert got(client) == b""
    assert world.net.take_events() == []


def test_ids_of_unix_connections_name_no_tcp_connection(world: World) -> None:
    tcp = world.net.group(7)
    peer = world.net.client(tcp).established()
    group = world.group()
    _, cd = world.connected(group)
    with pytest.raises(StaleConnection):
        tcp.send(cd, b"x")
    for wrong in (peer.cd, -1, None, "7", [1], cd + 1):
        with pytest.raises(StaleConnection):
            group.send(wrong, b"x")


@pytest.mark.feature("P10")
def test_who_is_there(world: World) -> None:
    group = world.group()
    client = socket.socket(socket.AF_UNIX)
    world.clients.append(client)
    own = str(world.folder / "client")
    client.bind(own)
    client.connect(group.address)
    world.net.turn()
    ((_, _, cd, _),) = world.net.take_events(EventKind.ESTABLISHED)
    assert (group.peer(cd), group.local(cd)) == ((own, 0), (world.path, 0))
    assert group.credentials(cd) == (os.getpid(), os.getuid(), os.getgid())
    assert group.peer(world.connected(group)[1]) == ("", 0)
    group.set_user(cd, 77)
    client.send(b"12345")
    world.net.turn()
    group.recv(3)
    info = group.info(cd)
    assert (info.state, info.user, info.rcv_nxt, info.rcv_ackd) == (
        "ESTABLISHED",
        77,
        5,
        0,
    )
    assert (info.delivered, info.held) == (3, 5)


def test_a_snapshot_shows_the_group(world: World) -> None:
    group = world.group()
    client, cd = world.connected(group)
    world.asked(client, b"hello")
    group.recv(100)
    group.send(cd, b"answer", ackd=5)
    world.net.turn()
    snapshot = world.net.engine.snapshot()
    (shown,) = snapshot.pools[0].groups
    assert (shown.family, shown.address, shown.port, shown.gd) == (UNIX, world.path, 0, group.fileno())
    assert (shown.connections, shown.pending, shown.readable, shown.held) == (1, 0, 0, 0)
    assert (shown.counters["InBytes"], shown.counters["OutBytes"]) == (5, 6)
    assert snapshot.unix_connections == 1
    assert snapshot.connections == 0
    tcp = world.net.group(7)
    assert tcp.row != group.row


def test_a_link_in_the_place_of_the_socket_is_not_followed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may write to the folder cannot make us change the permissions of another file."""
    private = world.folder / "private"
    private.write_text("secret")
    private.chmod(0o600)
    bind = SocketFile._bind

    def bound(self: SocketFile) -> None:
        bind(self)
        os.unlink(self.path)
        os.symlink(private, self.path)

    monkeypatch.setattr(SocketFile, "_bind", bound)
    before = open_descriptors()
    with pytest.raises(AddressInUse, match="somebody has put another file there"):
        world.group(mode=0o666)
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    # The engine's own epoll instance stays.
    assert open_descriptors() == before + 1


def test_a_group_that_cannot_be_watched_leaves_nothing_open(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.group().close()
    before = open_descriptors()

    def full(self: UnixDomain, watched: object, mask: int, *, again: bool = False) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(UnixDomain, "watch", full)
    with pytest.raises(PoolExhausted):
        world.group()
    assert files(world) == []
    assert open_descriptors() == before
