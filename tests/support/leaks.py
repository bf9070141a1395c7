"""After a test: every pool closed, and every buffer and table back to zero."""

from __future__ import annotations

from .net import Net


def assert_no_leaks(net: Net) -> None:
    """Close the pools by abort and compare what the engine still counts with zero.

    The debug build checks its own invariants after every batch; this holds in
    both builds.
    """
    engine = net.engine
    if engine.closed:
        return
    for pool in engine.pools():
        for group in pool.groups():
            group.close(abort=True)
        pool.close()
    net.turn()
    net.advance(0.001)
    # Connections that were closed in order may linger until their peer answers.
    net.advance(400.0)
    snapshot = engine.snapshot()
    assert snapshot.connections == 0, f"{snapshot.connections} connections outlive their groups"
    assert snapshot.half_open == 0, f"{snapshot.half_open} half-open entries outlive their groups"
    assert snapshot.time_wait == 0, f"{snapshot.time_wait} TIME-WAIT entries outlive 2 MSL"
    assert snapshot.active == 0, f"{snapshot.active} active blocks are still leased"
    assert snapshot.transmit_buffer.used == 0, f"{snapshot.transmit_buffer.used} bytes left to send"
    assert snapshot.unix_connections == 0, f"{snapshot.unix_connections} outlive their Unix sockets"
    assert not snapshot.pools, "a closed pool is still listed"
