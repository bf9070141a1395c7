"""Echo (RFC 862) as a group protocol: what comes in goes out, by one object for all.

twistd -n xtcp --config examples/xtcp.toml
nc 10.77.0.2 7
"""

from __future__ import annotations

from twisted.python.failure import Failure

from xtcp_twisted.reactor.groups import GroupProtocol


class Echo(GroupProtocol):
    """Sends everything back; stops reading from clients that do not read."""

    def __init__(self) -> None:
        #: What did not fit, of the few clients for whom that happens.
        self._rest: dict[int, bytes] = {}

    def messagesReceived(self, messages: list[tuple[int, bytes]]) -> None:
        """One call per turn, which answers all; the acknowledgements ride on the answers."""
        for cd, rest in self.group.sendMany(messages):
            self._rest[cd] = rest
            self.group.pause(cd)

    def connectionsWritable(self, cds: list[int]) -> None:
        """Room again: send the rest, then go on reading."""
        for cd in cds:
            rest = self._rest.pop(cd, b"")
            taken = self.group.send(cd, rest)
            if taken < len(rest):
                self._rest[cd] = rest[taken:]
            else:
                self.group.resume(cd)

    def connectionLost(self, cd: int, reason: Failure) -> None:
        """Whatever was kept has no reader any more."""
        self._rest.pop(cd, None)
