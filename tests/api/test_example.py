"""examples/select_loop.py and a client that is hard to serve, in virtual time."""

from __future__ import annotations

import errno

import pytest
from support.fig4 import Host
from support.net import Net

from examples.select_loop import serve
from xtcp_twisted.api import PF_INET, SOCK_STREAM
from xtcp_twisted.config import MiB

#: More than one connection may queue while its client does not read.
PAYLOAD = bytes(range(256)) * 400
PART = 1_000


class HeardAll(Exception):
    """The client has what it waited for."""


@pytest.mark.feature("P18", "P25", "P26")
def test_a_client_that_reads_only_after_its_own_end_gets_everything(net: Net, host: Host) -> None:
    """It says all it will, half-closes, and only then opens its window: no byte of the echo is missing."""
    client = net.client(port=7, window=500)

    def say(sent: int) -> None:
        net.collect()
        client.take()
        if sent < len(PAYLOAD):
            client.send(PAYLOAD[sent : sent + PART])
            host.at(0.005, lambda: say(sent + PART))
        else:
            client.fin()
            host.at(0.5, read)

    def read() -> None:
        net.collect()
        if any("F" in segment.flags for segment in client.take()):
            raise HeardAll
        client.window = 60_000
        client.ack()
        host.at(0.05, read)

    host.at(0.01, client.syn)
    host.at(0.02, lambda: (net.collect(), client.expect("SA"), client.ack()))
    host.at(0.03, lambda: say(0))
    server = host.server()
    with pytest.raises(HeardAll):
        serve(server, 7)
    assert client.received == PAYLOAD
    assert net.receive_used == 0
    server.close()


def test_a_port_that_is_taken(host: Host) -> None:
    """It ends and says why, instead of asking for a group that it has not."""
    with host.server() as first, host.server() as second:
        first.xtcp_initialize(MiB)
        assert first.xtcp_open_group(PF_INET, SOCK_STREAM, 0, 7) > 0
        assert serve(second, 7) == -errno.EADDRINUSE
        assert "port 7 is taken" in second.error
        first.close()
        second.close()
