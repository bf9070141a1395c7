"""Notification settings of a configuration file decide when protocols hear of data (P05)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.reactor.servers import Echo, EchoGroup
from tests.reactor.world import World
from xtcp_twisted.errors import ConfigurationError
from xtcp_twisted.reactor.loading import SettingsError, load
from xtcp_twisted.reactor.port import Binding

CONFIG = """
[link]
kind = "memory"
[engine]
addresses = ["192.0.2.1"]
[[pool]]
name = "im"
[[group]]
name = "echo"
port = 7
protocol = "tests.reactor.servers.{server}"
[group.options]
{options}
"""


def written(folder: Path, server: type, options: str) -> str:
    path = folder / "xtcp.toml"
    path.write_text(CONFIG.format(server=server.__name__, options=options))
    return str(path)


@pytest.mark.feature("P05")
@pytest.mark.parametrize("server", [EchoGroup, Echo])
def test_protocols_hear_of_data_together_or_after_the_delay(
    world: World, tmp_path: Path, server: type[Any]
) -> None:
    settings = load(written(tmp_path, server, "notify_connections = 2\nnotify_delay_ms = 30"))
    [group] = settings.group
    port = world.stack.listen(group.build(), Binding(port=7, options=group.options))
    clients = [world.client(port).opened() for _ in range(3)]
    clients[0].send(b"one")
    world.turn()
    world.client(port).opened()  # a new connection does not end the wait
    world.turns(3)
    clients[0].expect_nothing()
    clients[1].send(b"two")
    world.turns(2)
    clients[0].expect("A", data=b"one")
    clients[1].expect("A", data=b"two")
    clients[0].ack()
    clients[1].ack()
    clients[2].send(b"three")
    world.turns(3)
    world.advance(0.029)
    clients[2].expect_nothing()
    world.advance(0.002)
    clients[2].expect("A", data=b"three")


@pytest.mark.feature("P05")
def test_a_count_without_a_delay_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, EchoGroup, "notify_connections = 2")
    with pytest.raises(SettingsError, match=r"group\[0\].options.*: 2 needs notify_delay_ms"):
        load(path)


@pytest.mark.feature("P05")
def test_a_protocol_changes_the_settings_of_its_group(world: World) -> None:
    """What was held back is delivered; what comes from then on at once; a wrong change changes nothing."""
    protocol = EchoGroup()
    port = world.listen(protocol, notify_connections=2, notify_delay_ms=30)
    client = world.client(port).opened()
    client.send(b"one")
    world.turns(3)
    client.expect_nothing()
    with pytest.raises(ConfigurationError, match="weight: 0 is not allowed"):
        protocol.group.setOptions(notify_connections=1, weight=0)
    world.turns(3)
    client.expect_nothing()
    protocol.group.setOptions(notify_connections=1)
    world.turns(2)
    client.expect("A", data=b"one")
    client.ack()
    client.send(b"two")
    world.turns(2)
    client.expect("A", data=b"two")
