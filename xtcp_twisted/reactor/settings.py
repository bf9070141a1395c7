"""The configuration file of ``twistd xtcp``: what may stand in it, and its checks.

TOML, one table each for ``[link]``, ``[engine]`` and, where there is to be one,
``[console]``, any number of ``[[pool]]`` and ``[[group]]``.
`xtcp_twisted.reactor.loading` reads the text and makes errors of what does not fit.
Here is what the tables are, and what must fit together across them.

Knows `xtcp_twisted.config`; opens nothing, so that a configuration can be checked
before a fork and without privileges.
"""

from __future__ import annotations

import difflib
import inspect
import ipaddress
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import attrs
from twisted.internet.interfaces import IProtocol, IProtocolFactory
from twisted.internet.protocol import Factory
from twisted.python import reflect

from xtcp_twisted.checks import one_of, seconds
from xtcp_twisted.config import LIVE, THROTTLINGS, EngineConfig, GroupOptions, PressureThresholds
from xtcp_twisted.engine.unix_path import checked
from xtcp_twisted.errors import ConfigurationError, LocalError
from xtcp_twisted.reactor.interfaces import IGroupProtocol
from xtcp_twisted.reactor.reactor_settings import ReactorSettings


def near(word: str, known: Iterable[str]) -> str:
    """A question after the word that was meant, if `word` looks like one that is known; else nothing."""
    found = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean {found[0]!r}?" if found else ""


