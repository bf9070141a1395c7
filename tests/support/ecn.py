"""Clients that speak ECN, and packets that routers have marked (RFC 3168)."""

from __future__ import annotations

from typing import Any

import pytest

from support.flight import MSS
from support.net import Net
from support.peer import Client

NOT_ECT, ECT_1, ECT_0, CE = range(4)
both = pytest.mark.parametrize("v6", [False, True], ids=["IPv4", "IPv6"])


def marked(client: Client, ecn: int, dscp: int = 0) -> dict[str, Any]:
    """Fields for `send`: the packet arrives with this ECN field."""
    return {"ip": {"tc" if ":" in client.ip else "tos": dscp << 2 | ecn}}


def ecn_client(net: Net, *, rtt: float = 0, **options: Any) -> Client:
    """A connection that the peer opened, with ECN."""
    v6 = options.pop("v6", False)
    behaviour = {name: options.pop(name) for name in ("mss", "window") if name in options}
    client = net.client(net.group(7, v6=v6, **options), **behaviour).syn_received(flags="SEC")
    net.advance(rtt)
    client.ack()
    net.turn()
    client.cd = net.take_events()[-1][2]
    assert client.group is not None
    assert client.group.info(client.cd).ecn
    return client


def sending(net: Net, segments: int, **options: Any) -> Client:
    """A connection with ECN and so many segments of 1,000 bytes in flight, the first with number 0."""
    options = {"mss": MSS, "timestamps": False, "window": 4_000_000, "congestion": "reno"} | options
    client = ecn_client(net, rtt=0.1, **options)
    send(client, segments)
    assert [len(s.data) for s in client.take()] == [MSS] * min(segments, 10)
    net.advance(0.05)
    return client


def send(client: Client, segments: int) -> None:
    assert client.group is not None
    client.group.send(client.cd, bytes(segments * MSS))
    client.net.flush()


def cwnd(client: Client) -> int:
    assert client.group is not None
    return client.group.info(client.cd).cwnd // MSS


def upto(segments: int) -> int:
    """The acknowledgement number of so many segments."""
    return 1 + segments * MSS
