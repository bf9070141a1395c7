"""A group's descriptor in a reactor that knows nothing of this package (P04)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.net import Net
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.pollreactor import PollReactor
from twisted.internet.selectreactor import SelectReactor
from twisted.python.failure import Failure
from zope.interface import implementer

from xtcp_twisted.engine import Group


@implementer(IReadDescriptor)
class Reader:
    """What an application gives to ``reactor.addReader``."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.got: list[tuple[int, bytes] | None] = []

    def fileno(self) -> int:
        return self.group.fileno()

    def logPrefix(self) -> str:
        return "group"

    def doRead(self) -> None:
        self.got.append(self.group.recv(100))

    def connectionLost(self, reason: Failure) -> None:
        raise AssertionError("a group's descriptor does not fail")


@pytest.fixture(params=[SelectReactor, PollReactor, EPollReactor])
def reactor(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A reactor of each kind, not installed."""
    made = request.param()
    yield made
    made.removeAll()
    for reader in made._internalReaders:
        reader.connectionLost(None)
    if isinstance(made, EPollReactor):
        made._poller.close()


@pytest.mark.feature("P04")
def test_a_reactor_calls_a_groups_reader_exactly_while_there_is_data(net: Net, reactor: Any) -> None:
    group = net.group(7)
    first, second = (net.client(group).established() for _ in range(2))
    reader = Reader(group)
    reactor.addReader(reader)
    reactor.doIteration(0)
    assert reader.got == []
    first.send(b"one")
    second.send(b"two")
    net.turn()
    for _ in range(4):
        reactor.doIteration(0)
    assert reader.got == [(first.cd, b"one"), (second.cd, b"two")]
    reactor.removeReader(reader)
