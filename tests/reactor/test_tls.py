"""TLS by Twisted's code: from the start, and begun in the middle of a connection."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from typing import Any

import pytest
import trustme
from OpenSSL import SSL
from OpenSSL.crypto import X509
from twisted.internet import error, interfaces
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    PrivateCertificate,
    optionsForClientTLS,
)
from twisted.protocols.wire import Echo
from zope.interface.verify import verifyObject

from tests.reactor.test_client import Witness
from tests.reactor.world import Recorder, World, factoryOf
from xtcp_twisted.config import GroupOptions
from xtcp_twisted.reactor.groups import GroupProtocol
from xtcp_twisted.reactor.interfaces import IXTCPTransport
from xtcp_twisted.reactor.port import Binding

# Twisted still hands it certificates of its own type.
pytestmark = pytest.mark.filterwarnings("ignore:Passing pyOpenSSL .* is deprecated:DeprecationWarning")

HOST = "192.0.2.1"


@cache
def authority() -> trustme.CA:
    return trustme.CA()


@cache
def certificate() -> PrivateCertificate:
    """Of the engine's address."""
    leaf = authority().issue_cert(HOST)
    return PrivateCertificate.loadPEM(leaf.private_key_and_cert_chain_pem.bytes())


def server_options(**more: Any) -> CertificateOptions:
    mine = certificate()
    return CertificateOptions(mine.privateKey.original, mine.original, **more)


def client_options(**more: Any) -> Any:
    return optionsForClientTLS(HOST, Certificate.loadPEM(authority().cert_pem.bytes()), **more)


def settle(world: World) -> None:
    """Enough turns and time for a handshake, or for a few hundred kilobytes and a close."""
    for _ in range(40):
        world.advance(0.005)


class Pair:
    """Both ends of one connection of a stack to itself."""

    def __init__(self, world: World, server: Recorder, client: Recorder) -> None:
        self.world = world
        self.server, self.client = server, client

    @classmethod
    def plain(cls, world: World, **options: Any) -> Pair:
        pair = cls(world, Recorder(), Recorder())
        world.listen(factoryOf(pair.server), **options)
        world.stack.connect(HOST, 7, Witness(pair.client), options=GroupOptions(**options))
        settle(world)
        return pair

    @classmethod
    def secure(cls, world: World, near: Any = None, far: Any = None) -> Pair:
        pair = cls(world, Recorder(), Recorder())
        world.stack.listenSSL(factoryOf(pair.server), far or server_options(), Binding(port=7))
        world.stack.connectSSL(HOST, 7, Witness(pair.client), near or client_options())
        settle(world)
        return pair

    def started(self) -> Pair:
        """TLS begun in the middle, on both ends."""
        self.server.transport.startTLS(server_options())
        self.client.transport.startTLS(client_options())
        return self

    def talk(self) -> None:
        """A line each way."""
        self.client.chunks.clear()
        self.server.chunks.clear()
        self.client.transport.write(b"from the client")
        self.server.transport.write(b"from the server")
        settle(self.world)
        assert (self.server.data, self.client.data) == (b"from the client", b"from the server")

    def reasons(self) -> list[list[type]]:
        return [[reason.type for reason in p.reasons] for p in (self.server, self.client)]


# -- from the start ----------------------------------------------------------------------------


def test_a_port_and_a_connection_of_tls(world: World) -> None:
    pair = Pair.secure(world)
    pair.talk()
    seen = pair.client.transport.getPeerCertificate()
    assert isinstance(seen, X509)
    assert Certificate(seen) == Certificate(certificate().original)
    pair.client.transport.loseConnection()
    settle(world)
    assert pair.reasons() == [[error.ConnectionDone]] * 2


def test_the_log_calls_it_a_tls_port(world: World) -> None:
    port = world.stack.listenSSL(factoryOf(), server_options(), Binding(port=7))
    assert port._type == "TLS"
    assert interfaces.IListeningPort.providedBy(port)


def test_details_of_tcp_are_there_with_tls_too(world: World) -> None:
    pair = Pair.secure(world)
    info = pair.server.transport.info()
    assert info.state == "ESTABLISHED"
    assert info.peer == (pair.client.transport.getHost().host, pair.client.transport.getHost().port)
    assert pair.server.transport.group.name


def test_a_client_that_does_not_trust_the_server(world: World) -> None:
    pair = Pair.secure(
        world, near=optionsForClientTLS(HOST, Certificate.loadPEM(trustme.CA().cert_pem.bytes()))
    )
    assert pair.reasons() == [[SSL.Error], [SSL.Error]]
    assert not pair.server.chunks


def test_what_is_agreed_by_alpn(world: World) -> None:
    pair = Pair.secure(
        world,
        client_options(acceptableProtocols=[b"h2", b"http/1.1"]),
        server_options(acceptableProtocols=[b"h2"]),
    )
    pair.talk()
    assert pair.server.transport.negotiatedProtocol == pair.client.transport.negotiatedProtocol == b"h2"


