"""The status line."""

from __future__ import annotations

import json
import os

from twisted.internet.testing import StringTransport

from tests.reactor.world import World
from xtcp_twisted.reactor.groups import GroupProtocol
from xtcp_twisted.reactor.status import StatusFactory, pieces


def test_the_line_is_json_with_the_whole_snapshot(world: World) -> None:
    port = world.listen(GroupProtocol())
    world.client(port).opened()
    line = b"".join(pieces(world.engine.snapshot()))
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    status = json.loads(line)
    assert set(status) == {"time", "pid", "rss_bytes", "descriptors", "snapshot"}
    assert status["pid"] == os.getpid()
    assert status["rss_bytes"] > 1 << 20
    assert 0 < status["descriptors"] <= len(os.listdir("/proc/self/fd"))
    assert status["snapshot"]["connections"] == 1
    (pool,) = status["snapshot"]["pools"]
    assert pool["name"] == "im"
    assert pool["groups"][0]["port"] == 7
    assert pool["receive_buffer"]["pressure"]["state"] == "open"
    assert pool["receive_buffer"]["pressure"]["thresholds"]["frozen"] == 0.5


def test_an_engine_that_has_stopped_has_nothing_to_tell(world: World) -> None:
    protocol = StatusFactory(world.stack.engine.snapshot).buildProtocol(None)
    assert protocol is not None
    world.stack.stop()
    transport = StringTransport()
    protocol.makeConnection(transport)
    assert transport.value() == b""
    assert transport.disconnecting


def test_a_long_line_is_made_as_it_is_sent(world: World) -> None:
    """So that ten thousand groups do not stop the reactor."""
    for _ in range(100):
        world.stack.pool().open_group(0)
    snapshot = world.engine.snapshot()
    transport = StringTransport()
    protocol = StatusFactory(lambda: snapshot).buildProtocol(None)
    assert protocol is not None
    protocol.makeConnection(transport)
    sizes = [0]
    while not transport.disconnecting:
        assert transport.producer is protocol
        transport.producer.resumeProducing()
        sizes.append(len(transport.value()) - sum(sizes))
    assert len(json.loads(transport.value())["snapshot"]["pools"][0]["groups"]) == 100
    assert len(sizes) > 5
    assert max(sizes) < 20_000
    assert transport.producer is None


def test_nothing_more_is_made_for_who_has_gone(world: World) -> None:
    transport = StringTransport()
    protocol = StatusFactory(world.engine.snapshot).buildProtocol(None)
    assert protocol is not None
    protocol.makeConnection(transport)
    transport.producer.stopProducing()
    transport.producer.resumeProducing()
    assert transport.value() == b""
    assert transport.disconnecting
