"""Clients of TCP Fast Open: with a cookie, and with a SYN that brought data (RFC 7413)."""

from __future__ import annotations

from typing import Any

from support.net import Net
from support.peer import Client
from xtcp_twisted.config import UNLIMITED
from xtcp_twisted.engine import Group
from xtcp_twisted.engine.kinds import EventKind

REQUEST, ANSWER = b"a request", b"the answer"
END = 1 + len(REQUEST)


def served(net: Net, port: int = 7, **options: Any) -> Group:
    return net.group(port, **{"fast_open": 8, "accept_credits": UNLIMITED, **options})


def cookie_for(net: Net, group: Group, **peer: Any) -> bytes:
    """What a client that asks for a cookie is given, by an ordinary handshake that it then resets."""
    client = net.client(group, **peer)
    client.syn(cookie=b"")
    net.poll()
    if group.pending():
        group.accept()
    net.flush()
    cookie = client.expect("SA", seq=0, ack=1).cookie
    assert cookie is not None
    client.rst(seq=1)
    net.turn()
    net.take_events()
    return cookie


def opened(net: Net, group: Group, data: bytes = REQUEST, **fields: Any) -> Client:
    """A client whose SYN brought a good cookie and data; the turn's flush is still to come."""
    cookie = cookie_for(net, group)
    client = net.client(group)
    client.syn(cookie=cookie, data=data, **fields)
    net.poll()
    client.cd = net.take_events(EventKind.ESTABLISHED)[0][2]
    return client


def pending(net: Net, group: Group) -> int:
    """How many more fast opens the group takes before they are ordinary handshakes."""
    before = net.counters()["TCPFastOpenPassive"]
    cookie = cookie_for(net, group)
    for _ in range(20):
        client = net.client(group)
        client.syn(cookie=cookie)
        net.turn()
    return net.counters()["TCPFastOpenPassive"] - before
