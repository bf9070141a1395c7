"""The stack that an endpoint string or a reactor needs: the one that runs, else one that is started.

A stack is named, and known by its name in the reactor that drives it (`stackFor`).
Where none of that name runs, the configuration of the process says what it is:
``$XTCP_CONFIG``, ``./xtcp.toml`` or ``/etc/xtcp/xtcp.toml``; ``./xtcp-NAME.toml`` or
``/etc/xtcp/xtcp-NAME.toml`` for one that is called NAME.  Link, engine and pools come
from there.  Its groups and its console belong to ``twistd xtcp``: whoever locates a
stack brings the application itself.

Nothing is read or opened before a port or a connection is: strings are parsed
before a daemon forks.  The reactor's shutdown ends a stack that was started here: for a string in order, so
that what is in flight is finished first; for a reactor at once, as it does sockets.

Knows configuration files and stacks; must not know endpoints or services.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Final

from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from xtcp_twisted.config import GroupOptions
from xtcp_twisted.errors import ConfigurationError, XTCPError
from xtcp_twisted.reactor.client import XTCPConnector
from xtcp_twisted.reactor.loading import PLACES, SettingsError, load
from xtcp_twisted.reactor.opening import openStack
from xtcp_twisted.reactor.port import Binding, ListeningGroup
from xtcp_twisted.reactor.stack import DEFAULT, XTCPStack, running

_OPTIONS: Final = GroupOptions()
_log = Logger()


def locate(reactor: Any, name: str = DEFAULT, *, finish: bool = True) -> XTCPStack:
    """The stack of this name that the reactor drives; it is started if there is none.

    :param finish: whether the reactor's shutdown lets what is in flight finish, should it be started here;
        else it ends at once, as sockets do.
    :raises ConfigurationError: there is no configuration to start one from, or it is refused.
    :raises XTCPError: its link cannot be opened.
    """
    stack = running(reactor, name)
    if stack is not None:
        return stack
    path = configuration(name)
    try:
        settings = load(path, groups=False)
    except SettingsError as refused:
        raise ConfigurationError(
            f"the configuration of the XTCP stack {name!r} is refused:\n  " + "\n  ".join(refused.problems)
        ) from None
    stack = openStack(reactor, settings, name)
    if finish:
        stack.finishAtShutdown(settings.service.drain_s)
    # In its first turn: the first that is logged of a port that opens is its own line, as of every port.
    stack.reader.later(_tell, name, path, settings.engine.addresses)
    return stack


def _tell(name: str, path: str, addresses: tuple[str, ...]) -> None:
    _log.info(
        "XTCP stack {name!r} runs as {path} says, without its groups and console; it answers for {addresses}",
        name=name,
        path=path,
        addresses=", ".join(addresses),
    )


class LocatedStack:
    """A stack by its name, located whenever it is used.

    :param reactor: the reactor that drives it.
    :raises ConfigurationError: the name is none.
    """

    def __init__(self, reactor: Any, name: str = DEFAULT) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
            raise ConfigurationError(
                f"stack: {name!r} is not allowed; give a name of letters, digits, '_' and '-'"
            )
        self._reactor = reactor
        self._name = name

    def listen(self, factory: Any, binding: Binding, pool: str | None = None) -> ListeningGroup:
        """As `XTCPStack.listen`.

        :raises CannotListenError: there is no such stack, or none can be started, too.
        """
        try:
            return locate(self._reactor, self._name).listen(factory, binding, pool)
        except XTCPError as error:
            raise CannotListenError(binding.interface, binding.path or binding.port, error) from error

    def connect(
        self,
        host: str,
        port: int,
        factory: Any,
        timeout: float | None = 30,
        bindAddress: tuple[str, int] | None = None,
        *,
        pool: str | None = None,
        options: GroupOptions = _OPTIONS,
    ) -> XTCPConnector:
        """As `XTCPStack.connect`.

        :raises XTCPError: there is no such stack, or none can be started, too.
        """
        stack = locate(self._reactor, self._name)
        return stack.connect(host, port, factory, timeout, bindAddress, pool=pool, options=options)


# -- the configuration -----------------------------------------------------------------


def configuration(name: str) -> str:
    """The file that says what the stack is.

    :raises ConfigurationError: there is none; the text says where it may be and what stands in it.
    """
    looked = []
    if name == DEFAULT:
        named = os.environ.get("XTCP_CONFIG")
        if named:
            return named
        looked.append("$XTCP_CONFIG is not set")
    for place in PLACES:
        path = place if name == DEFAULT else f"{place.removesuffix('.toml')}-{name}.toml"
        if Path(path).exists():
            return path
        looked.append(f"{Path(path).absolute()} does not exist")
    raise ConfigurationError(_nothing(name, looked))


def _nothing(name: str, looked: list[str]) -> str:
    return (
        f"no XTCP stack called {name!r} runs in this reactor, and there is no configuration to start one"
        f" from: {'; '.join(looked)}. Write one, of at least\n"
        "    [link]\n"
        '    addresses = ["10.77.0.1/16"]\n'
        "    [engine]\n"
        '    addresses = ["10.77.0.2"]\n'
        "    [[pool]]\n"
        '    name = "main"\n'
        "where link.addresses is the host's side of the TUN device and engine.addresses what XTCP answers for"
        " (docs/options.md has every key); or start a stack by XTCPStack(...).start() or an XTCPService;"
        " or let 'twistd xtcp' run the application, as a [[group]] of its configuration"
    )
