"""``python -m benchmarks.messages``: what a small request costs the server's process, without kernel.

A stack and its clients, each an engine over a memory link, in one process.  Many
connections are open; a few requests at a time come on random ones of them, as in the
benchmark of whole servers, and each answer draws an acknowledgement.  What is timed is
the server's turns alone: packets in, application, packets out.  The least CPU time of
many short runs is taken, which other programs on the machine hardly touch.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from benchmarks.applications.echo import EchoFactory
from examples.echo import Echo
from xtcp_twisted.config import EngineConfig, GroupOptions, MiB
from xtcp_twisted.engine import Engine
from xtcp_twisted.link.memory import MemoryLink
from xtcp_twisted.reactor.port import Binding
from xtcp_twisted.reactor.stack import XTCPStack
from xtcp_twisted.testing import HandReactor

PORT: Final = 7
#: Of the server and of the clients.
SERVER: Final = "192.0.2.1"
CLIENTS: Final = "198.51.100.0/24"
#: Connections that are opened at a time.
WINDOW: Final = 250
#: Who answers.
APPLICATIONS: Final[dict[str, Callable[[], Any]]] = {
    "group protocol": Echo,
    "ordinary protocol": EchoFactory,
}


class Bench:
    """A server and its clients with `connections` between them.

    :param factory: makes the server's application.
    """

    def __init__(self, factory: Callable[[], Any], connections: int, size: int) -> None:
        self.request = bytes(index % 251 for index in range(size))
        self._links = MemoryLink(), MemoryLink()
        rows = 2 * connections
        self.stack = XTCPStack(
            HandReactor(),
            self._links[0],
            EngineConfig(addresses=(SERVER,), max_connections=rows),  # type: ignore[arg-type]
        )
        self.stack.createPool("benchmark", 64 * MiB)
        self.stack.reader.attach()
        self.stack.listen(factory(), Binding(port=PORT))
        config = EngineConfig(addresses=(CLIENTS,), max_connections=rows)  # type: ignore[arg-type]
        self._engine = Engine(self._links[1], config)
        self._clients = self._engine.create_pool(64 * MiB).open_group(
            0, options=GroupOptions(ack_policy="immediate", nagle=False)
        )
        self._random = random.Random(connections)
        self.cds: list[int] = []
        for number in range(0, connections, WINDOW):
            self._open(number, min(WINDOW, connections - number))

    def _open(self, number: int, count: int) -> None:
        for each in range(number, number + count):
            local = f"198.51.100.{1 + each % 250}", 1_024 + each // 250
            self.cds.append(self._clients.connect((SERVER, PORT), local))
        for _ in range(4):
            self._client_turn()
            self._server_turns()

    def _client_turn(self) -> list[tuple[int, bytes]]:
        """What the server said, and on."""
        link = self._links[1]
        answers: list[tuple[int, bytes]] = []
        while True:
            self._engine.poll(time.monotonic())
            batch = self._clients.recv_batch(len(self.cds))
            self._clients.done(batch)
            answers += batch
            self._engine.events(4 * WINDOW)
            self._engine.flush(time.monotonic())
            if not link.pending:
                break
        self._carry(link, self._links[0])
        return answers

    def _server_turns(self) -> int:
        """Every turn that it takes until nothing waits; nanoseconds of CPU time."""
        link, turn, begun = self._links[0], self.stack.reader.doRead, time.process_time_ns()
        turn()
        while link.pending:
            turn()
        spent = time.process_time_ns() - begun
        self._carry(link, self._links[1])
        return spent

    def _carry(self, link: MemoryLink, other: MemoryLink) -> None:
        for _, packet in link.take():
            other.deliver(packet)

    def exchange(self, messages: int, inflight: int) -> float:
        """Nanoseconds of CPU time that the server takes for a message.

        :raises AssertionError: an answer is missing or wrong.
        """
        spent = done = 0
        expected = inflight * len(self.request)
        while done < messages:
            for cd in self._random.sample(self.cds, inflight):
                self._clients.send(cd, self.request)
            self._client_turn()
            spent += self._server_turns()
            answers = self._client_turn()
            spent += self._server_turns()  # the acknowledgements of the answers
            if sum(len(data) for _, data in answers) != expected or any(
                not self.request.startswith(data) for _, data in answers
            ):
                raise AssertionError(f"{len(answers)} answers to {inflight} requests")
            done += inflight
        return spent / done

    def close(self) -> None:
        """End both."""
        self.stack.stop()
        self._engine.close()


def measure(name: str, connections: int, inflight: int, size: int, repeat: int) -> float:
    """The least cost of a message of `repeat` runs, nanoseconds."""
    bench = Bench(APPLICATIONS[name], connections, size)
    try:
        return min(bench.exchange(10 * inflight, inflight) for _ in range(repeat))
    finally:
        bench.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.messages",
        description="What a small request costs the server's process, without kernel.",
    )
    add = parser.add_argument
    add("--connections", type=int, default=10_000, metavar="N", help="open connections (10,000)")
    add("--inflight", type=int, default=100, metavar="N", help="requests at a time (100)")
    add("--size", type=int, default=1_024, metavar="BYTES", help="of a request and its answer (1,024)")
    add(
        "--repeat",
        type=int,
        default=100,
        metavar="N",
        help="runs of 10 times that, of which the best counts (100)",
    )
    add("--only", choices=APPLICATIONS, help="one application")
    options = parser.parse_args(arguments)
    print("ns of CPU time per message")
    for name in [options.only] if options.only else APPLICATIONS:
        cost = measure(name, options.connections, options.inflight, options.size, options.repeat)
        print(f"  {name:20}{cost:>8,.0f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