def test_a_group_protocol_has_nothing_to_put_tls_before(world: World) -> None:
    with pytest.raises(TypeError, match="is a group protocol; TLS goes before the protocols of an ordinary"):
        world.stack.listenSSL(GroupProtocol(), server_options(), Binding(port=7))
    world.listen(factoryOf())  # the port is free


# -- begun in the middle -----------------------------------------------------------------------


def test_the_transport_provides_tls_from_then_on(world: World) -> None:
    pair = Pair.plain(world)
    transport = pair.server.transport
    verifyObject(interfaces.ITLSTransport, transport)
    assert not interfaces.ISSLTransport.providedBy(transport)
    plain, size = type(transport), sys.getsizeof(transport)
    pair.started().talk()
    verifyObject(interfaces.ISSLTransport, transport)
    verifyObject(interfaces.INegotiated, transport)
    verifyObject(IXTCPTransport, transport)
    assert pair.server.transport is transport
    assert isinstance(transport, plain)
    # The same slots, and no dictionary.
    assert sys.getsizeof(transport) == size
    assert not vars(transport)
    assert isinstance(transport.getHandle(), SSL.Connection)
    assert transport.TLS


def test_tls_after_words_in_the_clear(world: World) -> None:
    """As mail does it: the client asks, the server agrees, both begin."""
    pair = Pair.plain(world)
    server, client = pair.server, pair.client

    def asked(p: Recorder, data: bytes) -> None:
        if data == b"STARTTLS":
            p.transport.write(b"go ahead")
            p.transport.startTLS(server_options())

    server.got = asked
    client.got = lambda p, data: data == b"go ahead" and p.transport.startTLS(client_options())
    client.transport.write(b"STARTTLS")
    settle(world)
    assert client.transport.TLS
    assert Certificate.peerFromTransport(client.transport) == Certificate(certificate().original)
    pair.talk()
    server.transport.writeSequence([b"good", b"bye"])
    server.transport.loseConnection()
    settle(world)
    assert client.data == b"from the servergoodbye"
    assert pair.reasons() == [[error.ConnectionDone]] * 2


def test_the_server_may_open_tls(world: World) -> None:
    pair = Pair.plain(world)
    pair.server.transport.startTLS(client_options(), normal=False)
    pair.client.transport.startTLS(server_options(), normal=False)
    pair.talk()
    assert pair.server.transport.getPeerCertificate() is not None


def test_names_stay_those_of_the_application(world: World) -> None:
    pair = Pair.plain(world)
    transports = (pair.server.transport, pair.client.transport)
    before = [(repr(t), t.logPrefix()) for t in transports]
    assert "Recorder" in before[0][0]
    pair.started().talk()
    assert [(repr(t), t.logPrefix()) for t in transports] == before


def test_three_megabytes_each_way(world: World) -> None:
    pair = Pair.plain(world, weight=8).started()
    payload = bytes(range(256)) * 12_000
    pair.server.transport.write(payload)
    pair.client.transport.write(payload)
    for _ in range(2_000):
        world.advance(0.001)
        if len(pair.server.data) + len(pair.client.data) == 2 * len(payload):
            break
    assert pair.server.data == pair.client.data == payload


def test_nothing_is_written_after_the_close(world: World) -> None:
    pair = Pair.plain(world).started()
    pair.talk()
    pair.server.transport.write(b" last")
    pair.server.transport.loseConnection()
    pair.server.transport.write(b" too late")
    settle(world)
    assert pair.client.data == b"from the server last"
    pair.server.transport.write(b"much too late")
    pair.server.transport.loseConnection()


def test_an_abort(world: World) -> None:
    pair = Pair.plain(world).started()
    pair.talk()
    pair.server.transport.abortConnection()
    settle(world)
    # Both: TLS was not told to end, which counts more with Twisted than who was to blame.
    assert pair.reasons() == [[error.ConnectionLost]] * 2
    for protocol in (pair.server, pair.client):
        assert protocol.transport.getPeerCertificate() is None
        assert protocol.transport.negotiatedProtocol is None
        assert protocol.transport.getHandle().fileno() == -1
        assert repr(protocol.transport)


def test_an_exception_costs_the_connection(world: World, logged: Any) -> None:
    pair = Pair.plain(world).started()
    pair.talk()

    def fail(p: Recorder, data: bytes) -> None:
        raise ZeroDivisionError

    pair.server.got = fail
    pair.client.transport.write(b"boom")
    settle(world)
    assert len(logged.take(ZeroDivisionError)) == 1
    assert pair.reasons() == [[error.ConnectionLost], [error.ConnectionLost]]  # as after an abort


# -- producers ---------------------------------------------------------------------------------


