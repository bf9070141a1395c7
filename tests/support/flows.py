"""Who plays the figures' exchanges: a connection that exists already, with its network and its client.

`ScriptedFlow` has a peer on a MemoryLink, on virtual time; `KernelFlow` has an
unmodified TCP, the kernel's.  Between client and engine is an `ImpairedLink`
that loses exactly the packet that the figure loses, and each packet on the
network is one `Row`, made of what the two ends say of themselves at that moment.

The verbs are those of the patent's text: the client requests, the server serves,
the client acknowledges; `lost` takes the one packet that it causes away.
"""

from __future__ import annotations

import array
import fcntl
import io
import select
import socket
import termios
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from xtcp_twisted.config import UNLIMITED, EngineConfig, GroupOptions, MiB
from xtcp_twisted.engine import Engine, Group
from xtcp_twisted.engine.kinds import ENDS, EventKind
from xtcp_twisted.lab import Lab
from xtcp_twisted.link import CaptureLink, ImpairedLink, Link

from .capture import segments
from .figure import Message, Row, Service, Symbols, compare
from .net import MakeNet
from .packets import Segment

REQUESTS: Final = (
    Message("Req1", "k", b"what is the capital of Finland?"),
    Message("Req2", "l", b"and that of Estonia?"),
)
ANSWERS: Final = (Message("Ans1", "m", b"Helsinki"), Message("Ans2", "n", b"Tallinn, of course"))

PORT: Final = 7
HOSTS: Final[dict[int, str]] = {socket.AF_INET: "10.77.0.2", socket.AF_INET6: "fd77::2"}
#: How much later than at once the scripted client's ACK of the handshake comes.  XTCP's first resend timer is
#: so much longer, and where an answer is lost, the client asks again before it.
LATE_S: Final = 0.1
#: What a packet of a kernel's client takes, and what such a client waits before it asks again, by the
#: engine's clock.  That stands still while the test waits for the kernel, so that no timer of XTCP depends on
#: how busy the machine is.
TRIP_S: Final = 0.01
AGAIN_S: Final = 0.1
#: Retransmission timeouts of the kernel: of a client that must not ask again, and of one that has to.
NEVER_S: Final = 60.0
SOON_S: Final = 0.5
#: Position of the metric that is the least of these timeouts (RTAX_RTO_MIN), which counts if it is locked.
RTO_MIN: Final = 13
#: The longest wait for a packet, far beyond any timer here.
PATIENCE_S: Final = 60.0

CLIENT, SERVER = 0, 1
#: Events that ask nothing of the application.
QUIET: Final = frozenset({EventKind.SOFT_ERROR})


def difference(a: int, b: int) -> int:
    """From sequence number `b` to `a`."""
    return (a - b + 2**31) % 2**32 - 2**31


class Network:
    """The network fabric between client and engine: it loses what it is told to, and shows every packet."""

    def __init__(self) -> None:
        self._captures = (io.BytesIO(), io.BytesIO())
        self._seen, self._lost = [0, 0], [0, 0]

    def around(self, link: Link) -> Link:
        """The link for the engine; `link` leads to the client."""
        far, near = self._captures
        self.impaired = ImpairedLink(CaptureLink(link, far))
        self._paths = (self.impaired.inbound, self.impaired.outbound)
        return CaptureLink(self.impaired, near)

    @contextmanager
    def losing(self, sender: int, *, lost: bool = True) -> Iterator[None]:
        """What `sender` sends meanwhile does not arrive, if it is to be `lost`."""
        self._paths[sender].change(loss=float(lost))
        yield
        self._paths[sender].change(loss=0.0)

    def news(self, sender: int) -> Iterator[tuple[Segment, bool]]:
        """The packets that `sender` has sent since the last time, each with whether it was lost."""
        capture = io.BytesIO(self._captures[sender].getvalue())
        sent = [s for s in segments(capture) if (s.dport == PORT) == (sender == CLIENT)]
        news, self._seen[sender] = sent[self._seen[sender] :], len(sent)
        lost, self._lost[sender] = self._paths[sender].lost - self._lost[sender], self._paths[sender].lost
        assert lost in (0, len(news)), "the loss changed while packets were sent"
        return ((segment, lost > 0) for segment in news)


