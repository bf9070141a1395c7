"""Endpoint strings inside of other strings, services and wrappers: the composition is Twisted's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.x509 import DNSName, SubjectAlternativeName
from service_identity import VerificationError
from twisted.application import strports
from twisted.application.internet import ClientService
from twisted.application.service import MultiService
from twisted.internet.endpoints import clientFromString, serverFromString, wrapClientTLS
from twisted.internet.ssl import Certificate, optionsForClientTLS

from tests.reactor.test_client import Witness, outcome
from tests.reactor.world import Recorder, World, factoryOf
from xtcp_twisted.reactor.port import ListeningGroup

# Twisted still uses what pyOpenSSL would rather see done by cryptography.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*pyOpenSSL.*:DeprecationWarning", "ignore:X509.*:DeprecationWarning"
)

NAMES = ("one.example", "two.example")


def listening(world: World, text: str, factory: Any) -> ListeningGroup:
    port = outcome(serverFromString(world.reactor, text).listen(factory))
    assert isinstance(port, ListeningGroup), port
    return port


def settle(world: World) -> None:
    """Enough turns and time for a handshake of TLS."""
    for _ in range(40):
        world.advance(0.005)


def test_a_proxy_tells_who_the_client_is(world: World) -> None:
    server = Recorder()
    port = listening(world, "haproxy:xtcp:7:group=site", factoryOf(server))
    client = world.client(port).opened()
    client.send(b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 7\r\nhello")
    world.turn()
    assert server.data == b"hello"
    assert (server.transport.getPeer().host, server.transport.getPeer().port) == ("203.0.113.9", 4711)
    assert port.group.name == "site"


def test_a_unix_socket_may_stand_behind_a_proxy_too(world: World, tmp_path: Path) -> None:
    text = f"haproxy:xtcp:path={tmp_path}/s:mode=600"
    port = listening(world, text, factoryOf())
    assert port.getHost().name == f"{tmp_path}/s".encode()


def test_a_service_of_a_string_listens_while_it_runs(world: World) -> None:
    top = MultiService()
    strports.service("xtcp:7", factoryOf(Recorder()), world.reactor).setServiceParent(top)
    assert world.engine.snapshot().pools[0].groups == ()
    top.privilegedStartService()
    assert world.engine.snapshot().pools[0].groups[0].port == 7
    top.startService()
    stopped: list[object] = []
    top.stopService().addCallback(stopped.append)
    assert stopped == []
    world.turn()
    assert stopped != []
    assert world.engine.snapshot().pools[0].groups == ()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """``site`` has two certificates and their keys, ``trust`` who has signed them."""
    made = trustme.CA()
    for name in ("site", "trust"):
        (tmp_path / name).mkdir()
    made.cert_pem.write_to_path(tmp_path / "trust/authority.pem")
    for name in NAMES:
        leaf = made.issue_cert(name)
        leaf.private_key_and_cert_chain_pem.write_to_path(tmp_path / f"site/{name}.pem")
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_tls_around_both(world: World, folder: Path, name: str) -> None:
    """The server's certificate is chosen by the name that the client asks for."""
    server, client = Recorder(), Recorder()
    server.made = lambda made: made.transport.write(b"welcome")
    listening(world, f"xtcp:443:tls={folder}/site", factoryOf(server))
    connecting = secure(world, folder, name).connect(Witness(client))
    settle(world)
    assert outcome(connecting) is client
    client.transport.write(b"hello")
    settle(world)
    assert (server.data, client.data) == (b"hello", b"welcome")
    assert subject(client.transport.getPeerCertificate()) == name


def test_a_name_without_a_certificate_is_not_trusted(world: World, folder: Path) -> None:
    client = Recorder()
    listening(world, f"xtcp:443:tls={folder}/site", factoryOf(Recorder()))
    secure(world, folder, "three.example").connect(Witness(client))
    settle(world)
    (reason,) = client.reasons
    reason.trap(VerificationError)


def secure(world: World, folder: Path, name: str) -> Any:
    """A client that trusts who has signed for `folder`, and nobody else."""
    trusted = Certificate.loadPEM((folder / "trust/authority.pem").read_bytes())
    inner = clientFromString(world.reactor, "xtcp:192.0.2.1:443")
    return wrapClientTLS(optionsForClientTLS(name, trusted), inner, world.reactor)


def subject(certificate: Any) -> str:
    """The name that a certificate is for."""
    names = certificate.to_cryptography().extensions.get_extension_for_class(SubjectAlternativeName).value
    (name,) = names.get_values_for_type(DNSName)
    return str(name)


def test_a_client_service_comes_back_through_a_string(world: World) -> None:
    """Its server closes; it connects anew, and stops when it is told to."""
    echoes = [Recorder(), Recorder()]
    listening = serverFromString(world.reactor, "xtcp:7").listen(factoryOf(*echoes))
    clients = Witness(Recorder(), Recorder())
    endpoint = clientFromString(world.reactor, "xtcp:192.0.2.1:7:timeout=5")
    service = ClientService(endpoint, clients, retryPolicy=lambda _: 0.1, clock=world.reactor)
    service.startService()
    world.turns(4)
    assert echoes[0].connected and not echoes[1].connected
    echoes[0].transport.loseConnection()
    world.turns(4)
    world.reactor.advance(0.2)
    world.turns(4)
    assert echoes[1].connected
    outcome(listening)
    stopping = service.stopService()
    world.turns(4)
    outcome(stopping)
    assert len(echoes[1].reasons) == 1
