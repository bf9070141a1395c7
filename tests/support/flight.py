"""An engine with a flight of equal segments, for tests of loss recovery."""

from __future__ import annotations

from typing import Any

from .net import Net
from .peer import Client

MSS = 1_000


def flight(net: Net, segments: int, rtt: float = 0.1, **options: Any) -> Client:
    """An engine with so many segments of 1,000 bytes in flight, and more to send behind them."""
    options.setdefault("timestamps", False)
    options.setdefault("congestion", "reno")
    group = net.group(7, **options)
    mss = MSS + 12 if options["timestamps"] else MSS
    client = net.client(group, mss=mss, timestamps=True, window=4_000_000).syn_received()
    net.advance(rtt)
    client.ack()
    net.turn()
    client.cd = net.take_events()[-1][2]
    group.send(client.cd, bytes(i % 251 for i in range(segments * MSS)))
    net.flush()
    sent = client.take()
    net.advance(rtt)
    assert [len(s.data) for s in sent] == [MSS] * len(sent)
    return client


def seqs(client: Client) -> list[int]:
    """The first bytes of what the engine sent since, in segments of the flight (0, 1, 2 ...)."""
    taken = []
    for segment in client.take():
        if segment.data:
            assert client.judge.irs is not None
            taken.append(((segment.seq - client.judge.irs) % 2**32 - 1) // MSS)
    return taken


def at(*numbers: int) -> tuple[int, int]:
    """The block of segments from the first number to the last."""
    return 1 + numbers[0] * MSS, 1 + (numbers[-1] + 1) * MSS