class Flow(ABC):
    """One established connection, and the rows of its figure.

    :ivar served: requests that the application server has answered.
    :ivar end: how the connection ended, as the application server was told.
    """

    def __init__(self, network: Network, engine: Engine, group: Group, cd: int) -> None:
        self.network, self.engine, self.group, self.cd = network, engine, group, cd
        self.rows: list[Row] = []
        self.served = 0
        self.end: EventKind | None = None
        self._next = Row()
        self._symbols = Symbols(REQUESTS, ANSWERS)
        info = group.info(cd)
        self._origins = (info.rcv_nxt, info.snd_una)
        # Of the client: bytes sent, and acknowledged in a packet; answers that it was notified of, and read.
        self._sent = self._confirmed = self._heard = self._read = 0
        for sender in (CLIENT, SERVER):
            # The handshake is no part of a figure.
            list(network.news(sender))

    def shows(self, figure: str) -> None:
        """The rows so far, and nothing else on the network, are those of the figure."""
        self._flush()
        compare(figure, self.rows)

    # --- the application client and its TCP ---------------------------------------

    def request(self, *, lost: bool = False) -> None:
        """The application client sends its next request, which is one packet."""
        request = REQUESTS[self.served]
        self._next.client_did.append(f"send {request.name}")
        self._sent += len(request.data)
        with self.network.losing(CLIENT, lost=lost):
            self._client_sends(request.data)
            self._until_heard()

    def request_again(self) -> None:
        """The client's TCP has waited for an acknowledgement long enough."""
        self._client_resends()
        self._until_heard()

    def acknowledge(self, *, lost: bool = False) -> None:
        """The client's TCP acknowledges the answer, which the application client has read."""
        while self._read < self._heard:
            answer = ANSWERS[self._read]
            assert self._client_reads() == answer.data
            self._next.client_did.append(f"recv {answer.name}")
            self._read += 1
        with self.network.losing(CLIENT, lost=lost):
            self._client_acknowledges()
            self._until_heard()

    # --- the application server and XTCP --------------------------------------------

    def serve(self, *, lost: bool = False, thinking_s: float = 0.0) -> None:
        """It receives the request, thinks, and sends its answer with the acknowledgement of that."""
        request, answer = REQUESTS[self.served], ANSWERS[self.served]
        self.pass_by(thinking_s)
        self.served += 1
        assert self.group.recv(1_000) == (self.cd, request.data)
        assert self.group.send(self.cd, answer.data, ackd=len(request.data)) == len(answer.data)
        self._next.server_did += [f"recv {request.name}", f"send {answer.name}", f"ack {request.size}"]
        with self.network.losing(SERVER, lost=lost):
            self._flush()

    def answer_again(self) -> None:
        """XTCP resends the answer: now, because it was asked to, or when its timer expires."""
        before = len(self.rows)
        self._flush()
        if len(self.rows) == before:
            self._until_packet()

    def until_down(self) -> None:
        """The client is not heard of any more, until XTCP gives the connection up."""
        end = self.now + PATIENCE_S
        with self.network.losing(CLIENT):
            while self.end is None:
                assert self.now < end, f"not given up after {self.rows[-1]}"
                self._turn(end)

    def asleep(self) -> None:
        """The application server was notified of each request once; there is nothing to receive."""
        told = sum(row.server_did.count("notify") for row in self.rows)
        assert told == self.served, f"notified {told} times of {self.served} requests"
        assert self.group.recv(1_000) is None

    def pass_by(self, seconds: float) -> None:
        """Time passes, and no packet with it."""
        before, end = len(self.rows), self.now + seconds
        while self.now < end:
            self._turn(end)
        assert len(self.rows) == before, f"a packet: {self.rows[-1]}"

    # --- turns ------------------------------------------------------------------------

    def _until_heard(self) -> None:
        """The client sends a packet now."""
        before = len(self.rows)
        while len(self.rows) == before:
            self._await_client()
            self._poll()

    def _until_packet(self) -> None:
        """Turns until somebody has sent a packet; what XTCP says to one of the client has not left yet."""
        before, end = len(self.rows), self.now + PATIENCE_S
        while len(self.rows) == before:
            assert self.now < end, f"no packet after {self.rows[-1:]}"
            self._turn(end)

    def _turn(self, until: float) -> None:
        self._wait(until)
        if not self._poll():
            self._flush()

    def _poll(self) -> bool:
        """The first half of a turn; whether packets came."""
        self._engine_polls()
        before = len(self.rows)
        for segment, lost in self.network.news(CLIENT):
            self._row(CLIENT, segment, lost=lost)
        for kind, _, cd, _ in self._events():
            assert cd == self.cd
            if kind in ENDS:
                self.end = kind
            elif kind == EventKind.DATA:
                self.rows[-1].server_did.append("notify")
            else:
                assert kind in QUIET, f"an event that no figure has: {kind.name}"
        return len(self.rows) > before

    def _flush(self) -> None:
        """The second half."""
        self._engine_flushes()
        if self.end is not None:
            return
        for segment, lost in self.network.news(SERVER):
            heard = ANSWERS[self._heard].data if self._heard < len(ANSWERS) else b""
            new = not lost and segment.data and segment.data == heard
            if new:
                self._client_is_notified()
                self._heard += 1
            self._row(SERVER, segment, lost=lost)
            if new:
                self.rows[-1].client_did.append("notify")

    def _row(self, sender: int, segment: Segment, *, lost: bool) -> None:
        """This packet is on the network, and both ends have done what they do about it at once."""
        seq = difference(segment.seq, self._origins[sender])
        ack: int | None = difference(segment.ack, self._origins[1 - sender])
        if sender == CLIENT:
            # The figures leave out the ACK of a request where it confirms nothing new.
            if segment.data and ack == self._confirmed:
                ack = None
            else:
                self._confirmed = ack or 0
        row, self._next = self._next, Row()
        row.packet = self._symbols.packet(sender, seq, ack, segment.data, lost=lost)
        row.client = self._symbols.service(CLIENT, self._client_service())
        row.server = self._symbols.service(SERVER, self._server_service())
        self.rows.append(row)

    def _client_service(self) -> Service:
        cached = self.client_caches()
        return Service(self._sent - cached, self._confirmed, cached)

    def _server_service(self) -> Service:
        info = self.group.info(self.cd)
        c, s = self._origins
        return Service(difference(info.snd_una, s), difference(info.wire_ack, c), info.snd_nxt - info.snd_una)

    # --- what differs between the two kinds of clients ----------------------------------

    @property
    @abstractmethod
    def now(self) -> float:
        """The engine's time."""

    @abstractmethod
    def _wait(self, until: float) -> None:
        """Until a turn is due, at most until that time."""

    @abstractmethod
    def _await_client(self) -> None:
        """Until a packet of the client can be polled."""

    @abstractmethod
    def _engine_polls(self) -> None: ...

    @abstractmethod
    def _engine_flushes(self) -> None: ...

    @abstractmethod
    def _events(self) -> list[tuple[EventKind, int, int, int]]: ...

    @abstractmethod
    def client_caches(self) -> int:
        """Bytes that the client's TCP has and nobody has acknowledged."""

    @abstractmethod
    def _client_sends(self, data: bytes) -> None:
        """The application client hands it to its TCP."""

    @abstractmethod
    def _client_resends(self) -> None:
        """Its timer."""

    @abstractmethod
    def _client_acknowledges(self) -> None: ...

    @abstractmethod
    def _client_is_notified(self) -> None:
        """The application client's `select` returns."""

    @abstractmethod
    def _client_reads(self) -> bytes: ...


