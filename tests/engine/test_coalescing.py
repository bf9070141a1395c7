"""`coalesce_us`: the link's descriptor rests after a turn that had packets, and a timer makes the next one.

On a TUN device and on real time, since the descriptor is the kernel's.  Nothing here depends on how
fast the machine is: that something does not happen early is asserted only if it is early yet.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from xtcp_twisted.config import EngineConfig
from xtcp_twisted.engine import Engine
from xtcp_twisted.errors import ConfigurationError
from xtcp_twisted.lab import ENGINE_V4, Lab
from xtcp_twisted.link.memory import MemoryLink

#: The longest that is allowed.
REST_US = 100_000
PATIENCE_MS = 60_000


class Served:
    """An engine on a TUN device, driven by its descriptor."""

    def __init__(self, lab: Lab, coalesce_us: int) -> None:
        config = EngineConfig(addresses=(ENGINE_V4,), coalesce_us=coalesce_us)
        self.engine = Engine(lab.link(), config)
        self._poll = select.poll()
        self._poll.register(self.engine.fileno(), select.POLLIN)
        self._sender = lab.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)

    def send(self) -> None:
        """A packet of the kernel's."""
        self._sender.sendto(b"x", (ENGINE_V4, 9))

    def readable(self, patience_ms: int = 0) -> bool:
        return bool(self._poll.poll(patience_ms))

    def turn(self) -> int:
        """Wait for a turn that is due, and take it: the packets that it had."""
        assert self.readable(PATIENCE_MS)
        taken = self.engine.poll(time.monotonic())
        self.engine.flush(time.monotonic())
        return taken

    def turn_with_packets(self) -> int:
        """The same, but turns that have none pass."""
        while not (taken := self.turn()):
            pass
        return taken

    def close(self) -> None:
        self._sender.close()
        self.engine.close()


@pytest.fixture
def serve(lab: Lab) -> Iterator[Callable[[int], Served]]:
    made: list[Served] = []

    def start(coalesce_us: int) -> Served:
        made.append(Served(lab, coalesce_us))
        return made[-1]

    yield start
    for served in made:
        served.close()


def test_what_follows_waits_for_the_end_of_the_rest(serve: Callable[[int], Served]) -> None:
    served = serve(REST_US)
    served.send()
    assert served.turn_with_packets() == 1
    # The timer's accuracy is the engine's, a microsecond.
    rests_until = time.monotonic() + REST_US / 1e6 - 0.05
    served.send()
    early = served.readable()
    assert not early or time.monotonic() > rests_until
    assert served.turn_with_packets() == 1


def test_several_packets_share_a_turn(serve: Callable[[int], Served]) -> None:
    served = serve(REST_US)
    served.send()
    served.turn_with_packets()
    for _ in range(20):
        served.send()
    taken = [served.turn_with_packets()]
    while sum(taken) < 20:  # if it took longer than the rest to send them
        taken.append(served.turn_with_packets())
    assert len(taken) < 20


def test_a_turn_without_packets_ends_the_rest(serve: Callable[[int], Served]) -> None:
    served = serve(1_000)
    served.send()
    served.turn_with_packets()
    while served.turn():
        pass
    for _ in range(3):
        # Now it is the link's descriptor that says so: no timer runs.
        served.send()
        assert served.turn_with_packets() == 1
        while served.turn():
            pass


def test_without_it_a_turn_follows_at_once(serve: Callable[[int], Served]) -> None:
    served = serve(0)
    for _ in range(3):
        served.send()
        assert served.readable(PATIENCE_MS)
        assert served.turn_with_packets() == 1


def test_a_link_without_a_descriptor_does_not_rest() -> None:
    with Engine(MemoryLink(), EngineConfig(addresses=(ENGINE_V4,), coalesce_us=REST_US)) as engine:
        assert engine.fileno() >= 0
        engine.poll(1.0)
        engine.flush(1.0)
        assert engine.poll_at() is None


@pytest.mark.parametrize("coalesce_us", [-1, 100_001, 0.5])
def test_what_is_not_allowed(coalesce_us: float) -> None:
    with pytest.raises(ConfigurationError, match="coalesce_us"):
        EngineConfig(addresses=(ENGINE_V4,), coalesce_us=coalesce_us)  # type: ignore[arg-type]


def test_a_wake_lasts_until_the_next_poll() -> None:
    with Engine(MemoryLink(), EngineConfig(addresses=(ENGINE_V4,))) as engine:
        poll = select.poll()
        poll.register(engine.fileno(), select.POLLIN)
        assert not poll.poll(0)
        engine.wake()
        assert poll.poll(0)
        engine.poll(1.0)
        assert not poll.poll(0)


def test_a_wake_without_a_descriptor_is_nothing() -> None:
    engine = Engine(MemoryLink(), EngineConfig(addresses=(ENGINE_V4,)))
    engine.wake()
    engine.close()
    engine.wake()
