"""An application server on a net: the calls of Fig. 4 with scripted peers, on virtual time.

    calls = Calls(net)
    gd = calls.open(7)
    client = calls.connect(gd)
    client.send(b"request")
    assert calls.select(read=[gd]) == ([gd], [])
    cd, data = calls.recv(gd)

`xtcp_select` drives the engine, as it does for a program without Twisted; where
it would block, the clock of the net moves to the next time that the engine asks
for, or to the end of the timeout.  Nothing waits.
"""

from __future__ import annotations

import math
from typing import Any

from xtcp_twisted.api import PF_INET, PF_INET6, SOCK_STREAM, ApplicationServer, xtcp_cd, xtcp_set
from xtcp_twisted.config import GroupOptions, MiB

from .net import SPIN_LIMIT, Net
from .peer import Client

#: More than any buffer of a test.
ROOM = 65_536


class Calls(ApplicationServer):
    """The calls themselves, and what tests of them need often.

    :param pool: bytes of a first pool; 0: none.
    """

    def __init__(self, net: Net, *, pool: int = 1 * MiB) -> None:
        self.net = net
        self._turns = 0
        super().__init__(net.engine, clock=lambda: net.now, wait=self._let_pass)
        if pool:
            assert self.xtcp_initialize(pool) == 0

    def _let_pass(self, fd: int, timeout_s: float | None) -> None:
        """What a blocking wait is here."""
        assert fd == self.engine.fileno()
        self.net.collect()
        end = math.inf if timeout_s is None else self.net.now + timeout_s
        due = self.net.engine.poll_at()
        until = min(end, math.inf if due is None else max(due, self.net.now))
        assert until < math.inf, "nothing will ever happen"
        self._turns = self._turns + 1 if until == self.net.now else 0
        assert self._turns < SPIN_LIMIT, f"xtcp_select spins at {until}"
        self.net.now = until

    def open(self, port: int, *, v6: bool = False, share: bool = False, **options: Any) -> int:
        """A group with these options; its descriptor."""
        domain = PF_INET6 if v6 else PF_INET
        gd = self.xtcp_open_group(domain, SOCK_STREAM, 0, port, share=share, options=GroupOptions(**options))
        assert gd > 0, self.error
        return gd

    def select(
        self, read: list[int] | None = None, accept: list[int] | None = None, timeout: float | None = 0
    ) -> tuple[list[int], list[int]]:
        """`xtcp_select`; the ready groups of both sets."""
        readgds, acceptgds = xtcp_set(read or ()), xtcp_set(accept or ())
        count = self.xtcp_select(len(readgds) + len(acceptgds), readgds, acceptgds, timeout)
        assert count == len(readgds) + len(acceptgds) or not count, self.error
        self.net.collect()
        return ([], []) if not count else (list(readgds), list(acceptgds))

    def turn(self) -> None:
        """Let the engine take in what has come and send what is queued: a look that finds nothing."""
        assert self.select() == ([], [])

    def pass_by(self, seconds: float) -> None:
        """Time goes on; the application looks at none of its groups."""
        assert self.select(timeout=seconds) == ([], [])

    def asks(self, gd: int, **peer: Any) -> Client:
        """A peer whose connection request has come to this group, and to nobody's knowledge yet."""
        group = self.group(gd)
        client = self.net.client(group, **peer)
        client.syn()
        return client

    def connect(self, gd: int, into: int | None = None, **peer: Any) -> Client:
        """A peer whose request is accepted, through the calls; the handshake is complete."""
        client = self.asks(gd, **peer)
        assert self.select(accept=[gd]) == ([], [gd])
        client.cd = self.xtcp_accept(gd, into=into)
        assert client.cd > 0, self.error
        self.turn()
        client.expect("SA", seq=0, ack=1)
        client.ack()
        # Else all would carry one timestamp, and nothing could be told from that.
        self.pass_by(0.1)
        return client

    def recv(self, gd: int, limit: int = ROOM) -> tuple[int, bytes]:
        """`xtcp_recv`; the connection's id and what was received."""
        cd, buf = xtcp_cd(), bytearray(limit)
        count = self.xtcp_recv(gd, cd, buf)
        assert count >= 0, self.error
        return cd.value, bytes(buf[:count])

    def nothing(self, gd: int) -> int:
        """`xtcp_recv` where there is nothing to receive: the errno."""
        cd, buf = xtcp_cd(), bytearray(ROOM)
        result = self.xtcp_recv(gd, cd, buf)
        assert result < 0, f"received {bytes(buf[:result])!r}"
        return -result
