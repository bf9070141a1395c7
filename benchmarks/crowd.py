"""A server and as many clients as wanted in one process: the clients are no more than their packets.

The server is a whole stack over a memory link.  What a client's kernel would answer follows from
the packet that it answers, and what it would ask from what the server's engine says of the
connection, so nothing is kept for a client: what the process grows by is the server's.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address
from typing import Any, Final

from benchmarks.applications.echo import EchoFactory
from examples.echo import Echo
from xtcp_twisted.config import EngineConfig, GiB, MiB
from xtcp_twisted.engine import Group
from xtcp_twisted.link.memory import MemoryLink
from xtcp_twisted.reactor.port import Binding
from xtcp_twisted.reactor.stack import XTCPStack
from xtcp_twisted.testing import HandReactor
from xtcp_twisted.wire.codec import checksum, pack_address

SERVER: Final = "192.0.2.1"
PORT: Final = 7
#: The clients are 10.0.0.0/8, each address with so many ports from the first on.
PORTS: Final = 256
FIRST_PORT: Final = 40_000
_FIRST_CLIENT: Final = 0x0A00_0000
#: Handshakes on the way at any time.
BATCH: Final = 512
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
#: MSS 1,460, in a word.
OPTIONS: Final = bytes((2, 4, 5, 180))
APPLICATIONS: Final[dict[str, Callable[[], Any]]] = {"ordinary protocol": EchoFactory, "group protocol": Echo}

_SERVER: Final = pack_address(SERVER)[12:]
_IP: Final = struct.Struct("!BBHHHBBHI4s")
_PSEUDO: Final = struct.Struct("!I4sHHHHIIBBHHH")
_PACKET: Final = struct.Struct("!BBHHHBBHI4sHHIIBBHHH")
_HEADERS: Final = struct.Struct("!HHIIBB")


def segment(number: int, seq: int, ack: int, flags: int, data: bytes = b"", port: int = PORT) -> bytes:
    """A packet of client `number` to a port of the server; a SYN with its options."""
    rest = OPTIONS + data if flags & SYN else data
    offset = 0x60 if flags & SYN else 0x50
    size = 20 + len(rest)
    address, source = _FIRST_CLIENT + number // PORTS, FIRST_PORT + number % PORTS
    tcp = (source, port, seq, ack, offset, flags, 65_535)
    of_ip = checksum(_IP.pack(0x45, 0, 20 + size, 0, 0x4000, 64, 6, 0, address, _SERVER))
    of_tcp = checksum(_PSEUDO.pack(address, _SERVER, 6, size, *tcp, 0, 0) + rest)
    head = _PACKET.pack(0x45, 0, 20 + size, 0, 0x4000, 64, 6, of_ip, address, _SERVER, *tcp, of_tcp, 0)
    return head + rest


def reply(packet: bytes, flags: int = ACK) -> bytes | None:
    """What a client's kernel sends when this packet comes: an acknowledgement of all that is in it.

    :param flags: of the answer, such as ``FIN | ACK`` of a client that closes.
    :returns: None for what takes no answer: an acknowledgement alone, or a reset.
    """
    port, _, seq, ack, offset, had = _HEADERS.unpack_from(packet, 20)
    length = len(packet) - 20 - (offset >> 4 << 2)
    length += bool(had & SYN) + bool(had & FIN)
    if had & RST or not length:
        return None
    number = client_of(packet)
    return segment(number, ack, (seq + length) & 0xFFFF_FFFF, flags, port=port)


def client_of(packet: bytes) -> int:
    """The number of the client that a packet of the server is for."""
    (address,) = struct.unpack_from("!I", packet, 16)
    (port,) = struct.unpack_from("!H", packet, 22)
    return int((address - _FIRST_CLIENT) * PORTS + port - FIRST_PORT)


def number_of(host: str, port: int) -> int:
    """The number of the client at this address."""
    return (int(IPv4Address(host)) - _FIRST_CLIENT) * PORTS + port - FIRST_PORT


class Crowd:
    """A stack and its clients.

    :param factory: makes the server's application; None: the stack listens nowhere yet.
    :param connections: so many there is room for.
    :param clock: the engine's.
    :param config: more fields of its `EngineConfig`.
    :ivar link: the server's.
    :ivar reactor: the server's, turned by hand.
    """

    def __init__(
        self,
        factory: Callable[[], Any] | None,
        connections: int,
        clock: Callable[[], float] = time.monotonic,
        **config: Any,
    ) -> None:
        self.link = MemoryLink()
        self.reactor = HandReactor()
        self._clock = clock
        engine = EngineConfig(
            addresses=(SERVER,),  # type: ignore[arg-type]
            max_connections=max(16, 1 << (connections - 1).bit_length()),
            arena_limit=8 * GiB,
            **config,
        )
        self.stack = XTCPStack(self.reactor, self.link, engine, clock=clock)
        self.pool = self.stack.createPool("benchmark", 32 * MiB)
        self.stack.reader.attach()
        if factory is not None:
            self.stack.listen(factory(), Binding(port=PORT))

    @property
    def busy(self) -> bool:
        """Whether a turn is due at once."""
        if self.stack.stopped:
            return False
        due = self.stack.engine.poll_at()
        waits = self.link.pending > 0 or self.stack.reader.wanted
        return waits or (due is not None and due <= self._clock())

    def turns(self) -> list[bytes]:
        """Turns until nothing waits; the packets that left."""
        turn = self.stack.reader.doRead
        turn()
        while self.link.pending:
            turn()
        return [packet for _, packet in self.link.take()]

    def deliver(self, packets: Iterable[bytes | None]) -> None:
        """Packets of clients for the next turn."""
        for packet in packets:
            if packet is not None:
                self.link.deliver(packet)

    def ask(self, first: int, last: int, port: int = PORT) -> list[bytes]:
        """The SYNs of these clients; what the server says to them."""
        self.deliver(segment(client, 0, 0, SYN, port=port) for client in range(first, last))
        return self.turns()

    def open(self, first: int, last: int, port: int = PORT) -> None:
        """The handshakes of these clients.

        :raises AssertionError: one of them was not accepted.
        """
        before = self.stack.connections
        for number in range(first, last, BATCH):
            answers = self.ask(number, min(number + BATCH, last), port)
            self.deliver(map(reply, answers))
            self.turns()
        self.turns()
        if self.stack.connections - before != last - first:
            raise AssertionError(f"{self.stack.connections - before} new connections, not {last - first}")

    def request(self, group: Group, cds: Iterable[int], data: bytes) -> None:
        """The clients of these connections, which have sent nothing that is not acknowledged, send `data`."""
        for cd in cds:
            info = group.info(cd)
            self.link.deliver(
                segment(number_of(*info.peer), info.rcv_nxt, info.snd_nxt, ACK | PSH, data, info.local[1])
            )
