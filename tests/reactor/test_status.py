"""The status line."""

from __future__ import annotations

import json
import os

from twisted.internet.testing import StringTransport

from tests.reactor.world import World
from xtcp_twisted.reactor.groups import GroupProtocol
from xtcp_twisted.reactor.status import StatusFactory, report


def test_the_line_is_json_with_the_whole_snapshot(world: World) -> None:
    port = world.listen(GroupProtocol())
    world.client(port).opened()
    line = report(world.engine.snapshot())
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
