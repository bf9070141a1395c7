"""Group protocols and ordinary factories over Unix sockets, and their configuration (P31)."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import error
from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import IListeningPort, IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.reactor.conftest import Logged
from tests.reactor.world import HandReactor, Recorder, World, factoryOf
from tests.unix.conftest import got
from xtcp_twisted.config import GroupOptions
from xtcp_twisted.errors import ConfigurationError
from xtcp_twisted.reactor.endpoints import XTCPServerEndpoint
from xtcp_twisted.reactor.groups import GroupProtocol
from xtcp_twisted.reactor.interfaces import IGroupAcceptor
from xtcp_twisted.reactor.loading import SettingsError, structure
from xtcp_twisted.reactor.port import Binding, ListeningGroup
from xtcp_twisted.reactor.service import XTCPService

pytestmark = pytest.mark.feature("P31")


class Local:
    """A stack in a hand-turned reactor, and local clients."""

    def __init__(self, folder: Path) -> None:
        self.world = World()
        self.turn = self.world.turn
        self.path = str(folder / "s")
        self.clients: list[socket.socket] = []

    def listen(self, factory: Any, **options: Any) -> ListeningGroup:
        return self.world.stack.listen(factory, Binding(path=self.path, options=GroupOptions(**options)))

    def client(self) -> socket.socket:
        made = socket.socket(socket.AF_UNIX)
        made.setblocking(False)
        self.clients.append(made)
        made.connect(self.path)
        return made


@pytest.fixture
def local(folder: Path, logged: Logged) -> Iterator[Local]:
    made = Local(folder)
    yield made
    for client in made.clients:
        client.close()
    made.world.stack.stop()


class TestOrdinary:
    def test_an_exchange(self, local: Local) -> None:
        protocol = Recorder()
        protocol.got = lambda p, data: p.transport.write(data.upper())  # type: ignore[method-assign]
        port = local.listen(factoryOf(protocol))
        assert verifyObject(IListeningPort, port)
        client = local.client()
        client.send(b"hello")
        for _ in range(3):
            local.turn()
        assert got(client) == b"HELLO"
        transport = protocol.transport
        assert (transport.getHost(), transport.getPeer()) == (UNIXAddress(local.path), UNIXAddress(None))
        assert port.getHost() == UNIXAddress(local.path)
        assert transport.getHandle().getsockname() == local.path
        assert transport.getHandle().getpeername() == transport.client == transport.hostname == ""
        transport.setTcpNoDelay(True)
        transport.setTcpKeepAlive(True)
        assert local.path in repr(transport)
        assert local.path in repr(port)

    def test_a_client_that_closes(self, local: Local) -> None:
        protocol = Recorder()
        local.listen(factoryOf(protocol))
        client = local.client()
        client.send(b"bye")
        client.close()
        for _ in range(4):
            local.turn()
        assert protocol.data == b"bye"
        assert [reason.type for reason in protocol.reasons] == [error.ConnectionDone]

    def test_a_server_that_closes_sends_everything_first(self, local: Local) -> None:
        protocol = Recorder()
        answer = os.urandom(1_000_000)

        def made(p: Recorder) -> None:
            p.transport.write(answer)
            p.transport.loseConnection()

        protocol.made = made  # type: ignore[method-assign]
        local.listen(factoryOf(protocol))
        client = local.client()
        found = b""
        local.turn()
        while (piece := got(client)) != b"":
            found += piece or b""
            local.turn()
        assert found == answer
        assert [reason.type for reason in protocol.reasons] == [error.ConnectionDone]

    def test_a_producer_waits_for_a_client_that_does_not_read(self, local: Local) -> None:
        @implementer(IPushProducer)
        class Producer:
            paused = False

            def pauseProducing(self) -> None:
                self.paused = True

            def resumeProducing(self) -> None:
                self.paused = False

            def stopProducing(self) -> None:
                pass

        protocol, producer = Recorder(), Producer()
        protocol.made = lambda p: p.transport.registerProducer(producer, True)  # type: ignore[method-assign]
        local.listen(factoryOf(protocol))
        client = local.client()
        local.turn()
        written = 0
        while not producer.paused:
            protocol.transport.write(bytes(100_000))
            written += 100_000
            local.turn()
        found = 0
        while found < written:
            found += len(got(client) or b"")
            local.turn()
        local.turn()
        assert not producer.paused

    def test_an_exception_costs_its_connection(self, local: Local, logged: Logged) -> None:
        fails, works = Recorder(), Recorder()
        fails.got = lambda *_: 1 / 0  # type: ignore[method-assign]
        works.got = lambda p, data: p.transport.write(data)  # type: ignore[method-assign]
        local.listen(factoryOf(fails, works))
        first, second = local.client(), local.client()
        for _ in range(2):
            local.turn()
        first.send(b"x")
        second.send(b"y")
        for _ in range(3):
            local.turn()
        assert got(first) == b""
        assert got(second) == b"y"
        assert len(logged.take(ZeroDivisionError)) == 1

    def test_tcp_and_unix_connections_of_one_row_are_two(self, local: Local) -> None:
        tcp, unix = Recorder(), Recorder()
        port = local.world.listen(factoryOf(tcp))
        local.listen(factoryOf(unix))
        peer = local.world.client(port).opened()
        client = local.client()
        for _ in range(2):
            local.turn()
        peer.send(b"tcp")
        client.send(b"unix")
        local.turn()
        assert (tcp.data, unix.data) == (b"tcp", b"unix")

    def test_a_port_stops_and_connections_go_on(self, local: Local) -> None:
        protocol = Recorder()
        protocol.got = lambda p, data: p.transport.write(data)  # type: ignore[method-assign]
        port = local.listen(factoryOf(protocol))
        client = local.client()
        for _ in range(2):
            local.turn()
        done: list[object] = []
        port.stopListening().addCallback(done.append)
        local.turn()
        assert done == [None]
        assert not os.path.exists(local.path)
        client.send(b"still")
        for _ in range(2):
            local.turn()
        assert got(client) == b"still"
        client.close()
        for _ in range(4):
            local.turn()
        assert port.group.closed

    def test_an_endpoint(self, local: Local) -> None:
        protocol = Recorder()
        ports: list[ListeningGroup] = []
        endpoint = XTCPServerEndpoint(local.world.stack, 0, path=local.path, mode=0o606, name="local")
        endpoint.listen(factoryOf(protocol)).addCallback(ports.append)
        assert ports[0].group.name == "local"
        assert stat.S_IMODE(os.stat(local.path).st_mode) == 0o606
        local.client().send(b"hello")
        for _ in range(3):
            local.turn()
        assert protocol.data == b"hello"

    def test_a_path_that_is_taken(self, local: Local) -> None:
        local.listen(factoryOf())
        with pytest.raises(error.CannotListenError, match="is taken"):
            local.listen(factoryOf())

    def test_the_end_of_the_stack(self, local: Local) -> None:
        protocol = Recorder()
        local.listen(factoryOf(protocol))
        client = local.client()
        for _ in range(2):
            local.turn()
        local.world.stack.stop()
        assert [reason.type for reason in protocol.reasons] == [error.ConnectionLost]
        assert got(client) == b""
        assert not os.path.exists(local.path)


class Upper(GroupProtocol):
    """Answers; raises for b"fail"."""

    def __init__(self) -> None:
        self.losses: list[tuple[int, Failure]] = []
        self.made: list[int] = []

    def connectionMade(self, cd: int) -> None:
        self.made.append(cd)

    def messageReceived(self, cd: int, data: bytes) -> None:
        if data == b"fail":
            raise ZeroDivisionError
        self.group.send(cd, data.upper())

    def connectionLost(self, cd: int, reason: Failure) -> None:
        self.losses.append((cd, reason))


@implementer(IGroupAcceptor)
class OnlyMe(Upper):
    """Accepts who runs as the same user."""

    def connectionsPending(self, requests: list[tuple[int, tuple[str, int]]]) -> None:
        group: Any = self.group.engineGroup
        for pending_id, _ in requests:
            _, uid, _ = group.credentials(pending_id)
            if uid == os.getuid() and len(self.made) < 1:
                self.group.accept(pending_id)
            else:
                self.group.refuse(pending_id)


class TestGroupProtocols:
    def test_exchange_and_acknowledgement(self, local: Local) -> None:
        protocol = Upper()
        port = local.listen(protocol)
        clients = [local.client() for _ in range(10)]
        for i, client in enumerate(clients):
            client.send(b"hello %d" % i)
        for _ in range(2):
            local.turn()
        assert [got(client) for client in clients] == [b"HELLO %d" % i for i in range(10)]
        infos = [port.group.info(cd) for cd in protocol.made]
        assert [(info.rcv_ackd, info.delivered) for info in infos] == [(7, 0)] * 10
        assert len(protocol.group) == 10
        assert (protocol.group.port, protocol.group.peer(protocol.made[0])) == (0, ("", 0))

    def test_an_exception_costs_its_connection(self, local: Local, logged: Logged) -> None:
        protocol = Upper()
        local.listen(protocol)
        clients = [local.client() for _ in range(3)]
        for client, data in zip(clients, (b"a", b"fail", b"c"), strict=True):
            client.send(data)
        for _ in range(3):
            local.turn()
        assert got(clients[0]) == b"A"
        assert got(clients[2]) == b"C"
        with pytest.raises(ConnectionResetError):
            clients[1].recv(1)
        assert [cd for cd, _ in protocol.losses] == [protocol.made[1]]
        assert len(logged.take(ZeroDivisionError)) == 1

    def test_who_connects_decides(self, local: Local) -> None:
        protocol = OnlyMe()
        local.listen(protocol)
        first = local.client()
        for _ in range(2):
            local.turn()
        second = local.client()
        for _ in range(2):
            local.turn()
        first.send(b"me")
        for _ in range(2):
            local.turn()
        assert got(first) == b"ME"
        assert got(second) == b""

    def test_the_application_policy_reads_what_was_acknowledged(self, local: Local) -> None:
        protocol = Upper()
        port = local.listen(protocol, ack_policy="application")
        client = local.client()
        client.send(b"hello")
        for _ in range(2):
            local.turn()
        assert got(client) == b"HELLO"
        assert port.group.info(protocol.made[0]).delivered == 5

    def test_an_orderly_shutdown_of_the_stack(self, local: Local) -> None:
        """Waits until what is queued has been sent."""
        protocol = Upper()
        local.listen(protocol)
        client = local.client()
        for _ in range(2):
            local.turn()
        (cd,) = protocol.made
        sent = 0
        while taken := protocol.group.send(cd, bytes(50_000)):
            sent += taken
            local.turn()
        done: list[object] = []
        local.world.stack.shutdown(5).addCallback(done.append)
        local.turn()
        assert done == []
        found = 0
        while (piece := got(client)) != b"":
            found += len(piece or b"")
            local.turn()
        local.world.reactor.advance(0.1)
        assert done == [None]
        assert found == sent


GOOD: dict[str, Any] = {
    "link": {"kind": "memory"},
    "engine": {"addresses": ["192.0.2.1"]},
    "pool": [{"name": "im"}],
}


def settings(**group: Any) -> Any:
    made = {"name": "local", "protocol": "tests.reactor.servers.Plain", **group}
    return structure({**GOOD, "group": [made, {"name": "web", "port": 80, "protocol": made["protocol"]}]})


class TestSettings:
    def test_a_path_and_its_mode(self) -> None:
        group = settings(path="/run/im.sock", mode=0o660).group[0]
        assert (group.path, group.mode, group.port) == ("/run/im.sock", 0o660, None)

    @pytest.mark.parametrize(
        "group, wrong",
        [
            ({}, "give either port or path"),
            ({"path": "/run/s", "port": 7}, "give either port or path"),
            ({"path": "/run/s", "share": True}, "path: address and share are for ports"),
            ({"path": "/run/s", "address": "192.0.2.1"}, "path: address and share are for ports"),
            ({"path": "/" + 200 * "x"}, "give the path of a socket, of at most 107 bytes"),
            ({"path": 7}, "give the path of a socket"),
            ({"path": "/run/s", "mode": "600"}, "mode: '600' is not allowed; give permissions such as 0o660"),
            ({"path": "/run/s", "mode": 0o1000}, "mode: 512 is not allowed; give permissions"),
        ],
    )
    def test_what_is_wrong_is_said(self, group: dict[str, Any], wrong: str) -> None:
        with pytest.raises(SettingsError, match=wrong):
            settings(**group)

    def test_two_groups_of_one_path(self) -> None:
        group = {"name": "a", "path": "/run/s", "protocol": "tests.reactor.servers.Plain"}
        with pytest.raises(ConfigurationError, match=r"group\[1\].path: .* is taken by the group 'a'"):
            structure({**GOOD, "group": [group, group | {"name": "b", "path": "/run/../run/s"}]})

    def test_a_service_listens_there(self, folder: Path) -> None:
        made = settings(path=str(folder / "s"), mode=0o640)
        service = XTCPService(made, reactor=HandReactor())
        service.startService()
        try:
            found = os.stat(folder / "s")
            assert stat.S_ISSOCK(found.st_mode)
            assert stat.S_IMODE(found.st_mode) == 0o640
        finally:
            service.stopService()
        assert service.stack is None
        assert not (folder / "s").exists()