class ScriptedFlow(Flow):
    """A peer that does what the verbs say, on virtual time."""

    RTO_S: Final = 0.2

    def __init__(self, make_net: MakeNet, *, v6: bool = False, **options: Any) -> None:
        network = Network()
        self.net = make_net(around=network.around)
        group = self.net.group(PORT, v6=v6, **options)
        self.client = self.net.client(group).syn_received()
        self.net.advance(LATE_S)
        self.client.ack()
        self.net.turn()
        [(kind, _, self.client.cd, _)] = self.net.take_events()
        assert kind == EventKind.ESTABLISHED
        self._asked = 0.0
        super().__init__(network, self.net.engine, group, self.client.cd)

    @property
    def now(self) -> float:
        return self.net.now

    def _wait(self, until: float) -> None:
        due = self.net.now if self.net.link.pending else self.engine.poll_at()
        self.net.now = until if due is None else min(until, max(due, self.net.now))

    def _await_client(self) -> None:
        assert self.net.link.pending

    def _engine_polls(self) -> None:
        self.net.poll()

    def _engine_flushes(self) -> None:
        self.net.flush()

    def _events(self) -> list[tuple[EventKind, int, int, int]]:
        return self.net.take_events()

    def client_caches(self) -> int:
        # Its numbers begin at 1, behind its SYN.
        return self._sent - (self.client.judge.last_ack - 1)

    def _client_sends(self, data: bytes) -> None:
        self._asked = self.net.now
        self.client.send(data)

    def _client_resends(self) -> None:
        self.pass_by(self._asked + self.RTO_S - self.net.now)
        self.client.send(REQUESTS[0].data, seq=1)

    def _client_acknowledges(self) -> None:
        self.client.ack()

    def _client_is_notified(self) -> None:
        assert self.client.received.endswith(ANSWERS[self._heard].data)

    def _client_reads(self) -> bytes:
        return self.client.take()[0].data


