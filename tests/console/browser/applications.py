"""Applications that give the console something to show."""

from __future__ import annotations

from xtcp_twisted.reactor.groups import GroupProtocol


class Hoard(GroupProtocol):
    """Reads nothing: what clients send stays in the pool's receive buffer until they leave."""

    def connectionsMade(self, cds: list[int]) -> None:
        for cd in cds:
            self.group.pause(cd)
