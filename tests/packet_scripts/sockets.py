"""The engine behind socket calls: what a script's application holds in its hands.

The engine runs on a `MemoryLink`, with a clock that only `step` moves.  A call
is followed by a turn of the engine, so what it sends leaves at once.

A socket that listens is a group.  Its requests are accepted by credit, before
their SYN-ACK, and shown by `accept` when they are established, as a kernel
would; unless the script decides by itself (`Setup.by_script`).  Under the
policy `immediate` a byte that was read is acknowledged to the engine at once;
under the others that is the script's business, too.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from socket import AF_INET, AF_INET6
from typing import Final

from support.net import START, Net
from support.packets import Segment

from xtcp_twisted.config import MiB
from xtcp_twisted.engine import Group, Pool
from xtcp_twisted.engine.kinds import ENDS, EventKind
from xtcp_twisted.engine.snapshot import ConnectionInfo
from xtcp_twisted.errors import LocalError

from .script import Mismatch, Unsupported
from .setup import Setup

#: Bytes of address space; one connection may fill a 64th part of it.
TRANSMIT_BUFFER: Final = 64 * MiB
#: The least time that passes in a step, seconds.
TICK: Final = 1e-6
#: States in which the peer's FIN has arrived.
_PEER_DONE: Final = {"CLOSE_WAIT", "LAST_ACK", "CLOSING", "TIME_WAIT"}
#: Options that change nothing that a script of this engine could see.
_HARMLESS: Final = {
    "SO_REUSEADDR",
    "SO_REUSEPORT",
    "SO_SNDBUF",
    "SO_SNDBUFFORCE",
    "SO_PRIORITY",
    "SO_MARK",
    "TCP_QUICKACK",
    "IPV6_V6ONLY",
}
#: Names of other systems for the engine's states.
_STATES: Final = {"SYN_RCVD": "SYN_RECEIVED", "SYN_RECV": "SYN_RECEIVED"}


class WouldBlock(Exception):
    """The call cannot be done now."""


class SocketError(Exception):
    """The call failed.

    :ivar name: the errno's, as "ECONNRESET".
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclass(eq=False, slots=True)
class Socket:
    """One descriptor's socket: new, listening, or connected.

    :ivar cd: the engine's id of its connection.
    :ivar error: the errno that the next call fails with.
    :ivar over: the engine has reported the connection's end.
    :ivar full: the last `send` was short, and may not be tried again yet.
    :ivar deaf: it was shut down for reading: it does not wait for what has not come.
    :ivar connecting: `connect` has begun and not ended.
    :ivar bound: to the script's port.
    """

    group: Group | None = None
    cd: int | None = None
    error: str | None = None
    over: bool = False
    full: bool = False
    deaf: bool = False
    connecting: bool = False
    bound: bool = False
    linger: tuple[int, int] = (0, 0)

    def fail(self) -> None:
        """Raise the error that is due, once."""
        if self.error is not None:
            name, self.error = self.error, None
            raise SocketError(name)


