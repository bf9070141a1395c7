"""An application server with one pool and one group, in virtual time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.fig4 import Host
from support.net import Net

from xtcp_twisted.api import PF_INET, SOCK_STREAM, ApplicationServer
from xtcp_twisted.config import MiB


@pytest.fixture
def host(net: Net) -> Host:
    return Host(net)


@pytest.fixture
def server(host: Host) -> Iterator[ApplicationServer]:
    """It has a pool of 1 MiB, and is the current one."""
    with host.server() as made:
        assert made.xtcp_initialize(MiB) == 0
        yield made
    made.close()


@pytest.fixture
def gd(server: ApplicationServer) -> int:
    """A group on port 7."""
    made = server.xtcp_open_group(PF_INET, SOCK_STREAM, 0, 7)
    assert made > 0
    return made
