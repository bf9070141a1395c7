"""Where the clients of a fleet go: the addresses and the example groups of a configuration.

A kernel client has about 64,000 local ports for each (address, port) that it
connects to, so large fleets need several of the engine's addresses; both
families get their share.  Knows three keys of the configuration (engine.addresses,
group.name, group.port) and leaves it to the server to check them.
"""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Iterator, Sequence
from itertools import islice, zip_longest
from pathlib import Path
from typing import Final

from xtcp_twisted.errors import ConfigurationError
from xtcp_twisted.lab.fleet import Target
from xtcp_twisted.lab.fleet_worker import TALKS

#: Connections to one (address, port): well below the number of local ports, because
#: the kernel's search for a free one gets slow when most are taken.
CLIENTS_PER_TARGET: Final = 20_000


def destinations(config: Path, clients: int) -> list[Target]:
    """Targets for `clients` clients that talk to the groups which are called as a talk is.

    :raises ConfigurationError: there is no such group, or the engine has too few addresses.
    """
    with config.open("rb") as file:
        settings = tomllib.load(file)
    talks = [(g["name"], g["port"]) for g in settings.get("group", []) if g.get("name") in TALKS]
    if not talks:
        raise ConfigurationError(
            f"{config}: no group is called {' or '.join(map(repr, TALKS))}, which are what clients can talk"
        )
    # Both families, if the engine has them, even when one address would do.
    needed = max(2, -(-clients // (len(talks) * CLIENTS_PER_TARGET)))
    hosts = list(islice(_hosts(settings["engine"]["addresses"]), needed))
    room = len(hosts) * len(talks) * CLIENTS_PER_TARGET
    if clients > room:
        raise ConfigurationError(
            f"clients: {clients:,} are too many for the {len(hosts)} engine addresses of {config}, which do"
            f" for {room:,}; give engine.addresses a larger prefix"
        )
    return [Target(name, host, port) for host in hosts for name, port in talks]


def _hosts(addresses: Sequence[str]) -> Iterator[str]:
    """Every host of the addresses and prefixes, the two families in turn."""
    networks = [ipaddress.ip_network(address) for address in addresses]
    v4 = (host for network in networks if network.version == 4 for host in network.hosts())
    v6 = (host for network in networks if network.version == 6 for host in network.hosts())
    return (str(host) for pair in zip_longest(v4, v6) for host in pair if host is not None)
