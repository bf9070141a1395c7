"""``python -m benchmarks.inner``: what a byte costs inside the engine, without kernel and without Twisted.

Two engines, each over a memory link, in one process: one sends a stream, the other
receives it.  The least CPU time of many short runs is taken, which other programs on
the machine hardly touch; so a change of a few hundredths of a nanosecond shows.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Final

import attrs

from xtcp_twisted.config import UNLIMITED, EngineConfig, GroupOptions, MiB
from xtcp_twisted.engine import Engine
from xtcp_twisted.link.memory import MemoryLink

PORT: Final = 9
#: Of the sender and the receiver.
ADDRESSES: Final = ("192.0.2.1", "192.0.2.2")
#: Given to one `send`, bytes.
BLOCK: Final = 262_144
#: Seconds between two turns of the engines' clock.
TICK: Final = 1e-5
#: An ordinary segment, and nearly a super-segment.
MTUS: Final = (1_500, 65_535)


@attrs.define
class Cost:
    """CPU time of each step, nanoseconds for each byte of the stream."""

    #: `send`: into the transmit buffer.
    send: float = 0.0
    #: `flush` of the sender, its `poll` for the acknowledgements included: segments made, and freed.
    out: float = 0.0
    #: `poll` of the receiver: into the receive buffer.
    into: float = 0.0
    #: `recv_batch` and `done`: out of it.
    receive: float = 0.0

    @property
    def total(self) -> float:
        """All of it."""
        return self.send + self.out + self.into + self.receive


class Pair:
    """A sender and a receiver with one connection between them."""

    def __init__(self, mtu: int) -> None:
        self.now = 1.0
        self.links = (MemoryLink(mtu=mtu), MemoryLink(mtu=mtu))
        self.sender, self.receiver = (
            Engine(link, EngineConfig(addresses=(address,), max_connections=1_024))  # type: ignore[arg-type]
            for link, address in zip(self.links, ADDRESSES, strict=True)
        )
        into = self.receiver.create_pool(64 * MiB)
        self.inbox = into.open_group(PORT, options=GroupOptions(accept_credits=UNLIMITED))
        self.outbox = self.sender.create_pool(64 * MiB).open_group(PORT)
        self.cd = self.outbox.connect((ADDRESSES[1], PORT))
        for _ in range(4):
            self.tick()
            for engine in (self.sender, self.receiver):
                engine.poll(self.now)
                engine.flush(self.now)
                self.carry()

    def tick(self) -> None:
        """Time passes."""
        self.now += TICK

    def carry(self) -> None:
        """What each link has to the other; nobody's cost."""
        for link, other in (self.links, self.links[::-1]):
            for _, packet in link.take():
                other.deliver(packet)

    def transfer(self, size: int) -> Cost:
        """Send at least `size` bytes."""
        times, arrived, block = [0] * 4, 0, bytes(BLOCK)
        clock = time.process_time_ns
        while arrived < size:
            self.tick()
            begun = clock()
            self.outbox.send(self.cd, block)
            sent = clock()
            self.sender.poll(self.now)
            self.sender.flush(self.now)
            out = clock()
            self.carry()
            carried = clock()
            self.receiver.poll(self.now)
            taken = clock()
            batch = self.inbox.recv_batch(1)
            self.inbox.done(batch)
            received = clock()
            self.receiver.flush(self.now)
            self.carry()
            arrived += sum(len(data) for _, data in batch)
            for engine in (self.sender, self.receiver):
                engine.events()
            for step, spent in enumerate((sent - begun, out - sent, taken - carried, received - taken)):
                times[step] += spent
        return Cost(*(spent / arrived for spent in times))


def measure(mtu: int, size: int, repeat: int) -> Cost:
    """The least cost of each step in `repeat` transfers."""
    pair = Pair(mtu)
    costs = [attrs.astuple(pair.transfer(size)) for _ in range(repeat)]
    return Cost(*(min(step) for step in zip(*costs, strict=True)))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.inner", description="What a byte of a stream costs inside the engine."
    )
    parser.add_argument("--megabytes", type=float, default=30, help="of each transfer (30)")
    parser.add_argument(
        "--repeat", type=int, default=20, metavar="N", help="transfers, of which the best counts (20)"
    )
    options = parser.parse_args(arguments)
    print(f"{'ns per byte':12}{'send':>8}{'out':>8}{'in':>8}{'receive':>9}{'all':>8}")
    for mtu in MTUS:
        cost = measure(mtu, int(options.megabytes * 1e6), options.repeat)
        print(
            f"MTU {mtu:<8,}{cost.send:>8.3f}{cost.out:>8.3f}{cost.into:>8.3f}{cost.receive:>9.3f}"
            f"{cost.total:>8.3f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
