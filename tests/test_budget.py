"""What a connection and a message may cost, by counting: bytes, system calls, Python's part, packets.

Nothing here is timed, so each number is the same on every machine, and a change that costs more
fails.  Whoever raises one says in its commit what that buys.
"""

from __future__ import annotations

import gc
import json
import re
import shutil
import signal
import subprocess
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from support.burst import CLIENTS, Bursts, bursting
from support.net import Net

from benchmarks.crowd import ACK, APPLICATIONS, FIN, Crowd, reply
from examples.echo import Echo
from xtcp_twisted.config import ALL, UNLIMITED, GroupOptions
from xtcp_twisted.engine import Group
from xtcp_twisted.lab import Lab
from xtcp_twisted.reactor.groups import GroupProtocol
from xtcp_twisted.reactor.transport import XTCPTransport
from xtcp_twisted.testing import MemoryNetwork

ROOT = Path(__file__).parents[1]
REQUEST = bytes(range(100))


def still() -> float:
    """The engines' clock: no timer fires, however busy the machine is."""
    return 1_000.0


@pytest.fixture
def crowd() -> Iterator[Callable[..., Crowd]]:
    """Make servers with clients: ``crowd("group protocol", 10_000)``; they are stopped at the end."""
    made: list[Crowd] = []

    def make(name: str, connections: int) -> Crowd:
        made.append(Crowd(APPLICATIONS[name], connections, still))
        return made[-1]

    yield make
    for each in made:
        each.stack.stop()


def group_of(server: Crowd) -> Group:
    """The engine's group that the application serves."""
    [group] = server.pool.groups()
    assert isinstance(group, Group)
    return group


def idle(group: Group) -> list[int]:
    """The ids of its connections, all of which are idle."""
    cds, rest = group.quiet(rows=1 << 24)
    assert (len(cds), rest) == (len(group), 0)
    return cds


# --- Bytes ------------------------------------------------------------------------

#: Rows of the engine's tables, and the slot of the index that each 4-tuple takes.
RECORD, HALF_OPEN, TIME_WAIT, ACTIVE, EXTENT, CHUNK, SLOT = 128, 64, 40, 128, 32, 256, 8
#: An ordinary protocol's objects: transport and protocol with slots, each with the collector's header,
#: the values that CPython 3.11 gives to an object, and a place in the table of transports, which grows
#: by an eighth at a time.
OBJECTS = 128 + 80 + 16 + 8 * 9 / 8
FEW, MANY = 500, 10_500


class Grown:
    """What happens meanwhile takes, by connection: in the engine's tables, and as Python objects."""

    def __init__(self, server: Crowd, connections: int) -> None:
        self._server, self._connections = server, connections
        self.rows = self.objects = 0.0

    def __enter__(self) -> Self:
        gc.collect()
        self._before = self._server.stack.engine.snapshot().connection_bytes
        tracemalloc.start()
        return self

    def __exit__(self, *raised: object) -> None:
        gc.collect()
        self.objects = tracemalloc.get_traced_memory()[0] / self._connections
        tracemalloc.stop()
        self.rows = self._server.stack.engine.snapshot().connection_bytes - self._before
        self.rows /= self._connections