class Sockets:
    """One engine, its clock, and the sockets of one application."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.net = Net(
            mtu=setup.mtu,
            addresses=(setup.local,),
            transmit_buffer=TRANSMIT_BUFFER,
            arena_limit=64 * MiB + 2 * (setup.pool_size + TRANSMIT_BUFFER),
        )
        self._pool: Pool | None = None
        self._established: deque[Socket] = deque()
        self._by_cd: dict[int, Socket] = {}

    def close(self) -> None:
        """End the engine."""
        self.net.engine.close()

    # --- time and packets -----------------------------------------------------

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return self.net.now - START

    def step(self, limit: float) -> None:
        """Let time pass until the engine has something to do, at most `limit` seconds."""
        due = self.net.engine.poll_at()
        wait = limit if due is None else min(limit, max(due - self.net.now, TICK))
        with self._judged():
            self.net.advance(wait)
        self._events()

    def inject(self, packet: bytes) -> None:
        """A packet arrives."""
        self.net.inject(packet)
        self._turn()

    def sent(self) -> list[Segment]:
        """What the engine has sent since the last call; times count from the start of the engine's clock."""
        packets, self.net.strays = self.net.strays, []
        return packets

    @contextmanager
    def _judged(self) -> Iterator[None]:
        """A packet of the engine that is malformed, or has a wrong checksum, is a mismatch."""
        try:
            yield
        except AssertionError as error:
            raise Mismatch(str(error)) from error

    def _turn(self) -> None:
        with self._judged():
            self.net.turn()
        self._events()

    def _events(self) -> None:
        for kind, _, cd, detail in self.net.take_events():
            socket = self._by_cd.get(cd)
            if kind == EventKind.ESTABLISHED and socket is not None:
                socket.connecting = False
            elif kind == EventKind.ESTABLISHED and not self.setup.by_script:
                socket = self._by_cd[cd] = Socket(self._group, cd)
                self._established.append(socket)
            if socket is None or kind == EventKind.PENDING:
                continue
            if kind == EventKind.WRITABLE:
                socket.full = False
            if kind in ENDS:
                socket.over, socket.connecting = True, False
                del self._by_cd[cd]
            if kind in {EventKind.RESET, EventKind.DOWN}:
                socket.error = errno.errorcode[detail]

    @contextmanager
    def _call(self) -> Iterator[None]:
        """A call of the engine: its errors by their names, and a turn after it."""
        try:
            yield
        except LocalError as error:
            raise SocketError(errno.errorcode[error.errno]) from error
        self._turn()

    # --- listening ------------------------------------------------------------

    _group: Group

    def listen(self, socket: Socket) -> None:
        """Open the group, or let it listen again."""
        if socket.group is not None:
            socket.group.listen()
            return
        socket.group = self._group = self._open_group(self.setup.port)

    def _open_group(self, port: int) -> Group:
        self._pool = self._pool or self.net.engine.create_pool(self.setup.pool_size)
        domain = AF_INET if self.setup.version == 4 else AF_INET6
        with self._call():
            return self._pool.open_group(port, domain=domain, options=self.setup.options())

    def accept(self, socket: Socket) -> Socket:
        """The oldest established connection that nobody was told of."""
        if not self._established:
            raise WouldBlock
        return self._established.popleft()

    def pending(self, socket: Socket) -> int:
        """How many connection requests wait for a decision."""
        return len(_listening(socket).pending())

    def accept_request(self, socket: Socket) -> Socket:
        """Accept the oldest connection request; its SYN-ACK leaves."""
        with self._call():
            accepted = Socket(_listening(socket), _listening(socket).accept())
            assert accepted.cd is not None
            self._by_cd[accepted.cd] = accepted
        return accepted

    def refuse_request(self, socket: Socket) -> None:
        """Refuse the oldest connection request."""
        group = _listening(socket)
        with self._call():
            group.refuse(next((pending for pending, _ in group.pending()), -1))

    def credit(self, socket: Socket, credits_: int) -> None:
        """Post accept credits."""
        with self._call():
            _listening(socket).credit(credits_)

    # --- connecting -----------------------------------------------------------

    def connect(self, socket: Socket) -> int:
        """Begin to connect to the peer's service; returns the port of this side."""
        if socket.group is not None:
            raise SocketError("EALREADY" if socket.connecting else "EISCONN")
        group = self._open_group(0)
        group.stop_listening()
        local = (self.setup.local, self.setup.port) if socket.bound else None
        with self._call():
            socket.cd = group.connect((self.setup.remote, self.setup.service), local)
            socket.group, socket.connecting = group, True
            self._by_cd[socket.cd] = socket
        return group.local(socket.cd)[1]

    def connected(self, socket: Socket) -> None:
        """Raise what became of `connect`, or WouldBlock while nothing has."""
        socket.fail()
        if socket.connecting:
            raise WouldBlock

    # --- data -----------------------------------------------------------------

    def recv(self, socket: Socket, most: int, *, peek: bool = False) -> bytes:
        """At most `most` bytes; b"" at the end of the stream."""
        data = self._take(socket, most)
        if data is None:
            socket.fail()
            if socket.over or socket.deaf:
                return b""
            raise WouldBlock
        group, cd = _connected(socket)
        if data and not socket.over:
            with self._call():
                if peek:
                    group.need(cd, 0)
                elif self.setup.options().ack_policy == "immediate":
                    group.send(cd, b"", len(data))
        return data

    def need(self, socket: Socket, size: int) -> None:
        """Offer the connection's bytes again when so many are there."""
        group, cd = _connected(socket)
        with self._call():
            group.need(cd, size)

    def _take(self, socket: Socket, most: int) -> bytes | None:
        """What the engine offers of this connection alone: the others are paused."""
        if socket.over:
            return None
        group, cd = _connected(socket)
        others = [other for other, its in self._by_cd.items() if other != cd and its.group is group]
        for other in others:
            group.pause(other)
        offered = group.recv(most)
        for other in others:
            group.resume(other)
        self._turn()
        return None if offered is None else offered[1]

    def send(self, socket: Socket, data: bytes, ackd: int = 0) -> int:
        """Bytes taken; acknowledges `ackd` bytes of what was received."""
        socket.fail()
        if socket.over:
            raise SocketError("EPIPE")
        group, cd = _connected(socket)
        if socket.connecting or (socket.full and not ackd):
            raise WouldBlock
        with self._call():
            taken = group.send(cd, data, ackd)
        socket.full = taken < len(data)
        if data and not taken:
            raise WouldBlock
        return taken

    def broadcast(self, socket: Socket, data: bytes) -> int:
        """The same bytes to all connections of the group; returns how many took them."""
        with self._call():
            return _listening(socket).broadcast(data)

    # --- closing --------------------------------------------------------------

    def shutdown(self, socket: Socket, how: str) -> None:
        """Close one direction or both: SHUT_RD, SHUT_WR, SHUT_RDWR."""
        if socket.over:
            raise SocketError("ENOTCONN")
        socket.deaf = socket.deaf or how != "SHUT_WR"
        if how != "SHUT_RD":
            group, cd = _connected(socket)
            with self._call():
                group.shutdown(cd)

    def close_socket(self, socket: Socket) -> None:
        """Close a connection in order, or by RST as its SO_LINGER says; or stop listening."""
        if socket.over or socket.group is None:
            return
        with self._call():
            if socket.cd is None:
                self._close_listener(socket.group)
            elif socket.linger[0] and not socket.linger[1]:
                socket.group.abort(socket.cd)
            else:
                socket.group.finish(socket.cd)
        self._by_cd.pop(socket.cd or 0, None)

    def _close_listener(self, group: Group) -> None:
        """Reset what nobody has accepted and end handshakes, as a kernel does; what was accepted lives on."""
        for forgotten in self._established:
            if forgotten.cd is not None and not forgotten.over:
                group.abort(forgotten.cd)
                del self._by_cd[forgotten.cd]
        self._established.clear()
        if any(socket.group is group for socket in self._by_cd.values()):
            group.stop_listening()
        else:
            group.close()

    # --- options and questions ------------------------------------------------

    def set_option(self, socket: Socket, name: str, value: int | tuple[int, int]) -> None:
        """setsockopt.

        :raises Unsupported: the engine cannot do that, for a socket in this state.
        """
        if isinstance(value, tuple):
            socket.linger = value
        elif name in _HARMLESS:
            pass
        elif socket.cd is not None and not socket.over:
            self._set_connection_option(socket, name, value)
        elif socket.group is not None or not self.setup.socket_option(name, value):
            raise Unsupported(f"setsockopt {name}")

    def _set_connection_option(self, socket: Socket, name: str, value: int) -> None:
        group, cd = _connected(socket)
        with self._call():
            if name == "TCP_NODELAY":
                group.set_nodelay(cd, bool(value))
            elif name == "SO_KEEPALIVE":
                group.set_keepalive(cd, bool(value))
            elif name == "TCP_USER_TIMEOUT":
                group.set_user_timeout(cd, value / 1_000 or None)
            else:
                raise Unsupported(f"setsockopt {name}")

    def error(self, socket: Socket) -> int:
        """SO_ERROR: the errno that is due, which it takes away."""
        name, socket.error = socket.error, None
        return getattr(errno, name) if name else 0

    def unread(self, socket: Socket) -> int:
        """Bytes that `recv` would return."""
        info = self.info(socket)
        return info.held - info.delivered if info else 0

    def ready(self, socket: Socket) -> set[str]:
        """The events that poll() knows of."""
        if socket.over:
            return {"POLLIN", "POLLOUT", "POLLHUP"} | ({"POLLERR"} if socket.error else set())
        if socket.cd is None:
            return {"POLLIN"} if self._established else set()
        info = self.info(socket)
        readable = info is not None and (self.unread(socket) > 0 or info.state in _PEER_DONE)
        blocked = socket.full or socket.connecting
        return ({"POLLIN"} if readable else set()) | (set() if blocked else {"POLLOUT"})

    def info(self, socket: Socket) -> ConnectionInfo | None:
        """What the engine tells about a connection; None when it has ended."""
        if socket.over:
            return None
        group, cd = _connected(socket)
        return group.info(cd)

    def count(self, state: str) -> int:
        """Connections in a state, under the name that RFC 9293, Linux or FreeBSD has for it."""
        snapshot = self.net.engine.snapshot()
        name = _STATES.get(state, state)
        if name == "SYN_RECEIVED":
            return snapshot.half_open
        return snapshot.time_wait if name == "TIME_WAIT" else snapshot.states[name]


def _listening(socket: Socket) -> Group:
    if socket.group is None:
        raise SocketError("EINVAL")
    return socket.group


def _connected(socket: Socket) -> tuple[Group, int]:
    if socket.group is None or socket.cd is None:
        raise SocketError("ENOTCONN")
    return socket.group, socket.cd
