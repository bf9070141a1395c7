r"""Endpoint strings: ``xtcp:5222`` for `serverFromString`, ``xtcp:192.0.2.9:80`` for `clientFromString`.

A string becomes one of the endpoints of `endpoints`, on a stack that is located
when it is used.  Parsing opens and reads nothing.  What is wrong with a string is a
`ValueError` of one sentence.

    xtcp:PORT[:INTERFACE][:pool=][:group=][:share=yes][:policy=][:priority=][:tls=DIR][:stack=]...
    xtcp:path=/run/chat.sock[:mode=660]...
    xtcp:HOST:PORT[:timeout=][:bindAddress=][:pool=][:stack=]...

Every option of a group (`GroupOptions`) is a keyword, too.  Colons of an IPv6
address are written ``\:``, as everywhere in such strings.

Knows endpoints; imported when a string is parsed, not when Twisted looks for plugins.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs
from twisted.internet import defer, interfaces
from twisted.internet.endpoints import wrapServerTLS
from twisted.internet.error import CannotListenError
from twisted.python.filepath import FilePath
from zope.interface import implementer

from xtcp_twisted.config import GroupOptions
from xtcp_twisted.errors import ConfigurationError
from xtcp_twisted.reactor.endpoints import XTCPClientEndpoint, XTCPServerEndpoint
from xtcp_twisted.reactor.interfaces import IGroupProtocol
from xtcp_twisted.reactor.locate import LocatedStack
from xtcp_twisted.reactor.settings import near
from xtcp_twisted.reactor.stack import DEFAULT

_WORDS: Final = {
    **dict.fromkeys(("yes", "true", "on", "1"), True),
    **dict.fromkeys(("no", "false", "off", "0"), False),
}

#: Options that say how requests are answered: none come to a client.
_FOR_SERVERS: Final = frozenset(("accept_credits", "accept_rate", "refuse", "syn_cookies", "fast_open"))


def parseServer(reactor: Any, args: tuple[str, ...], keywords: Mapping[str, str]) -> Any:
    """The `IStreamServerEndpoint` of the parts of a string.

    :param args: the parts without a name: port and interface.
    :raises ValueError: with a sentence.
    """
    given = _named(args, ("port", "interface"), keywords)
    parts = _Parts(given, _OPTIONS)
    port, path = parts.take("port", _port), parts.take("path", _text)
    if (port is None) == (path is None):
        raise _wrong("give either a port, as in xtcp:5222, or the path of a Unix socket, xtcp:path=FILE")
    interface = parts.take("interface", _address, "")
    share = parts.take("share", _boolean, False)
    mode = parts.take("mode", _mode, None)
    if path is not None and (interface or share):
        raise _wrong("interface and share are for ports; leave them out, or path")
    if path is None and mode is not None:
        raise _wrong("mode is for a path; leave it out, or give path=FILE in the place of the port")
    directory = parts.take("tls", _text)
    pool, name = parts.take("pool", _text), parts.take("group", _text)
    stack = parts.stack(reactor)
    endpoint = XTCPServerEndpoint(
        stack,
        port or 0,
        interface,
        pool=pool,
        name=name,
        share=share,
        path=path,
        mode=0o600 if mode is None else mode,
        options=parts.options(),
    )
    return endpoint if directory is None else TLSDirectoryEndpoint(endpoint, directory, reactor)


def parseClient(reactor: Any, args: tuple[str, ...], keywords: Mapping[str, str]) -> XTCPClientEndpoint:
    """The `IStreamClientEndpoint` of the parts of a string.

    :param args: the parts without a name: host and port.
    :raises ValueError: with a sentence.
    """
    names = ("port",) if len(args) == 1 and "host" in keywords else ("host", "port")
    given = _named(args, names, keywords)
    parts = _Parts(given, {name: kind for name, kind in _OPTIONS.items() if name not in _FOR_SERVERS})
    host, port = parts.take("host", _text), parts.take("port", _port)
    if host is None or not port:
        raise _wrong("give host and port of the server, as in xtcp:192.0.2.9:80")
    bind = parts.take("bindAddress", _address)
    timeout = parts.take("timeout", _timeout, 30.0)
    pool = parts.take("pool", _text)
    stack = parts.stack(reactor)
    return XTCPClientEndpoint(
        stack,
        host,
        port,
        timeout,
        None if bind is None else (bind, 0),
        pool=pool,
        options=parts.options(),
    )


@implementer(interfaces.IStreamServerEndpoint)
class TLSDirectoryEndpoint:
    """TLS by Twisted, over another endpoint, with the certificates of a folder.

    Each ``*.pem`` file below it may hold certificates, keys or both.  The name that a client asks for
    (SNI) chooses among them; a client that asks for none, or for another, gets the first.

    :param endpoint: what it runs over.
    :param directory: the folder; read when it listens.
    :param clock: an `IReactorTime`, by which what is written in one turn is joined.
    """

    def __init__(self, endpoint: XTCPServerEndpoint, directory: str, clock: Any) -> None:
        self._endpoint = endpoint
        self._directory = directory
        self._clock = clock

    def listen(self, protocolFactory: Any) -> defer.Deferred[Any]:
        """As `XTCPServerEndpoint.listen`; for ordinary factories only."""
        return defer.maybeDeferred(self._listen, protocolFactory)

    def _listen(self, factory: Any) -> Any:
        if IGroupProtocol.providedBy(factory):
            raise self._refused("a group protocol has no TLS; serve an ordinary factory, or leave tls out")
        return wrapServerTLS(self._certificates(), self._endpoint, self._clock).listen(factory)

    def _certificates(self) -> Any:
        try:
            # Private, but it is what Twisted's own "tls:" strings are made of.
            from twisted.protocols._sni import SNIConnectionCreator, autoReloadingDirectoryOfPEMs
        except ImportError as missing:
            raise self._refused(
                f"TLS needs the extra 'tls' ({missing}): pip install 'xtcp_twisted[tls]'"
            ) from None
        try:
            lookup = autoReloadingDirectoryOfPEMs(FilePath(self._directory))
        except Exception as error:  # of OpenSSL, cryptography or the file system
            raise self._refused(f"the certificates of {self._directory} cannot be read: {error}") from error
        if lookup(None) is None:
            raise self._refused(
                f"{self._directory} has no *.pem files with a certificate for a DNS name and its key"
            )
        return SNIConnectionCreator(lookup)

    def _refused(self, why: str) -> CannotListenError:
        binding = self._endpoint.binding
        return CannotListenError(binding.interface, binding.path or binding.port, ConfigurationError(why))


# -- the parts of a string -------------------------------------------------------------


class _Parts:
    """What a string says, to be taken piece by piece; what is left over is unknown."""

    def __init__(self, given: dict[str, str], kinds: Mapping[str, Callable[[str], Any]]) -> None:
        self._given = given
        self._kinds = kinds
        self._known: set[str] = {"stack", "policy", *kinds}

    def take(self, name: str, convert: Callable[[str], Any], default: Any = None) -> Any:
        """The value of a keyword; `default` where it is not given."""
        self._known.add(name)
        if name not in self._given:
            return default
        text = self._given.pop(name)
        try:
            return convert(text)
        except ValueError as allowed:
            raise _wrong(f"{name}: {text!r} is not allowed; give {allowed}") from None

    def stack(self, reactor: Any) -> LocatedStack:
        """Where ports and connections are opened."""
        try:
            return LocatedStack(reactor, self.take("stack", _text, DEFAULT))
        except ConfigurationError as refused:
            raise _wrong(str(refused)) from None

    def options(self) -> GroupOptions:
        """All the rest, which has to be options of the group."""
        if "policy" in self._given:
            if "ack_policy" in self._given:
                raise _wrong("policy and ack_policy are the same; give one of them")
            self._given["ack_policy"] = self._given.pop("policy")
        for name in self._given:
            if name not in self._kinds:
                hint = near(name, self._known) or f"; known are: {', '.join(sorted(self._known))}"
                raise _wrong(f"{name!r} is not known{hint}")
        values = {name: self.take(name, self._kinds[name]) for name in list(self._given)}
        try:
            return GroupOptions(**values)
        except ConfigurationError as refused:
            raise _wrong(str(refused)) from None


def _named(args: tuple[str, ...], names: tuple[str, ...], keywords: Mapping[str, str]) -> dict[str, str]:
    """All parts by name."""
    if len(args) > len(names):
        raise _wrong(
            f"{args[len(names)]!r} is one part too many: only {' and '.join(names)} go without a name;"
            " colons that belong to an address are written '\\:'"
        )
    given = dict(keywords)
    for name, text in zip(names, args, strict=False):
        if name in given:
            raise _wrong(f"{name} is given twice, as {text!r} and as {given[name]!r}")
        given[name] = text
    return given


def _wrong(sentence: str) -> ValueError:
    return ValueError(f"xtcp: {sentence}")


# Converters: their errors say what is allowed.


def _text(text: str) -> str:
    if not text:
        raise ValueError("a text")
    return text


def _integer(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]+", text):
        raise ValueError("an integer")
    return int(text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError("a number") from None


def _boolean(text: str) -> bool:
    if text.lower() not in _WORDS:
        raise ValueError("yes or no")
    return _WORDS[text.lower()]


def _port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > 65_535:
        raise ValueError("a port from 0 to 65535")
    return int(text)


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text)) if text else ""
    except ValueError:
        raise ValueError(
            "an address, such as 192.0.2.1 or, with its colons escaped, 2001\\:db8\\:\\:1"
        ) from None


def _mode(text: str) -> int:
    if not re.fullmatch(r"0?[0-7]{3}", text):
        raise ValueError("permissions in octal, such as 660")
    return int(text, 8)


def _timeout(text: str) -> float:
    seconds = _number(text)
    if not 0 < seconds < 1e9:
        raise ValueError("seconds, more than 0")
    return seconds


_CONVERTERS: Final[dict[Any, Callable[[str], Any]]] = {
    int: _integer,
    float: _number,
    bool: _boolean,
    bool | None: _boolean,
    str: str,
}
#: How the text of each option of a group is read.
_OPTIONS: Final = {
    field.name: _CONVERTERS[field.type] for field in attrs.fields(attrs.resolve_types(GroupOptions))
}
