"""``python -m support.million CONNECTIONS``: so many connections in one engine, in a process of their own.

Opens them through the whole handshake, lets them lie idle for an hour of the
engine's time, has 30,000 of them ask and be answered, queues a broadcast to all, and prints what it saw as
one line of JSON.  Its process is new, so that what it holds is what they take.
"""

from __future__ import annotations

import json
import random
import struct
import sys
import time
from array import array
from pathlib import Path
from typing import Final

from xtcp_twisted.config import ALL, UNLIMITED, EngineConfig, GiB, GroupOptions, MiB
from xtcp_twisted.engine import Engine
from xtcp_twisted.engine.kinds import EventKind
from xtcp_twisted.link.memory import MemoryLink

from .crafted import ACK, PSH, SYN, craft, numbers, packed

HERE: Final = "192.0.2.1"
PORT: Final = 7
#: Handshakes on the way at any time.
BATCH: Final = 512
#: So many of them ask, at random: 1 KB, answered with as much.
ASKING: Final = 30_000
SIZE: Final = 1_024
REQUEST: Final = bytes(range(256)) * (SIZE // 256)
#: MSS 1,460.
OPTIONS: Final = bytes((2, 4, 5, 180))


def source(number: int) -> tuple[bytes, int]:
    """Address and port of a client."""
    return struct.pack("!I", 0x0A00_0000 + (number >> 8)), 40_000 + (number & 0xFF)


def resident() -> int:
    """Memory of this process, bytes."""
    line = next(line for line in Path("/proc/self/smaps_rollup").read_text().splitlines() if "Rss:" in line)
    return int(line.split()[1]) * 1024


class Million:
    """The engine, its clock and its clients, who are no more than what they need to know to ask."""

    def __init__(self, connections: int) -> None:
        self.link = MemoryLink()
        config = EngineConfig(
            addresses=(HERE,),
            max_connections=1 << (connections - 1).bit_length(),
            transmit_buffer=32 * MiB,
            arena_limit=4 * GiB,
        )
        self.engine = Engine(self.link, config)
        self.here = packed(HERE)
        self.now = 1_000.0
        options = GroupOptions(accept_credits=UNLIMITED)
        self.group = self.engine.create_pool(32 * MiB).open_group(PORT, options=options)
        self.iss = array("I", bytes(4 * connections))

    def send(self, number: int, seq: int, ack: int, flags: int, data: bytes = b"") -> None:
        address, port = source(number)
        options = OPTIONS if flags & SYN else b""
        self.link.deliver(craft(address, self.here, port, PORT, seq, ack, flags, data, options))

    def turn(self) -> list[bytes]:
        """Poll and flush until nothing is left to do; the packets that left."""
        while self.link.pending:
            self.engine.poll(self.now)
        self.engine.flush(self.now)
        return [bytes(packet) for _, packet in self.link.take()]

    def open(self) -> int:
        """All handshakes; how many connections the engine has reported."""
        made = 0
        for first in range(0, len(self.iss), BATCH):
            batch = range(first, min(first + BATCH, len(self.iss)))
            for number in batch:
                self.send(number, 0, 0, SYN)
            for packet in self.turn():
                _, seq, _, _ = numbers(packet)
                number = (struct.unpack_from("!I", packet, 16)[0] - 0x0A00_0000) << 8
                number += struct.unpack_from("!H", packet, 22)[0] - 40_000
                self.iss[number] = seq
                self.send(number, 1, seq + 1, ACK)
            assert self.turn() == []
            made += sum(kind == EventKind.ESTABLISHED for kind, *_ in self.engine.events(2 * BATCH))
            self.now += 0.001
        return made

    def idle(self, seconds: float) -> int:
        """Let time pass as `poll_at` asks for it; the packets that left."""
        end, packets = self.now + seconds, 0
        while (due := self.engine.poll_at()) is not None and due < end:
            self.now = max(self.now, due)
            packets += len(self.turn()) + self.engine.poll(self.now)
        self.now = end
        return packets

    def exchange(self, chosen: list[int]) -> tuple[int, int, float]:
        """Each of these asks once, `BATCH` at a time.

        :returns: answers that are right, packets of the engine, CPU seconds of engine and server.
        """
        right, sent, seconds = 0, 0, 0.0
        for first in range(0, len(chosen), BATCH):
            batch = chosen[first : first + BATCH]
            for number in batch:
                self.send(number, 1, self.iss[number] + 1, ACK | PSH, REQUEST)
            seconds -= time.process_time()
            self.serve()
            seconds += time.process_time()
            packets = [bytes(packet) for _, packet in self.link.take()]
            right += sum(packet[40:] == REQUEST and numbers(packet)[2] == 1 + SIZE for packet in packets)
            for number in batch:
                self.send(number, 1 + SIZE, self.iss[number] + 1 + SIZE, ACK)
            seconds -= time.process_time()
            self.serve()
            seconds += time.process_time()
            sent += len(packets) + len(self.link.take())
            self.now += 0.01
        return right, sent, seconds

    def serve(self) -> None:
        """What a server of this group does with what has come."""
        while self.link.pending:
            self.engine.poll(self.now)
            while batch := self.group.recv_batch(256):
                for cd, data in batch:
                    self.group.send(cd, data, ALL)
            self.engine.flush(self.now)

    def broadcast(self) -> tuple[int, int]:
        """Queue one message of `SIZE` bytes for all; how many took it, and bytes of chunks that it takes."""
        before = self.engine.snapshot().transmit_buffer.used
        reached = self.group.broadcast(REQUEST)
        return reached, self.engine.snapshot().transmit_buffer.used - before


def main() -> None:
    connections = int(sys.argv[1])
    world = Million(connections)
    made = world.open()
    snapshot = world.engine.snapshot()
    idle_packets = world.idle(3_600)
    idle = resident()
    right, packets, seconds = world.exchange(random.Random(1).sample(range(connections), ASKING))
    seen = {
        "made": made,
        "open": snapshot.connections,
        "counted_bytes": snapshot.connection_bytes,
        "resident_idle": idle,
        "resident_after": resident(),
        "packets_while_idle": idle_packets,
        "answered": right,
        "packets": packets,
        "message_us": round(seconds * 1e6 / ASKING, 2),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
    }
    reached, stored = world.broadcast()
    print(json.dumps(seen | {"reached": reached, "stored": stored}))


if __name__ == "__main__":
    main()
