"""What a transport tells of its TCP."""

from __future__ import annotations

import pytest

from tests.reactor.world import Recorder, World, factoryOf
from xtcp_twisted.errors import StaleConnection


def test_what_is_in_flight_and_how_long_a_round_trip_takes(world: World) -> None:
    server = Recorder()
    client = world.client(world.listen(factoryOf(server))).opened()
    transport = server.transport
    assert transport.info().state == "ESTABLISHED"
    assert transport.info().in_flight == 0
    before = transport.info()
    transport.write(b"x" * 3_000)
    world.turn()
    assert transport.info().in_flight == 3_000
    world.now += 0.05
    client.take()
    client.ack()
    world.turn()
    info = transport.info()
    assert info.in_flight == 0
    assert info.cwnd >= before.cwnd
    assert info.cd == transport.cd
    assert before.srtt_us < info.srtt_us <= 50_000
    assert info.peer == (client.ip, client.sport)


def test_a_connection_that_has_ended_has_no_details(world: World) -> None:
    server = Recorder()
    world.client(world.listen(factoryOf(server))).opened()
    server.transport.abortConnection()
    world.turns(2)
    with pytest.raises(StaleConnection):
        server.transport.info()
