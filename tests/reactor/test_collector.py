"""The garbage collector does not look at what lives long."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from benchmarks.applications.echo import EchoFactory
from benchmarks.crowd import BATCH, Crowd
from xtcp_twisted.reactor.collector import GENERATIONS, Collector
from xtcp_twisted.reactor.transport import XTCPTransport

YOUNG = 1_000
CONNECTIONS = 16 * BATCH


@pytest.fixture
def server() -> Iterator[Crowd]:
    gc.unfreeze()
    gc.collect()
    threshold = gc.get_threshold()
    made = Crowd(EchoFactory, CONNECTIONS)
    yield made
    made.stack.stop()
    assert gc.get_threshold() == threshold
    assert gc.get_freeze_count() == 0


@pytest.fixture
def collector(server: Crowd) -> Iterator[Collector]:
    made = Collector(server.stack, young=YOUNG, few=BATCH)
    yield made
    made.stop()


@pytest.fixture
def collections() -> Iterator[list[int]]:
    """How often each generation was collected."""
    counts = [0, 0, 0]

    def told(phase: str, info: dict[str, int]) -> None:
        counts[info["generation"]] += phase == "stop"

    gc.callbacks.append(told)
    yield counts
    gc.callbacks.remove(told)


def seen() -> int:
    """Transports that a collection would look at."""
    return sum(type(kept) is XTCPTransport for kept in gc.get_objects())


def test_connections_are_not_looked_at_again(server: Crowd, collector: Collector, collections: list[int]):
    collector.start()
    collections[:] = [0, 0, 0]
    server.open(0, CONNECTIONS)
    assert collections[1] > 2
    assert collections[2] == 0
    # Each has a transport and a protocol; the young generations hold what came since the last freeze.
    assert seen() <= (GENERATIONS + 1) * (YOUNG + BATCH) // 2
    assert collector.thaws == 0


def test_garbage_of_young_objects_is_still_collected(server: Crowd, collector: Collector):
    class Cycle:
        def __init__(self) -> None:
            self.me = self

    collector.start()
    server.open(0, BATCH)
    for _ in range(10 * YOUNG):
        Cycle()
    assert sum(type(kept) is Cycle for kept in gc.get_objects()) <= YOUNG + 1


def test_what_was_frozen_is_freed_by_its_references(server: Crowd, collector: Collector):
    collector.start()
    server.open(0, CONNECTIONS)
    protocol = next(iter(filter(None, server.stack.stage.table.rows))).protocol
    gone = type(protocol)
    server.stack.stop()
    del protocol
    gc.unfreeze()
    assert not [kept for kept in gc.get_objects() if type(kept) is gone]


def test_when_most_have_ended_everything_is_looked_at_once(
    server: Crowd, collector: Collector, collections: list[int]
):
    collector.start()
    server.open(0, CONNECTIONS)
    for transport in filter(None, list(server.stack.stage.table.rows)):
        if transport.sessionno % 8:
            transport.abortConnection()
    for _ in range(4):
        server.stack.reader.doRead()
    assert server.stack.stage.table.live == CONNECTIONS // 8
    collections[:] = [0, 0, 0]
    kept = [[] for _ in range(4 * YOUNG)]  # the collector has to run for the end of so many to be noticed
    server.stack.reactor.turn()
    assert collector.thaws == 1
    assert collections[2] == 1
    # What has ended since is told from what had ended then.
    kept += [[] for _ in range(4 * YOUNG)]
    server.stack.reactor.turn()
    assert collector.thaws == 1


def test_the_end_leaves_the_collector_as_it_was(server: Crowd, collector: Collector):
    threshold, callbacks = gc.get_threshold(), list(gc.callbacks)
    collector.start()
    collector.start()
    assert gc.get_threshold() == (YOUNG, GENERATIONS, 1_000_000)
    assert gc.get_freeze_count() > 0
    collector.stop()
    collector.stop()
    assert (gc.get_threshold(), gc.callbacks) == (threshold, callbacks)
    assert gc.get_freeze_count() == 0


def test_the_last_of_several_leaves_it_as_the_first_has_found_it(server: Crowd, collector: Collector):
    threshold, second = gc.get_threshold(), Collector(server.stack)
    collector.start()
    second.start()
    collector.stop()
    assert gc.get_threshold() == (YOUNG, GENERATIONS, 1_000_000)
    assert gc.get_freeze_count() > 0
    second.stop()
    assert gc.get_threshold() == threshold