class Pushing:
    """Writes lines of 1,000 bytes while it is let; remembers when it was not."""

    def __init__(self, transport: Any, lines: int) -> None:
        self.transport = transport
        self.left = [b"%0999d\n" % i for i in range(lines)][::-1]
        self.paused = False
        self.pauses = 0

    def push(self, atMost: int = 100_000) -> None:
        for _ in range(atMost):
            if self.paused or not self.left:
                break
            self.transport.write(self.left.pop())
        if not self.left and self.transport.producer is not None:
            self.transport.unregisterProducer()

    def pauseProducing(self) -> None:
        self.paused = True
        self.pauses += 1

    def resumeProducing(self) -> None:
        self.paused = False
        self.push()

    def stopProducing(self) -> None:
        self.left.clear()


def test_a_producer_that_is_paused_when_tls_begins_goes_on(world: World) -> None:
    """What it wrote before is in the clear, what comes after is not; nothing is missing."""
    pair = Pair.plain(world)
    pair.client.transport.pauseProducing()
    producer = Pushing(pair.server.transport, 2_000)
    pair.server.transport.registerProducer(producer, True)
    producer.push(1_900)
    settle(world)
    assert producer.paused
    clear = 2_000 - len(producer.left)
    pair.server.transport.startTLS(server_options())
    settle(world)
    assert producer.paused
    assert len(producer.left) == 2_000 - clear

    def got(p: Recorder, data: bytes) -> None:
        # Only what is in the clear comes before the client's hello: its end is the time for TLS.
        if len(p.data) == clear * 1_000 and not p.transport.TLS:
            p.transport.startTLS(client_options())

    pair.client.got = got
    pair.client.transport.resumeProducing()
    for _ in range(2_000):
        world.advance(0.001)
        if len(pair.client.data) == 2_000_000:
            break
    assert pair.client.data == b"".join(b"%0999d\n" % i for i in range(2_000))
    assert pair.server.transport.producer is None


def test_a_producer_of_tls_is_paused_and_resumed(world: World) -> None:
    pair = Pair.plain(world).started()
    pair.talk()
    pair.client.chunks.clear()
    pair.client.transport.pauseProducing()
    producer = Pushing(pair.server.transport, 4_000)
    pair.server.transport.registerProducer(producer, True)
    producer.push()
    settle(world)
    assert producer.paused
    assert producer.left
    pair.client.transport.resumeProducing()
    for _ in range(2_000):
        world.advance(0.001)
        if len(pair.client.data) == 4_000_000:
            break
    assert len(pair.client.data) == 4_000_000
    late = Pushing(pair.server.transport, 1)
    pair.server.transport.registerProducer(late, True)
    pair.client.transport.abortConnection()
    settle(world)
    assert not late.left
    # Whoever comes after the end is told at once.
    last = Pushing(pair.server.transport, 1)
    pair.server.transport.registerProducer(last, True)
    assert not last.left
    pair.server.transport.unregisterProducer()


# -- wrong uses --------------------------------------------------------------------------------


def test_tls_is_begun_once(world: World) -> None:
    pair = Pair.plain(world).started()
    with pytest.raises(RuntimeError, match="TLS has been started on this connection already"):
        pair.server.transport.startTLS(server_options())
    pair.talk()


def test_tls_on_a_connection_that_has_ended(world: World) -> None:
    pair = Pair.plain(world)
    pair.server.transport.abortConnection()
    settle(world)
    with pytest.raises(RuntimeError, match="the connection has ended"):
        pair.server.transport.startTLS(server_options())


def test_a_context_factory_that_fails_changes_nothing(world: World) -> None:
    """A key that is not the certificate's: OpenSSL says so, and the connection goes on in the clear."""
    pair = Pair.plain(world)
    other = authority().issue_cert(HOST).cert_chain_pems[0]
    bad = CertificateOptions(certificate().privateKey.original, Certificate.loadPEM(other.bytes()).original)
    kind = type(pair.server.transport)
    with pytest.raises(SSL.Error):
        pair.server.transport.startTLS(bad)
    assert type(pair.server.transport) is kind
    pair.talk()


def test_without_pyopenssl_the_error_says_what_to_install() -> None:
    program = """
import sys
sys.modules["OpenSSL"] = None
import xtcp_twisted.reactor.stack, xtcp_twisted.reactor.endpoints
import xtcp_twisted.reactor.tls
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "TLS takes pyOpenSSL, an extra: pip install 'xtcp_twisted[tls]'" in run.stderr


def test_echo_of_twisted_over_tls(world: World) -> None:
    """A protocol that knows nothing of this."""
    near = Recorder()
    world.stack.listenSSL(factoryOf(Echo()), server_options(), Binding(port=7))
    world.stack.connectSSL(HOST, 7, Witness(near), client_options())
    settle(world)
    near.transport.write(b"who is there?")
    settle(world)
    assert near.data == b"who is there?"
