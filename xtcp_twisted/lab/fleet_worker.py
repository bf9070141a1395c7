"""One process of a fleet: many real kernel TCP connections on one epoll loop.

Plain sockets and no framework, because what is measured is the server and two
cores have to carry both.  Run as ``python -m xtcp_twisted.lab.fleet_worker``:
the first line of standard input is the plan (JSON, `Plan`), the end of standard
input is the order to finish.  Each line of standard output is a report (JSON,
`Worker.report`); the last one says ``"state": "done"``.
"""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from xtcp_twisted.lab.latency import Latencies
from xtcp_twisted.lab.talk import ChatTalk, EchoTalk, Talk, WrongAnswer

REPORT_EVERY_S: Final = 0.5
#: How long to wait for outstanding answers after the order to finish.
FAREWELL_S: Final = 5.0
#: A backlog of requests beyond this is dropped rather than caught up with, seconds.
CATCH_UP_S: Final = 1.0
#: Texts of errors that one worker keeps as examples.
EXAMPLES: Final = 5

#: By name: a talk for the clients of one worker, from a seed.
TALKS: Final[dict[str, Callable[[int], Talk]]] = {"echo": EchoTalk, "chat": lambda _seed: ChatTalk()}


@dataclass(frozen=True)
class Plan:
    """What one worker does."""

    first: int  #: number of its first client
    clients: int
    #: Talk, host and port; client n takes the one at n modulo their number.
    targets: list[tuple[str, str, int]]
    rate: float  #: requests per second, all clients of this worker together; 0: the first alone
    window: int  #: connections that are being opened at a time
    patience_s: float  #: an answer or a handshake that takes longer is an error


class Client:
    """One connection."""

    __slots__ = ("lost", "number", "partial", "sent_at", "sequence", "socket", "talk", "wanted")

    def __init__(self, number: int, talk: Talk, connection: socket.socket, now: float) -> None:
        self.number = number
        self.talk = talk
        self.socket = connection
        self.sent_at = now  #: of the SYN, then of the request; 0.0: nothing outstanding
        self.sequence = -1  #: -1: the handshake is not complete
        self.lost = False
        self.wanted = b""
        self.partial = b""