def _resend_after(device: str, seconds: float) -> None:
    """Sockets of this namespace wait so long for acknowledgements of XTCP's hosts."""
    # Here, because it takes 0.2 s, and scripted flows do without.
    from pyroute2 import IPRoute

    metrics = {"lock": 1 << RTO_MIN, "rto_min": int(seconds * 1000)}
    with IPRoute() as routes:
        [index] = routes.link_lookup(ifname=device)
        for family, host in HOSTS.items():
            length = 32 if family == socket.AF_INET else 128
            routes.route("add", family=family, dst=f"{host}/{length}", oif=index, metrics=metrics)


class KernelFlow(Flow):
    """A socket of the kernel in a lab; the engine's time is the test's.

    :param resends: whether the client's TCP has to ask again for itself.
    """

    def __init__(self, lab: Lab, family: int, *, resends: bool = False, **options: Any) -> None:
        network = Network()
        config = EngineConfig(
            addresses=tuple(HOSTS.values()),
            max_connections=64,
            transmit_buffer=1 * MiB,
            arena_limit=256 * MiB,
        )
        self._now = time.monotonic()
        self._device = lab.link()
        lab.call(_resend_after, self._device.name, SOON_S if resends else NEVER_S)
        self.engine = Engine(network.around(self._device), config)
        group = self.engine.create_pool(1 * MiB).open_group(
            PORT, domain=family, options=GroupOptions(accept_credits=UNLIMITED, **options)
        )
        self.sock = lab.call(socket.socket, family)
        self.sock.setblocking(False)
        super().__init__(network, self.engine, group, self._establish(HOSTS[family]))

    def _establish(self, host: str) -> int:
        self.sock.connect_ex((host, PORT))
        while not (events := self.engine.events()):
            self._await_client()
            self._engine_polls()
            self._engine_flushes()
        [(kind, _, cd, _)] = events
        assert kind == EventKind.ESTABLISHED
        return cd

    def close(self) -> None:
        self.engine.close()
        self.sock.close()

    @property
    def now(self) -> float:
        return self._now

    def until(self, true: Callable[[], bool]) -> None:
        """Turns, whatever packets they bring, until something has become true."""
        end = time.monotonic() + PATIENCE_S
        self._flush()
        while not true():
            assert time.monotonic() < end, f"not true after {self.rows[-1:]}"
            due = None if self._hears(0.01) else self.engine.poll_at()
            self._now = max(self._now, due or 0.0)
            self._poll()
            self._flush()

    def _hears(self, seconds: float) -> bool:
        """Whether the kernel sends something within so many real seconds."""
        return bool(select.select([self._device], [], [], seconds)[0])

    def _await_client(self) -> None:
        assert self._hears(PATIENCE_S), "the client sends nothing"
        self._now += TRIP_S

    def _wait(self, until: float) -> None:
        due = self._now if self._hears(0) else self.engine.poll_at()
        self._now = until if due is None else min(until, max(due, self._now))

    def _engine_polls(self) -> None:
        self.engine.poll(self.now)

    def _engine_flushes(self) -> None:
        self.engine.flush(self.now)

    def _events(self) -> list[tuple[EventKind, int, int, int]]:
        return self.engine.events()

    def client_caches(self) -> int:
        """What SIOCOUTQ says (tcp(7))."""
        count = array.array("i", [0])
        fcntl.ioctl(self.sock, termios.TIOCOUTQ, count)
        return count[0]

    def _client_sends(self, data: bytes) -> None:
        assert self.sock.send(data) == len(data)

    def _client_resends(self) -> None:
        """It does so by itself."""
        self._now += AGAIN_S

    def _client_acknowledges(self) -> None:
        """So here."""

    def _client_is_notified(self) -> None:
        assert select.select([self.sock], [], [], PATIENCE_S)[0]

    def _client_reads(self) -> bytes:
        return self.sock.recv(1_000)