@pytest.mark.feature("P34")
class TestBytes:
    def test_a_connection_of_a_group_protocol_is_a_record(self, crowd: Callable[..., Crowd]):
        server = crowd("group protocol", MANY)
        server.open(0, FEW)
        with Grown(server, MANY - FEW) as grown:
            server.open(FEW, MANY)
        assert grown.rows == RECORD + SLOT
        assert grown.objects < 1, "Python keeps something for each connection"

    def test_an_ordinary_protocol_adds_a_transport_and_itself(self, crowd: Callable[..., Crowd]):
        server = crowd("ordinary protocol", MANY)
        server.open(0, FEW)
        with Grown(server, MANY - FEW) as grown:
            server.open(FEW, MANY)
        assert grown.rows == RECORD + SLOT
        assert grown.objects <= OBJECTS

    def test_a_transport_has_no_object_for_its_numbers(self, crowd: Callable[..., Crowd]):
        server = crowd("ordinary protocol", 16)
        server.open(0, 1)
        transport = next(iter(filter(None, server.stack.stage.table.rows)))
        kinds = {type(held) for held in gc.get_referents(transport)}
        assert isinstance(transport, XTCPTransport)
        assert not {int, str, tuple, dict, list} & kinds, kinds

    def test_a_request_that_is_half_open(self, crowd: Callable[..., Crowd]):
        server = crowd("group protocol", MANY)
        server.ask(0, FEW)
        with Grown(server, MANY - FEW) as grown:
            server.ask(FEW, MANY)
        assert server.stack.engine.snapshot().half_open == MANY
        assert grown.rows == HALF_OPEN + SLOT
        assert grown.objects < 1

    def test_what_is_left_of_closed_connections_is_time_wait(self, crowd: Callable[..., Crowd]):
        server = crowd("group protocol", MANY)

        def close() -> None:
            for cd in idle(group_of(server))[FEW:]:
                group_of(server).finish(cd)

        left = self.left(server, close)
        assert left.rows == TIME_WAIT + SLOT
        assert left.objects < 1

    def test_an_ordinary_protocol_leaves_no_object(self, crowd: Callable[..., Crowd]):
        server = crowd("ordinary protocol", MANY)

        def close() -> None:
            rows = server.stack.stage.table.rows
            for transport in list(filter(None, rows))[FEW:]:
                transport.loseConnection()

        # The table of transports keeps its length.
        assert self.left(server, close).objects <= 8 * 9 / 8 + 1

    def left(self, server: Crowd, close: Callable[[], None]) -> Grown:
        """What connections leave that come and are closed: all but the first few."""
        server.open(0, FEW)
        with Grown(server, MANY - FEW) as grown:
            server.open(FEW, MANY)
            close()
            self.goodbye(server)
        snapshot = server.stack.engine.snapshot()
        assert (snapshot.connections, snapshot.time_wait) == (FEW, MANY - FEW)
        return grown

    @staticmethod
    def goodbye(server: Crowd) -> None:
        """The server has closed connections: their clients do so, too."""
        while said := server.turns():
            server.deliver(reply(packet, FIN | ACK) for packet in said)

    def test_an_answer_under_way(self, crowd: Callable[..., Crowd]):
        """The one time that a connection has more than its record: until its client has acknowledged."""
        server = crowd("group protocol", 1_000)
        server.open(0, 1_000)
        group = group_of(server)
        for data, chunks in ((REQUEST, 1), (REQUEST * 10, 5)):
            with Grown(server, 1_000) as grown:
                server.request(group, idle(group), data)
                answers = server.turns()
            assert len(answers) == 1_000
            assert grown.rows == ACTIVE + EXTENT + chunks * CHUNK
            server.deliver(map(reply, answers))
            assert server.turns() == []

    def test_resident(self):
        """All of it, as the kernel counts it: pages that are touched but not counted above, too."""
        command = (sys.executable, "-m", "benchmarks.accept", "--json", "--connections", "200000")
        done = subprocess.run(
            [*command, "--only", "group protocol"], cwd=ROOT, check=True, stdout=subprocess.PIPE, timeout=60
        )
        # Huge pages come in steps of 2 MiB (10 bytes each here), code and buffers of packets once (33).
        assert json.loads(done.stdout)["bytes_per_connection"] <= 200


# --- Python's part of a message ---------------------------------------------------


class Plain(GroupProtocol):
    """Answers, and does nothing else: what is counted is the library's."""

    def messagesReceived(self, messages: list[tuple[int, bytes]]) -> None:
        send = self.group.send
        for cd, data in messages:
            send(cd, data)


class Warm:
    """A server of one application, all of whose connections have been served before."""

    def __init__(self, factory: Callable[[], Any], connections: int) -> None:
        self.server = Crowd(factory, connections, still)
        self.server.open(0, connections)
        self.group = group_of(self.server)
        self.cds = idle(self.group)
        for _ in range(3):
            self.exchange(connections)

    def ask(self, count: int) -> None:
        self.server.request(self.group, self.cds[:count], REQUEST)

    def heard(self, count: int) -> None:
        """The clients have their answers, and say so."""
        answers = [packet for _, packet in self.server.link.take()]
        assert [packet[-len(REQUEST) :] for packet in answers] == [REQUEST] * count
        self.server.deliver(map(reply, answers))
        assert self.server.turns() == []

    def exchange(self, count: int) -> None:
        self.ask(count)
        self.server.stack.reader.doRead()
        self.heard(count)

    def calls(self, count: int) -> Counter[str]:
        """Calls of Python functions, and of C functions by Python code, in the turn of so many requests."""
        made: Counter[str] = Counter()
        self.ask(count)
        turn = self.server.stack.reader.doRead
        sys.setprofile(lambda frame, event, argument: made.update([event]))
        try:
            turn()
        finally:
            sys.setprofile(None)
        self.heard(count)
        return made


