"""A rain of bad packets on an engine, and what must be as before when it is over."""

from __future__ import annotations

from collections.abc import Iterable

from xtcp_twisted.config import UNLIMITED

from .net import Net
from .packets import build
from .peer import Client


class Storm:
    """An engine with a listener, a witness whose connection must survive, and a victim to aim at."""

    def __init__(self, v6: bool = False, net: Net | None = None) -> None:
        self.net = net or Net()
        self.group = self.net.group(7, v6=v6, accept_credits=UNLIMITED)
        self.header = 40 if v6 else 20
        self.witness = self.net.client(self.group).established()
        self.victim = self.fresh_victim()
        self.sent = 0

    def fresh_victim(self) -> Client:
        """An established connection whose peer is then taken away, so that answers to it are strays."""
        victim = self.net.client(self.group).established()
        del self.net.clients[victim.ip, victim.sport, victim.port]
        self.victim = victim
        return victim

    def syn(self) -> bytes:
        victim = self.victim
        return build(
            victim.ip,
            victim.server,
            63_000,
            7,
            seq=1,
            flags="S",
            options=[("MSS", 1460), ("SAckOK", b""), ("Timestamp", (1, 0)), ("NOP", None), ("WScale", 7)],
        )

    def data(self) -> bytes:
        return self.victim.packet(b"GET / HTTP/1.0\r\n", "PA")

    def rain(self, packets: Iterable[bytes]) -> None:
        """All of them, through as many turns as they need."""
        for packet in packets:
            self.net.inject(packet)
            self.sent += 1
            if self.sent % 256 == 0:
                self.net.turn()
        self.net.advance(0)
        assert not self.net.link.pending

    def survived(self) -> None:
        """The witness heard nothing, and both it and a newcomer are served."""
        self.net.strays.clear()
        self.net.messages.clear()
        self.net.take_events()
        while self.group.recv(65_536):
            pass
        self.witness.expect_nothing()
        self.witness.is_alive()
        self.net.client(self.group).established().is_alive()


def silent(storm: Storm) -> None:
    """Nothing was answered, delivered or reported."""
    storm.net.expect_nothing()
    assert storm.group.recv(65_536) is None
    assert storm.net.take_events() == []
