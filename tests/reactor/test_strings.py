"""What may stand in an endpoint string, and what is said of what may not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import interfaces
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import ClientFactory, Factory
from twisted.plugin import getPlugins
from zope.interface.verify import verifyObject

from tests.reactor.conftest import Logged
from tests.reactor.located import configured
from tests.reactor.world import HandReactor
from xtcp_twisted.config import GroupOptions
from xtcp_twisted.reactor.endpoints import XTCPClientEndpoint, XTCPServerEndpoint
from xtcp_twisted.reactor.groups import GroupProtocol
from xtcp_twisted.reactor.port import Binding, ListeningGroup
from xtcp_twisted.reactor.stack import stackFor


@pytest.fixture
def reactor(logged: Logged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HandReactor]:
    """A configuration lies there; nothing has been started from it."""
    monkeypatch.setenv("XTCP_CONFIG", str(configured(tmp_path)))
    made = HandReactor()
    yield made
    made.fireShutdown()


def binding(text: str) -> Binding:
    endpoint = serverFromString(HandReactor(), text)
    assert isinstance(endpoint, XTCPServerEndpoint)
    return endpoint.binding


# -- the parsers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "interface",
    [
        interfaces.IStreamServerEndpointStringParser,
        interfaces.IStreamClientEndpointStringParserWithReactor,
    ],
)
def test_the_parsers_are_found(interface: Any) -> None:
    (parser,) = [found for found in getPlugins(interface) if found.prefix == "xtcp"]
    verifyObject(interface, parser)


def test_parsing_opens_nothing(reactor: HandReactor) -> None:
    serverFromString(reactor, "xtcp:5222")
    serverFromString(reactor, "xtcp:443:tls=/no/such/folder")
    clientFromString(reactor, "xtcp:192.0.2.9:80")
    assert reactor.readers == [] and reactor.triggers == []


# -- servers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, expected",
    [
        ("xtcp:5222", Binding(port=5222)),
        ("xtcp:port=5222", Binding(port=5222)),
        ("xtcp:0", Binding(port=0)),
        ("xtcp:80:192.0.2.1", Binding(port=80, interface="192.0.2.1")),
        (
            "xtcp:443:interface=192.0.2.1:pool=web:group=site",
            Binding(port=443, interface="192.0.2.1", name="site"),
        ),
        (r"xtcp:443:interface=2001\:db8\:\:1", Binding(port=443, interface="2001:db8::1")),
        (r"xtcp:443:interface=\:\:", Binding(port=443, interface="::")),
        ("xtcp:443:interface=", Binding(port=443)),
        ("xtcp:7:share=yes", Binding(port=7, share=True)),
        ("xtcp:7:share=off", Binding(port=7)),
        ("xtcp:path=/run/chat.sock:mode=660", Binding(path="/run/chat.sock", mode=0o660)),
        ("xtcp:path=/run/chat.sock", Binding(path="/run/chat.sock")),
        (
            "xtcp:7:policy=application:priority=high",
            Binding(port=7, options=GroupOptions(ack_policy="application", priority="high")),
        ),
        (
            "xtcp:7:keepalive_s=300:nagle=no:accept_credits=9:accept_rate=0.5:sack=off",
            Binding(
                port=7,
                options=GroupOptions(
                    keepalive_s=300.0, nagle=False, accept_credits=9, accept_rate=0.5, sack=False
                ),
            ),
        ),
    ],
)
def test_a_server_string_says_where_and_how(text: str, expected: Binding) -> None:
    assert binding(text) == expected


@pytest.mark.parametrize("name", sorted(GroupOptions.__annotations__))
def test_every_option_of_a_group_may_be_given(name: str) -> None:
    value = getattr(GroupOptions(), name)
    text = "no" if value is None else str(value)
    given = getattr(binding(f"xtcp:7:{name}={text}").options, name)
    assert given == (False if value is None else value)
    assert type(given) is (bool if value is None else type(value))


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("xtcp", "give either a port, as in xtcp:5222, or the path"),
        ("xtcp:7:path=/run/x", "give either a port, as in xtcp:5222, or the path"),
        ("xtcp:http", "port: 'http' is not allowed; give a port from 0 to 65535"),
        ("xtcp:65536", "port: '65536' is not allowed"),
        ("xtcp:-1", "port: '-1' is not allowed"),
        ("xtcp:7:port=8", "port is given twice, as '7' and as '8'"),
        ("xtcp:7:intrface=192.0.2.1", "'intrface' is not known; did you mean 'interface'?"),
        ("xtcp:7:reactor=x", "'reactor' is not known"),
        ("xtcp:7:backlog=50", "'backlog' is not known"),
        ("xtcp:7:host=x", "'host' is not known"),
        ("xtcp:7:interface=eth0", "interface: 'eth0' is not allowed; give an address"),
        (
            "xtcp:7:interface=2001:db8::1",
            "'' is one part too many: only port and interface go without a name; colons",
        ),
        ("xtcp:7:192.0.2.1:50", "'50' is one part too many"),
        ("xtcp:7:share=perhaps", "share: 'perhaps' is not allowed; give yes or no"),
        ("xtcp:7:mode=660", "mode is for a path"),
        ("xtcp:path=/x:mode=rw", "mode: 'rw' is not allowed; give permissions in octal"),
        ("xtcp:path=/x:interface=192.0.2.1", "interface and share are for ports"),
        ("xtcp:path=/x:share=yes", "interface and share are for ports"),
        ("xtcp:path=", "path: '' is not allowed; give a text"),
        ("xtcp:7:policy=never", "ack_policy: 'never' is not allowed; give one of"),
        ("xtcp:7:policy=bounded:ack_policy=bounded", "policy and ack_policy are the same"),
        ("xtcp:7:weight=heavy", "weight: 'heavy' is not allowed; give an integer"),
        ("xtcp:7:weight=65", "weight: 65 is not allowed; give an integer from 1 to 64"),
        ("xtcp:7:accept_rate=fast", "accept_rate: 'fast' is not allowed; give a number"),
        ("xtcp:7:accept_rate=nan", "accept_rate: nan is not allowed"),
        ("xtcp:7:stack=../x", "stack: '../x' is not allowed; give a name of letters"),
    ],
)
def test_what_is_wrong_with_a_server_string_is_said(text: str, sentence: str) -> None:
    with pytest.raises(ValueError) as refused:
        serverFromString(HandReactor(), text)
    assert str(refused.value).startswith(f"xtcp: {sentence}")


def test_it_listens_in_the_pool_and_group_that_it_names(reactor: HandReactor) -> None:
    port = listening(reactor, "xtcp:443:interface=192.0.2.1:pool=web:group=site:priority=low", Factory())
    assert (port.getHost().host, port.getHost().port) == ("192.0.2.1", 443)
    assert groups(reactor) == [("web", "site")]
    assert port.group.options.priority == "low"


def test_a_group_protocol_is_served_as_well(reactor: HandReactor) -> None:
    protocol = GroupProtocol()
    listening(reactor, "xtcp:5222", protocol)
    assert protocol.group.port == 5222


def test_stacks_are_told_apart_by_name(
    reactor: HandReactor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured(tmp_path, "xtcp-blue.toml")
    monkeypatch.chdir(tmp_path)
    for text in ("xtcp:7", "xtcp:7:stack=blue"):
        listening(reactor, text, Factory())
    assert stackFor(reactor, "blue") is not stackFor(reactor)


def groups(reactor: HandReactor) -> list[tuple[str, str]]:
    """All groups, after their pools."""
    pools = stackFor(reactor).engine.snapshot().pools
    return [(pool.name, group.name) for pool in pools for group in pool.groups]


def listening(reactor: HandReactor, text: str, factory: Any) -> ListeningGroup:
    found: list[Any] = []
    serverFromString(reactor, text).listen(factory).addBoth(found.append)
    assert isinstance(found[0], ListeningGroup), found
    return found[0]


def refusal(reactor: HandReactor, text: str, factory: Any) -> str:
    """Why nobody listens."""
    found: list[Any] = []
    serverFromString(reactor, text).listen(factory).addErrback(found.append)
    return str(found[0].trap(CannotListenError) and found[0].value)


def test_tls_wants_certificates_when_it_listens(reactor: HandReactor, tmp_path: Path, logged: Logged) -> None:
    (tmp_path / "empty").mkdir()
    assert "has no *.pem files with a certificate" in refusal(
        reactor, f"xtcp:443:tls={tmp_path}/empty", Factory()
    )
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/bad.pem").write_text("-----BEGIN CERTIFICATE-----\nnone\n", "ascii")
    assert "cannot be read" in refusal(reactor, f"xtcp:443:tls={tmp_path}/bad", Factory())
    assert "a group protocol has no TLS" in refusal(reactor, f"xtcp:443:tls={tmp_path}", GroupProtocol())
    assert reactor.readers == []


# -- clients -------------------------------------------------------------------------------------

Place = tuple[str, int, float, tuple[str, int] | None]


@pytest.mark.parametrize(
    "text, place",
    [
        ("xtcp:192.0.2.9:80", ("192.0.2.9", 80, 30.0, None)),
        ("xtcp:host=192.0.2.9:port=80:timeout=5", ("192.0.2.9", 80, 5.0, None)),
        ("xtcp:80:host=192.0.2.9", ("192.0.2.9", 80, 30.0, None)),
        (r"xtcp:2001\:db8\:\:9:80:timeout=0.5", ("2001:db8::9", 80, 0.5, None)),
        ("xtcp:server.example:80:bindAddress=192.0.2.1", ("server.example", 80, 30.0, ("192.0.2.1", 0))),
    ],
)
def test_a_client_string_says_where_to(text: str, place: Place) -> None:
    endpoint = clientFromString(HandReactor(), text)
    assert isinstance(endpoint, XTCPClientEndpoint)
    assert (*endpoint.place, endpoint.timeout, endpoint.bindAddress) == place


def test_a_client_string_has_pool_and_options(reactor: HandReactor) -> None:
    text = "xtcp:192.0.2.9:80:pool=web:dscp=46:ecn=on"
    clientFromString(reactor, text).connect(ClientFactory()).addErrback(lambda _: None)
    assert groups(reactor) == [("web", "web:outgoing")]


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("xtcp:192.0.2.9", "give host and port of the server"),
        ("xtcp:port=80", "give host and port of the server"),
        ("xtcp:192.0.2.9:0", "give host and port of the server"),
        ("xtcp::80", "host: '' is not allowed; give a text"),
        ("xtcp:192.0.2.9:80:90", "'90' is one part too many: only host and port go without a name"),
        ("xtcp:192.0.2.9:80:timeout=0", "timeout: '0' is not allowed; give seconds, more than 0"),
        ("xtcp:192.0.2.9:80:timeout=nan", "timeout: 'nan' is not allowed; give seconds, more than 0"),
        ("xtcp:192.0.2.9:80:timeout=soon", "timeout: 'soon' is not allowed; give a number"),
        ("xtcp:192.0.2.9:80:bindAdress=192.0.2.1", "'bindAdress' is not known; did you mean 'bindAddress'?"),
        ("xtcp:192.0.2.9:80:bindAddress=here", "bindAddress: 'here' is not allowed; give an address"),
        ("xtcp:192.0.2.9:80:accept_credits=5", "'accept_credits' is not known"),
        ("xtcp:192.0.2.9:80:group=site", "'group' is not known"),
    ],
)
def test_what_is_wrong_with_a_client_string_is_said(text: str, sentence: str) -> None:
    with pytest.raises(ValueError) as refused:
        clientFromString(HandReactor(), text)
    assert str(refused.value).startswith(f"xtcp: {sentence}")