class Worker:
    """The clients of one process and their counters."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.talks: dict[str, Talk] = {name: talk(plan.first) for name, talk in TALKS.items()}
        self.epoll = select.epoll()
        self.clients: dict[int, Client] = {}
        self.idle: deque[Client] = deque()
        #: Everything outstanding, oldest first: (client, its sent_at then).
        self.waiting: deque[tuple[Client, float]] = deque()
        self.started = self.opening = self.opened = self.requests = self.answers = self.late = 0
        self.errors: Counter[str] = Counter()
        self.examples: list[str] = []
        self.latencies = Latencies()
        self.next_request = self.next_report = time.monotonic()
        self.finishing: float | None = None

    def run(self) -> None:
        """Open the connections, talk until told to finish, report all the while."""
        self.epoll.register(sys.stdin.fileno(), select.EPOLLIN | select.EPOLLHUP)
        while not self._finished(now := time.monotonic()):
            for fd, events in self.epoll.poll(self._sleep(now)):
                if fd == sys.stdin.fileno():
                    self.finishing = time.monotonic() + FAREWELL_S
                    self.epoll.unregister(fd)
                else:
                    self._ready(self.clients[fd], events)
            now = time.monotonic()
            self._expire(now)
            if self.finishing is None:
                self._open(now)
                self._talk(now)
            if now >= self.next_report:
                self.report("opening" if self._ramping() else "talking")
                self.next_report = now + REPORT_EVERY_S
        self.report("done")

    def _ramping(self) -> bool:
        return self.opening > 0 or self.started < self.plan.clients

    def _finished(self, now: float) -> bool:
        return self.finishing is not None and (not self.waiting or now >= self.finishing)

    def _sleep(self, now: float) -> float:
        until = self.next_report
        if self.idle and self.plan.rate and self.finishing is None:
            until = min(until, self.next_request)
        if self.finishing is not None:
            until = min(until, self.finishing)
        return max(0.0, until - now)

    def _open(self, now: float) -> None:
        while self.opening < self.plan.window and self.started < self.plan.clients:
            number = self.plan.first + self.started
            talk, host, port = self.plan.targets[number % len(self.plan.targets)]
            self.started += 1
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            connection = socket.socket(
                family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
            )
            client = Client(number, self.talks[talk], connection, now)
            code = connection.connect_ex((host, port))
            if code not in (0, errno.EINPROGRESS):
                self._error(f"connect: {_name(code)}", f"client {number} to {host}: {os.strerror(code)}")
                connection.close()
                continue
            self.opening += 1
            self.clients[connection.fileno()] = client
            self.waiting.append((client, now))
            self.epoll.register(connection.fileno(), select.EPOLLOUT)

    def _talk(self, now: float) -> None:
        rate = self.plan.rate
        if not rate:
            return
        behind = max(0, int((now - self.next_request - CATCH_UP_S) * rate))
        self.late += 0 if self._ramping() else behind
        self.next_request += behind / rate
        while self.next_request <= now:
            self.next_request += 1 / rate
            while self.idle and self.idle[0].lost:
                self.idle.popleft()
            if self.idle:
                self._send(self.idle.popleft())
            elif not self._ramping():
                self.late += 1

    def _send(self, client: Client) -> None:
        request = client.talk.request(client)
        client.sent_at = time.monotonic()
        try:
            sent = client.socket.send(request)
        except OSError as error:
            self._lose(client, f"send: {_name(error.errno)}")
            return
        self.requests += 1
        if sent < len(request):
            # One small request at a time always fits, unless the server stopped reading.
            self._lose(client, "send: cut short")
            return
        self.waiting.append((client, client.sent_at))

    def _ready(self, client: Client, events: int) -> None:
        if client.sequence < 0:
            self._connected(client)
            return
        try:
            data = client.socket.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(client, f"receive: {_name(error.errno)}")
            return
        if not data:
            self._lose(client, "closed by the server")
            return
        try:
            complete = client.talk.received(client, data)
        except WrongAnswer as error:
            self._lose(client, "wrong answer", str(error))
            return
        if complete:
            self._answered(client)

    def _connected(self, client: Client) -> None:
        code = client.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._lose(client, f"connect: {_name(code)}")
            return
        self.opening -= 1
        self.opened += 1
        client.sequence = 0
        self.epoll.modify(client.socket.fileno(), select.EPOLLIN)
        # The first request goes at once: a connection counts for little before its first answer.
        self._send(client)

    def _answered(self, client: Client) -> None:
        self.answers += 1
        self.latencies.add(time.monotonic() - client.sent_at)
        client.sent_at = 0.0
        client.sequence += 1
        self.idle.append(client)

    def _expire(self, now: float) -> None:
        while self.waiting:
            client, sent_at = self.waiting[0]
            if client.sent_at == sent_at:
                if now < sent_at + self.plan.patience_s:
                    return
                self._lose(client, "no answer" if client.sequence >= 0 else "connect: no answer")
            self.waiting.popleft()

    def _lose(self, client: Client, kind: str, text: str = "") -> None:
        self._error(kind, text or f"client {client.number}: {kind}")
        if client.sequence < 0:
            self.opening -= 1
        client.lost = True
        client.sent_at = 0.0
        del self.clients[client.socket.fileno()]
        client.socket.close()

    def _error(self, kind: str, text: str) -> None:
        self.errors[kind] += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(text)

    def report(self, state: str) -> None:
        """Write one line: the counters so far, and the latencies since the last line."""
        report: dict[str, Any] = {
            "state": state,
            "time": time.monotonic(),
            "connections": len(self.clients) - self.opening,
            "opened": self.opened,
            "requests": self.requests,
            "answers": self.answers,
            "late": self.late,
            "errors": self.errors,
            "examples": self.examples,
            "latencies": self.latencies.counts,
        }
        sys.stdout.write(json.dumps(report) + "\n")
        sys.stdout.flush()
        self.latencies = Latencies()


def _name(code: int | None) -> str:
    return errno.errorcode.get(code or 0, str(code))


def main() -> None:
    """Run one worker to its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with open(0, "rb", buffering=0, closefd=False) as orders:
        plan = Plan(**json.loads(orders.readline()))
    Worker(plan).run()


if __name__ == "__main__":
    main()
