"""Time and packets of one run: what has been sent so far, by whom, and when.

The lines of a script are about one connection at a time, its current flow: the
one whose first packet came last after listen().
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from support.ladder import describe
from support.net import START
from support.packets import Segment

from .flow import Flow
from .inbound import icmp_bytes, tcp_bytes
from .script import IcmpPacket, TcpPacket, Unsupported
from .setup import Setup
from .sockets import Sockets

#: The first port of the peer; each of its connections has the next one.
FIRST_PORT: Final = 40_000
#: Seconds: less than this is the same time.
SAME_TIME: Final = 1e-9
#: The least tolerance in seconds: another TCP's timers have other grains.
LEAST_TOLERANCE: Final = 0.010
#: Seconds between two looks at a call that blocks.
LOOK: Final = 0.001


class Traffic:
    """Everything that was sent, sorted by connection.

    :ivar flow: the current one; None before the first packet after listen().
    :ivar log: a line for each packet, and for each decision about one.
    :ivar look: what is to be asked after each step, and whether it wants short steps.
    :ivar extra_acks: pure ACKs that no line is about.
    :ivar other_probes: probes of a closed window that had an octet where the script's have none.
    :ivar deferred_acks: lines about a pure ACK that was merged with another, or left out.
    """

    def __init__(self, setup: Setup, sockets: Sockets, first: int = 0) -> None:
        self.setup = setup
        self.sockets = sockets
        self.first = first
        self.flows: dict[tuple[int, int], Flow] = {}
        self.flow: Flow | None = None
        self.strays: list[Segment] = []
        self.log: list[str] = []
        self.look: Callable[[], bool] = lambda: False
        self.extra_acks = 0
        self.deferred_acks = 0
        self.other_probes = 0
        self._looking = False

    # --- time -----------------------------------------------------------------

    @property
    def now(self) -> float:
        """Seconds since the script's start."""
        return self.sockets.now

    def time_of(self, segment: Segment) -> float:
        """When the engine sent it, seconds since the script's start."""
        return segment.time - START

    def tolerance(self, span: float) -> float:
        """By how many seconds an event may be late that comes `span` seconds after another."""
        return max(LEAST_TOLERANCE, self.setup.tolerance, abs(span) * self.setup.stretch)

    def step(self, limit: float) -> None:
        """Let time pass until something may have happened, at most `limit` seconds."""
        self.sockets.step(min(limit, LOOK) if self._looking else limit)
        self.collect()

    def run_until(self, time: float) -> None:
        """Let time pass up to `time`."""
        self.collect()
        while time - self.now > SAME_TIME:
            self.step(time - self.now)

    def collect(self) -> None:
        """Sort what the engine has sent; then look at what waits for something."""
        for segment in self.sockets.sent():
            flow = self.flows.get((segment.dport, segment.sport))
            if flow is None:
                self.strays.append(segment)
            else:
                flow.waiting.append(segment)
        self._looking = self.look()

    # --- packets --------------------------------------------------------------

    def arrive(self, packet: TcpPacket | IcmpPacket, text: str) -> None:
        """The peer's packet arrives."""
        flow = self._flow_of(packet.ports if isinstance(packet, TcpPacket) else None)
        self.note(f"peer    {text}")
        if isinstance(packet, TcpPacket):
            self.sockets.inject(tcp_bytes(packet, flow, self.setup))
        else:
            self.sockets.inject(icmp_bytes(packet, flow, self.setup))

    def _flow_of(self, ports: tuple[int, int] | None) -> Flow:
        if ports is None and self.flow is not None:
            return self.flow
        ports = ports or (FIRST_PORT + len(self.flows), self.setup.port)
        flow = self.flows.get(ports) or self._new_flow(*ports)
        self.flow = self.flow or flow
        return flow

    def _new_flow(self, remote_port: int, local_port: int) -> Flow:
        flow = Flow(remote_port, local_port, self.first)
        self.flows[remote_port, local_port] = flow
        return flow

    def connecting(self, local_port: int) -> None:
        """The engine opens a connection: the lines that follow are about it."""
        self.flow = self._new_flow(self.setup.service, local_port)
        self.flow.active = True

    def expected_flow(self, packet: TcpPacket, line: int) -> Flow:
        """The flow that a line about a packet of the engine means."""
        if self.flow is None:
            raise Unsupported(f"a packet of no connection (line {line})")
        if packet.ports is None:
            return self.flow
        if packet.ports[::-1] not in self.flows:
            raise Unsupported(f"ports of no connection (line {line})")
        return self.flows[packet.ports[::-1]]

    # --- the log --------------------------------------------------------------

    def note(self, text: str) -> None:
        """A line of the log."""
        self.log.append(f"{self.now:9.6f} {text}")

    def shown(self, segment: Segment, flow: Flow) -> str:
        """A packet of the engine in the script's numbers."""
        seq = (segment.seq - flow.local(syn=False)) % 2**32
        ack = (segment.ack - flow.remote(syn=False)) % 2**32
        return f"{self.time_of(segment):.6f} {describe(segment, seq, ack)}"
