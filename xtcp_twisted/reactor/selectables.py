"""What a reactor counts as readers and writers: the ports, transports and attempts of a stack.

They have no descriptors, so the reactor's own sets do not hold them; but whoever
asks it (`getReaders`), and whoever ends it (`removeAll`), means them, too.

Knows what stands on a `Stage`; must not know reactors.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from xtcp_twisted.reactor.client import ClientGroup
from xtcp_twisted.reactor.port import ListeningGroup
from xtcp_twisted.reactor.served import Stage
from xtcp_twisted.reactor.transport import XTCPTransport


def readers(stage: Stage) -> list[Any]:
    """Whoever waits for something to come."""
    return [*_ports(stage), *_attempts(stage), *(t for t in _transports(stage) if t.reading)]


def writers(stage: Stage) -> list[Any]:
    """Whoever waits for something to leave."""
    return [*_attempts(stage), *(t for t in _transports(stage) if t.writing)]


def letGo(stage: Stage) -> list[Any]:
    """Stop serving all readers and writers, without telling them; they are the caller's from now on.

    Their connections are closed in order.  A transport that neither reads nor
    writes is let be, as a socket is that no reactor watches.
    """
    transports = [t for t in _transports(stage) if t.reading or t.writing]
    ports, attempts = list(_ports(stage)), list(_attempts(stage))
    for transport in transports:
        transport.letGo()
    for port in ports:
        port.letGo()
    for attempt in attempts:
        attempt.letGo()
    return ports + attempts + transports


def _ports(stage: Stage) -> Iterator[ListeningGroup]:
    return (port for port in stage.ports if isinstance(port, ListeningGroup) and port.connected)


def _attempts(stage: Stage) -> Iterator[Any]:
    for group in stage.ports:
        if isinstance(group, ClientGroup):
            yield from group.attempts


def _transports(stage: Stage) -> Iterator[XTCPTransport]:
    for table in (stage.table, stage.unixTable):
        for transport in table.rows:
            if transport is not None:
                yield transport
