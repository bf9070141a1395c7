"""An ordinary web site of twisted.web; nothing in it knows of XTCP.

curl http://10.77.0.2/
curl --data-binary @file http://10.77.0.2/upper
curl http://10.77.0.2/later
"""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor, task
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.web import resource, server


class Front(resource.Resource):
    """The front page."""

    def render_GET(self, request: server.Request) -> bytes:
        """Says who asked."""
        peer = request.getClientAddress()
        assert isinstance(peer, IPv4Address | IPv6Address)
        return f"Hello, {peer.host} port {peer.port}.\n".encode()


class Upper(resource.Resource):
    """Gives back what was posted, in capitals."""

    isLeaf = True

    def render_POST(self, request: server.Request) -> bytes:
        """The whole body, at once."""
        assert request.content is not None
        return bytes(request.content.read().upper())


class Later(resource.Resource):
    """Answers after 10 ms, as a page does that asks a database first."""

    isLeaf = True

    def render_GET(self, request: server.Request) -> int:
        """The acknowledgement of the request waits for the answer, too."""
        answer = task.deferLater(reactor, 0.01, request.write, b"at last\n")
        answer.addCallback(lambda _: request.finish())
        # Whoever has hung up in the meantime gets no answer.
        request.notifyFinish().addErrback(lambda _: answer.cancel())
        answer.addErrback(lambda _: None)
        return server.NOT_DONE_YET


def site() -> server.Site:
    """The factory that a configuration names."""
    pages: dict[bytes, Any] = {b"": Front, b"upper": Upper, b"later": Later}
    root = resource.Resource()
    for name, page in pages.items():
        root.putChild(name, page())
    made = server.Site(root)
    made.noisy = False
    return made