def _check(allowed: str, test: Callable[[Any], bool]) -> Any:
    """An attrs validator whose error names the key and says what is allowed."""

    def validate(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        try:
            good = test(value)
        except (TypeError, ValueError):
            good = False
        if not good:
            raise ConfigurationError(f"{attribute.name}: {value!r} is not allowed; give {allowed}")

    return validate


def _integer(low: int, high: int) -> Any:
    return _check(
        f"an integer from {low:,} to {high:,}",
        lambda v: isinstance(v, int) and not isinstance(v, bool) and low <= v <= high,
    )


#: Addresses that stand for all of the engine's, or all of one family.
_WILD = ("", "0.0.0.0", "::")

_BOOLEAN = _check("true or false", lambda v: isinstance(v, bool))
_NAME = _check("a name without spaces", lambda v: bool(re.fullmatch(r"\S+", v)))
_TEXT = _check("a text", lambda v: isinstance(v, str) and v != "")
_OPTIONAL_TEXT = _check("a text", lambda v: v is None or (isinstance(v, str) and v != ""))


def _isSocketPath(value: Any) -> bool:
    try:
        return value is None or bool(checked(value))
    except LocalError:
        return False


@attrs.frozen(kw_only=True)
class LinkSettings:
    """``[link]``: where packets come from and go to."""

    #: "tun" is a TUN device; "memory" leads nowhere and is for trying a configuration.
    kind: str = attrs.field(
        default="tun", validator=_check("one of 'tun', 'memory'", lambda v: v in ("tun", "memory"))
    )
    #: The device.
    name: str = attrs.field(
        default="xtcp0",
        validator=_check(
            "a device name of 1 to 15 characters without '/' and spaces",
            lambda v: bool(re.fullmatch(r"[^/\s]{1,15}", v)),
        ),
    )
    #: Addresses of the host's side, with their prefix length: "10.77.0.1/16".
    addresses: tuple[str, ...] = attrs.field(
        default=(),
        validator=_check(
            "addresses of the host's side with a prefix length, such as '10.77.0.1/16'",
            lambda v: all("/" in a and bool(ipaddress.ip_interface(a)) for a in v),
        ),
    )
    #: Largest packet, bytes.
    mtu: int = attrs.field(default=1_500, validator=_integer(576, 65_535))
    #: Network namespace of the device: a name of ``ip netns`` or a path; the process's own without it.
    namespace: str | None = attrs.field(default=None, validator=_OPTIONAL_TEXT)
    #: User (name or number) who may open a persistent device later.
    owner: str | int | None = attrs.field(
        default=None,
        validator=_check("a user's name or number", lambda v: v is None or isinstance(v, str | int)),
    )
    #: Packets that the device holds for the engine.
    queue_length: int = attrs.field(default=10_000, validator=_integer(1, 1_000_000))
    #: Leave checksums and segmentation to the kernel, both ways: much faster for bulk data.
    offload: bool = attrs.field(default=False, validator=_BOOLEAN)
    #: Let several packets leave by one system call, where kernel and container allow it to this process; else
    #: they leave one by one.
    io_uring: bool = attrs.field(default=True, validator=_BOOLEAN)
    #: File that gets a copy of every packet (pcapng); none without it.
    capture: str | None = attrs.field(default=None, validator=_OPTIONAL_TEXT)


@attrs.frozen(kw_only=True)
class PoolSettings:
    """``[[pool]]``: a connection pool and its receive buffer (P01)."""

    #: What groups call it.
    name: str = attrs.field(validator=_NAME)
    #: Its size in bytes, or a text such as "64 MiB".
    receive_buffer: int = attrs.field(
        default=64 << 20, validator=_check("a size of at least 64 KiB", lambda v: v >= 64 << 10)
    )
    #: ``[pool.pressure]``: where the buffer's pressure states begin.
    pressure: PressureThresholds = attrs.field(factory=PressureThresholds)
    #: What pressure does to received packets: `withhold` lets acknowledgements wait while the pool is
    #: withholding (variant 1), `discard` discards the payload of who holds data while it is discarding
    #: (variant 2), `both` does each in its time (P28, P29).  Acknowledgements that come are always processed
    #: (variant 3).
    throttling: str = attrs.field(default="both", validator=one_of(*THROTTLINGS), metadata=LIVE)


@attrs.frozen(kw_only=True)
class GroupSettings:
    """``[[group]]``: a port, or the path of a Unix socket, and who serves it (P03)."""

    #: What snapshots, the console and errors call it.
    name: str = attrs.field(validator=_NAME)
    #: Where it listens; either this or `path`.
    port: int | None = attrs.field(
        default=None,
        validator=_check(
            "an integer from 1 to 65,535",
            lambda v: v is None or (isinstance(v, int) and not isinstance(v, bool) and 1 <= v <= 65_535),
        ),
    )
    #: The path of a Unix socket, for clients on this machine (P31); its `peer` is their own path, mostly "".
    path: str | None = attrs.field(
        default=None, validator=_check("the path of a socket, of at most 107 bytes", _isSocketPath)
    )
    #: Permissions of that file: who may write to it may connect.
    mode: int = attrs.field(
        default=0o600,
        validator=_check(
            "permissions such as 0o660",
            lambda v: isinstance(v, int) and not isinstance(v, bool) and 0 <= v <= 0o777,
        ),
    )
    #: The pool's name; the first pool without it.
    pool: str | None = attrs.field(default=None, validator=_OPTIONAL_TEXT)
    #: One of the engine's addresses; "" is all of them, "0.0.0.0" all of IPv4, "::" all of IPv6.
    address: str = attrs.field(
        default="",
        validator=_check(
            "an address of the engine, '' for all, '0.0.0.0' for all of IPv4 or '::' for all of IPv6",
            lambda v: v == "" or bool(ipaddress.ip_address(str(v))),
        ),
    )
    #: Let other groups that say so too have the same port (P06): each is offered the requests, the first to
    #: accept one takes it.
    share: bool = attrs.field(default=False, validator=_BOOLEAN)
    #: Dotted name of a callable that makes an `IProtocolFactory` or an `IGroupProtocol`.
    factory: str | None = attrs.field(default=None, validator=_OPTIONAL_TEXT)
    #: Dotted name of a `Protocol` class, or of an `IGroupProtocol` class.
    protocol: str | None = attrs.field(default=None, validator=_OPTIONAL_TEXT)
    #: Keyword arguments for it.
    arguments: dict[str, Any] = attrs.field(
        factory=dict, validator=_check("a table of keyword arguments", lambda v: isinstance(v, dict))
    )
    options: GroupOptions = attrs.field(factory=GroupOptions)

    def __attrs_post_init__(self) -> None:
        if (self.factory is None) == (self.protocol is None):
            raise ConfigurationError("give either factory or protocol, the dotted name of who serves it")
        if (self.port is None) == (self.path is None):
            raise ConfigurationError("give either port or path, where it listens")
        if self.path is not None and (self.address or self.share):
            raise ConfigurationError("path: address and share are for ports; leave them out")

    def load(self) -> Callable[..., Any]:
        """Import the factory or protocol and see that it takes the arguments.

        :raises ConfigurationError: it does not import, or does not fit; the text says why.
        """
        key, name = ("factory", self.factory) if self.factory else ("protocol", self.protocol)
        made = _import(key, str(name))
        if not callable(made):
            raise ConfigurationError(f"{key}: {name} is not callable")
        if key == "protocol" and not (IGroupProtocol.implementedBy(made) or IProtocol.implementedBy(made)):
            raise ConfigurationError(f"{key}: {name} is neither a Protocol nor a group protocol class")
        try:
            inspect.signature(made).bind(**self.arguments)
        except TypeError as refused:
            raise ConfigurationError(f"arguments: {name} does not take them: {refused}") from None
        except ValueError:
            pass  # a callable of C without a signature
        return cast(Callable[..., Any], made)

    def build(self) -> Any:
        """Make what serves the group: an `IGroupProtocol` or an `IProtocolFactory`.

        :raises ConfigurationError: what the dotted name makes is neither.
        """
        made = self.load()
        if self.protocol is not None and not IGroupProtocol.implementedBy(made):
            factory = Factory()
            factory.protocol = lambda: made(**self.arguments)
            return factory
        server = made(**self.arguments)
        if not (IGroupProtocol.providedBy(server) or IProtocolFactory.providedBy(server)):
            raise ConfigurationError(
                f"{self.factory or self.protocol} made a {type(server).__name__}, which is neither a"
                " protocol factory nor a group protocol"
            )
        return server


def _import(key: str, name: str) -> Any:
    """Whatever the dotted name means.

    Application code runs when it is imported, so anything may be raised.
    """
    try:
        return reflect.namedAny(name)
    except AttributeError as missing:
        owner, _, last = name.rpartition(".")
        try:
            hint = near(last, dir(reflect.namedAny(owner)))
        except Exception:  # noqa: BLE001  # as below
            hint = ""
        raise ConfigurationError(f"{key}: {name} does not import: {missing}{hint}") from missing
    except Exception as raised:
        why = f"{type(raised).__name__}: {raised}"
        raise ConfigurationError(f"{key}: {name} does not import: {why}") from raised


@attrs.frozen(kw_only=True)
class ConsoleSettings:
    """``[console]``: the pages that show the engine in a browser; they need the extra ``console``."""

    #: False: the table stands there, but there is no console.
    enabled: bool = attrs.field(default=True, validator=_BOOLEAN)
    #: Where it listens.
    address: str = attrs.field(
        default="127.0.0.1",
        validator=_check(
            "a loopback address, '127.0.0.1' or '::1': the console has no TLS, so what is typed into it"
            " must not leave this machine; from elsewhere reach it through a tunnel"
            " (ssh -L 8088:127.0.0.1:8088 HOST)",
            lambda v: isinstance(v, str) and "%" not in v and ipaddress.ip_address(v).is_loopback,
        ),
    )
    #: 0 takes any free one; the log says which.
    port: int = attrs.field(default=8088, validator=_integer(0, 65_535))
    #: File with the token that opens the console, made if there is none;
    #: ~/.local/state/xtcp/console-token without it.
    token_file: str | None = attrs.field(default=None, validator=_OPTIONAL_TEXT)
    #: Further names under which browsers may ask for it, as through a tunnel: "name" or "name:port".
    hosts: tuple[str, ...] = attrs.field(
        default=(),
        validator=_check(
            "names such as 'console.example' or 'console.example:9000'",
            lambda v: all(re.fullmatch(r"[A-Za-z0-9.-]+(:\d{1,5})?", host) for host in v),
        ),
    )

    @property
    def token_path(self) -> Path:
        """The file of the token: `token_file`, or the user's own one."""
        if self.token_file is not None:
            return Path(self.token_file)
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
        return Path(state, "xtcp/console-token")

    @property
    def place(self) -> str:
        """Address and port as in a URL."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    def moved(self, place: str) -> ConsoleSettings:
        """The same console, switched on, at "ADDRESS:PORT" or "PORT".

        :raises ConfigurationError: `place` is neither, or not allowed.
        """
        address, _, port = place.rpartition(":")
        if not port.isdecimal():
            raise ConfigurationError(
                f"{place!r} is not allowed; give ADDRESS:PORT or PORT, such as 127.0.0.1:8088"
            )
        address = address.removeprefix("[").removesuffix("]") or self.address
        return attrs.evolve(self, enabled=True, address=address, port=int(port))


@attrs.frozen(kw_only=True)
class ServiceSettings:
    """``[service]``: how ``twistd xtcp`` runs and ends."""

    #: How long a server that is to end (SIGTERM) goes on with what is in flight: new connections are refused,
    #: and each is closed as soon as all that came is answered, acknowledged and sent.  A second signal ends
    #: it at once, as 0 does.
    drain_s: float = attrs.field(default=10.0, validator=seconds(0.001, 86_400, zero="to end at once"))
    #: Whether Python's garbage collector is kept away from what lives long, so that it never stops the server
    #: to look at all its connections; see architecture.md. false leaves the collector of the process alone.
    freeze: bool = attrs.field(default=True, validator=_BOOLEAN)
    #: Whether the process ends, with status 1, when somebody takes the device away, so that a supervisor
    #: starts it again. With false it lives on and serves nobody, and its console says why.
    end_without_device: bool = attrs.field(default=True, validator=_BOOLEAN)


@attrs.frozen(kw_only=True)
class Settings:
    """A whole configuration file."""

    link: LinkSettings = attrs.field(factory=LinkSettings)
    engine: EngineConfig
    pool: tuple[PoolSettings, ...] = ()
    group: tuple[GroupSettings, ...] = ()
    console: ConsoleSettings | None = None
    service: ServiceSettings = attrs.field(factory=ServiceSettings)
    reactor: ReactorSettings = attrs.field(factory=ReactorSettings)

    def problems(self, *, groups: bool = True) -> Iterator[str]:
        """What does not fit together, one text each; imports what the groups name.

        :param groups: whether there has to be a group.
        """
        yield from self._addressProblems()
        if not self.pool:
            yield "pool: give at least one [[pool]]"
        if groups and not self.group:
            yield "group: give at least one [[group]]"
        yield from self._poolProblems("reactor.pool", self.reactor.pool)
        yield from _twice("pool", [pool.name for pool in self.pool])
        yield from _twice("group", [group.name for group in self.group])
        for i, group in enumerate(self.group):
            for problem in self._groupProblems(i, group):
                yield f"group[{i}].{problem}"

    def _networks(self) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        found = []
        for text in self.engine.addresses:
            try:
                found.append(ipaddress.ip_network(text, strict=False))
            except ValueError:
                continue  # reported by _addressProblems
        return found

    def _addressProblems(self) -> Iterator[str]:
        for i, text in enumerate(self.engine.addresses):
            try:
                ipaddress.ip_network(text, strict=False)
            except ValueError:
                yield (
                    f"engine.addresses[{i}]: {text!r} is not allowed; give an IPv4 or IPv6 address"
                    " or prefix, such as '192.0.2.1' or '2001:db8::/64'"
                )
        for i, text in enumerate(self.link.addresses):
            host = ipaddress.ip_interface(text).ip
            for network in self._networks():
                if host in network:
                    yield (
                        f"link.addresses[{i}]: {text!r} is the host's, but the engine answers for it,"
                        f" too (engine.addresses: {network}); give each its own"
                    )

    def _poolProblems(self, key: str, name: str | None) -> Iterator[str]:
        pools = [pool.name for pool in self.pool]
        if name is not None and name not in pools:
            have = ", ".join(map(repr, pools)) or "none"
            yield f"{key}: no pool is called {name!r}; there are: {have}{near(name, pools)}"

    def _groupProblems(self, i: int, group: GroupSettings) -> Iterator[str]:
        yield from self._poolProblems("pool", group.pool)
        if group.address not in _WILD:
            address = ipaddress.ip_address(group.address)
            if not any(address in network for network in self._networks()):
                yield f"address: {group.address} is not the engine's; give an address of engine.addresses"
        for other in self.group[:i]:
            if group.path is not None and other.path is not None and _samePath(group.path, other.path):
                yield f"path: {group.path} is taken by the group {other.name!r}; give another path"
            if _collide(group, other):
                yield (
                    f"port: {group.port} is taken by the group {other.name!r}; give another port or"
                    " address, or share = true to both"
                )
        try:
            group.load()
        except ConfigurationError as error:
            yield str(error)


def _collide(one: GroupSettings, other: GroupSettings) -> bool:
    """Whether both want the same port of the same address and one of them will not share it."""
    if one.port is None or one.port != other.port or (one.share and other.share):
        return False
    if "" in (one.address, other.address):
        return True
    this, that = ipaddress.ip_address(one.address), ipaddress.ip_address(other.address)
    return this == that or (this.version == that.version and (this.is_unspecified or that.is_unspecified))


def _samePath(one: str, other: str) -> bool:
    return checked(one) == checked(other)


def _twice(key: str, names: list[str]) -> Iterator[str]:
    for i, name in enumerate(names):
        if name in names[:i]:
            yield f"{key}[{i}].name: {name!r} is taken by {key}[{names.index(name)}]; give another"