@pytest.fixture
def warm() -> Iterator[Callable[..., Warm]]:
    made: list[Warm] = []

    def make(factory: Callable[[], Any] = Plain, connections: int = 256) -> Warm:
        made.append(Warm(factory, connections))
        return made[-1]

    yield make
    for each in made:
        each.server.stack.stop()


@pytest.fixture
def no_collections() -> Iterator[None]:
    """Nothing is freed meanwhile but by its references."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.feature("P35")
class TestPython:
    def test_a_turn_of_a_group_protocol_costs_the_same_calls_for_any_messages(
        self, warm: Callable[..., Warm]
    ):
        few, many = (warm().calls(count) for count in (16, 256))
        assert few == many, "something of Python is called for each message"
        assert many["call"] <= 30

    def test_an_ordinary_protocol_costs_so_many_calls_for_a_message(self, warm: Callable[..., Warm]):
        server = warm(APPLICATIONS["ordinary protocol"])
        few, many = (server.calls(count)["call"] for count in (16, 256))
        assert (many - few) / (256 - 16) <= 3

    @pytest.mark.usefixtures("no_collections")
    def test_a_message_is_bytes_and_an_id_in_a_tuple(self, warm: Callable[..., Warm]):
        """So two blocks of memory, which the application may keep, and a tuple that CPython has in stock.

        An answer takes none.
        """
        server = warm()
        counts = []
        for count in (64, 256):
            server.ask(count)
            server.server.stack.engine.poll(0)
            counts.append(self.count(server.group))
            server.server.stack.engine.flush(0)
            server.heard(count)
        (few, *others), (many, *more) = counts
        assert many - few <= 2 * (256 - 64)
        assert others == more == [0, 0, 0]

    @staticmethod
    def count(group: Group) -> tuple[int, int, int, int]:
        """Blocks of memory that `recv_batch`, the answers, `done` and all together take."""
        cd, data = 0, b""
        blocks = sys.getallocatedblocks
        taken = [0, 0, 0, 0, 0]
        taken[0] = blocks()
        messages = group.recv_batch(1_024)
        taken[1] = blocks()
        for cd, data in messages:
            group.send(cd, data)
        taken[2] = blocks()
        group.done(messages)
        taken[3] = blocks()
        del messages, cd, data
        taken[4] = blocks()
        # The numbers themselves are blocks: one more each time.
        return (
            taken[1] - taken[0],
            taken[2] - taken[1] - 1,
            taken[3] - taken[2] - 1,
            taken[4] - taken[0] - 4,
        )

    @pytest.mark.usefixtures("no_collections")
    @pytest.mark.parametrize("factory", [Plain, *APPLICATIONS.values()])
    def test_nothing_is_kept_of_ten_thousand_messages(self, warm: Callable[..., Warm], factory: Any):
        server = warm(factory, 250)
        for _ in range(100):
            server.exchange(2)  # CPython fills its lists of free objects
        before = sys.getallocatedblocks()
        for _ in range(40):
            server.exchange(250)
        assert abs(sys.getallocatedblocks() - before) <= 8


# --- Packets ----------------------------------------------------------------------


class Packets:
    """Packets that the server takes in and sends, as its link counts them."""

    def __init__(self, net: MemoryNetwork) -> None:
        self._link = net.server.link
        self._seen = (0, 0)

    def took(self) -> tuple[int, int]:
        """(in, out) since the last time."""
        now = self._link.received, self._link.sent
        then, self._seen = self._seen, now
        return now[0] - then[0], now[1] - then[1]


class Wall(GroupProtocol):
    """Tells everybody."""

    def messageReceived(self, cd: int, data: bytes) -> None:
        self.group.broadcast(data)


@pytest.fixture
def net() -> Iterator[MemoryNetwork]:
    with MemoryNetwork() as made:
        yield made


@pytest.mark.feature("P15")
class TestPackets:
    """Of the server one for each answer, and no acknowledgement alone in an exchange that is answered."""

    @pytest.mark.parametrize("factory", APPLICATIONS.values(), ids=APPLICATIONS)
    def test_from_connecting_to_the_end(self, net: MemoryNetwork, factory: Any):
        port, packets = net.listen(factory()), Packets(net)
        client = net.connect(port)
        assert packets.took() == (2, 1)  # SYN, ACK; SYN-ACK
        client.send(REQUEST)
        assert client.take() == REQUEST
        assert packets.took() == (2, 1)  # request, ACK; answer with ACK
        client.send(REQUEST)
        assert packets.took() == (2, 1)
        client.close()
        assert packets.took() == (2, 1)  # FIN, ACK; FIN with ACK
        net.advance(120)
        assert packets.took() == (0, 0)

    def test_requests_before_the_first_is_answered(self, net: MemoryNetwork):
        """Those of one turn are one message, so one answer."""
        port, packets = net.listen(Echo(), options=GroupOptions()), Packets(net)
        client = net.connect(port)
        packets.took()
        for _ in range(10):
            client.transport.write(REQUEST)
            net.clients.reader.flush()
        net.settle()
        assert client.take() == REQUEST * 10
        assert packets.took() == (10 + 1, 1)

    def test_a_broadcast(self, net: MemoryNetwork):
        port, packets = net.listen(Wall()), Packets(net)
        clients = [net.connect(port) for _ in range(20)]
        packets.took()
        clients[0].send(REQUEST)
        assert all(client.take() == REQUEST for client in clients)
        assert packets.took() == (1 + 20, 20)

    def test_an_idle_hour(self, net: MemoryNetwork):
        port, packets = net.listen(Echo()), Packets(net)
        net.connect(port).send(REQUEST)
        packets.took()
        net.advance(3_600)
        assert packets.took() == (0, 0)


@pytest.mark.feature("P22")
def test_a_request_that_comes_again_is_answered_by_one_packet(make_net: Callable[..., Net]):
    net = make_net()
    group = net.group(7, accept_credits=UNLIMITED)
    client = net.client(group).established()
    net.advance(0.1)
    client.send(REQUEST)
    net.poll()
    assert group.recv(1_000) == (client.cd, REQUEST)
    with client.losing() as lost:
        group.send(client.cd, REQUEST, ackd=ALL)
        net.flush()
    net.advance(0.1)
    client.send(REQUEST, seq=1)
    net.turn()
    assert len(lost) == 1
    client.expect("A", ack=1 + len(REQUEST), data=REQUEST)
    client.expect_nothing()


# --- System calls -----------------------------------------------------------------

BURSTS = 5
#: What the turns of a burst cost, however many messages they are for: how many there are depends on how
#: both sides meet.
TURNS = 16


@pytest.fixture(params=['protocol = "examples.echo.Echo"', 'protocol = "examples.plain_echo.PlainEcho"'])
def served(lab: Lab, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bursts]:
    with bursting(lab, tmp_path, request.param) as served:
        yield served


@pytest.mark.feature("P35")
class TestSystemCalls:
    def test_two_reads_and_at_most_a_write_for_a_message(self, served: Bursts):
        """The request, the client's acknowledgement of the answer, the answer; a turn's own are shared."""
        before = served.calls()
        for _ in range(BURSTS):
            served.burst()
        reads, writes = (after - then for after, then in zip(served.calls(), before, strict=True))
        assert BURSTS * CLIENTS <= reads <= BURSTS * (2 * CLIENTS + TURNS)
        assert writes <= BURSTS * (CLIENTS + TURNS)

    def test_a_turn_waits_once_and_moves_its_timer_at_most_once(self, served: Bursts, tmp_path: Path):
        """All other calls, as strace has them."""
        program, table = shutil.which("strace"), tmp_path / "calls"
        if program is None:
            pytest.skip("strace is not installed")
        command = [program, "-f", "-c", "-U", "name,calls", "-o", str(table), "-p", str(served.server.pid)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
            assert strace.stderr is not None
            if "attached" not in (said := strace.stderr.readline()):
                pytest.skip(f"strace may not look at the server: {said.strip()}")
            for _ in range(BURSTS):
                served.burst()
            strace.send_signal(signal.SIGINT)
        made = {name: int(calls) for name, calls in re.findall(r"^ *(\w+) +(\d+)$", table.read_text(), re.M)}
        made.pop("total")
        ring = made.pop("io_uring_enter", 0)
        assert set(made) <= {"read", "write", "epoll_wait", "timerfd_settime"}
        assert made["read"] <= BURSTS * (2 * CLIENTS + TURNS)
        # The packets of a turn leave by one call, of 64 at most, where the kernel has such a ring.
        assert ring <= BURSTS * (CLIENTS // 64 + TURNS)
        assert made.get("write", 0) <= BURSTS * (TURNS if ring else CLIENTS + TURNS)
        assert made["epoll_wait"] <= BURSTS * TURNS
        assert made.get("timerfd_settime", 0) <= made["epoll_wait"]
