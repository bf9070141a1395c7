"""What Twisted finds of this package; kept light, since it is run at every look-up."""

from __future__ import annotations

from typing import Any

from twisted.application.reactors import Reactor
from twisted.application.service import ServiceMaker
from twisted.internet import interfaces
from twisted.plugin import IPlugin
from zope.interface import implementer

xtcpService = ServiceMaker(
    "XTCP",
    "xtcp_twisted.tap",
    "Serve very many TCP connections from user space, through a TUN device.",
    "xtcp",
)


@implementer(IPlugin, interfaces.IStreamServerEndpointStringParser)
class _ServerStrings:
    """``xtcp:5222`` and the like; see `xtcp_twisted.reactor.strings`."""

    prefix = "xtcp"

    def parseStreamServer(self, reactor: Any, /, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]  # any word may be a keyword
        from xtcp_twisted.reactor.strings import parseServer

        return parseServer(reactor, args, kwargs)


@implementer(IPlugin, interfaces.IStreamClientEndpointStringParserWithReactor)
class _ClientStrings:
    """``xtcp:192.0.2.9:80`` and the like."""

    prefix = "xtcp"

    def parseStreamClient(self, reactor: Any, /, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]  # as above
        from xtcp_twisted.reactor.strings import parseClient

        return parseClient(reactor, args, kwargs)


xtcpServerStrings = _ServerStrings()
xtcpClientStrings = _ClientStrings()

xtcpReactor = Reactor(
    "xtcp",
    "xtcp_twisted.reactor.installed",
    "epoll(7), with TCP from user space through the XTCP stack of the configuration.",
)
