"""Connections of strangers, made fast: no judge watches them, and nobody answers for them."""

from __future__ import annotations

from .crafted import ACK, craft, numbers, packed
from .net import V4, Net


def connect(net: Net, source: bytes, sport: int, port: int = 7, window: int = 65_535) -> tuple[int, int]:
    """(id, the engine's ISS) of a new connection to a group with accept credits.

    The peer's next number is 1, its window `window`; nothing else may happen in the engine meanwhile.
    """
    here = packed(V4)
    net.link.deliver(craft(source, here, sport, port, 0))
    net.engine.poll(net.now)
    net.engine.flush(net.now)
    [(_, raw)] = net.link.take()
    iss = numbers(raw)[1]
    net.link.deliver(craft(source, here, sport, port, 1, iss + 1, ACK, window=window))
    net.engine.poll(net.now)
    [(_, _, cd, _)] = net.engine.events()
    return cd, iss
