"""The system calls of a script's application, as operations that can be tried until they succeed.

A call is prepared once, which finds out what it is about, and done as often as
it blocks.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass

from .flow import Flow, application_bytes, peer_bytes
from .script import ANY, Call, Event, Mismatch, Symbol, Unsupported, Wild
from .sockets import Socket, SocketError, WouldBlock
from .tcp_info import values_of
from .traffic import Traffic

#: Tries the call: its result, or None when that is not to be compared.
Operation = Callable[[], int | None]

_HOW = {0: "SHUT_RD", 1: "SHUT_WR", 2: "SHUT_RDWR"}
#: Options whose values are a kernel's own.
_NOT_COMPARED = {"SO_RCVBUF", "SO_SNDBUF", "TCP_MAXSEG"}


@dataclass(slots=True)
class Descriptor:
    """What a descriptor of the script stands for.

    :ivar taken: bytes that were read; `written`: bytes that were sent.
    """

    socket: Socket
    nonblocking: bool = False
    taken: int = 0
    written: int = 0
    flow: Flow | None = None


class SystemCalls:
    """The descriptors of the application and what it does with them."""

    def __init__(self, traffic: Traffic) -> None:
        self.traffic = traffic
        self.sockets = traffic.sockets
        self.descriptors: dict[int, Descriptor] = {}

    def prepare(self, event: Event, call: Call) -> Operation:
        """The operation behind a call.

        :raises Unsupported: there is no such call here, or not with these arguments.
        :raises SocketError: EBADF, the descriptor was closed.
        """
        method = getattr(self, f"_call_{call.name}", None)
        if method is None:
            raise Unsupported(f"system call {call.name} (line {event.line})")
        operation: Operation = method(call)
        return operation

    def nonblocking(self, call: Call) -> bool:
        """Whether the call must not wait."""
        descriptor = self.descriptors.get(call.arguments[0]) if _is_number(call.arguments[:1]) else None
        if descriptor is not None and descriptor.nonblocking:
            return True
        return any("MSG_DONTWAIT" in call.flags(i) for i in range(len(call.arguments)))

    def _descriptor(self, call: Call) -> Descriptor:
        if not _is_number(call.arguments[:1]) or call.arguments[0] not in self.descriptors:
            raise SocketError("EBADF")
        return self.descriptors[call.arguments[0]]

    def tcp_info(self) -> dict[str, int | float]:
        """TCP_INFO of the connection that the script's lines are about; empty without one."""
        for descriptor in self.descriptors.values():
            if descriptor.socket.cd is not None and descriptor.flow is self.traffic.flow:
                info = self.sockets.info(descriptor.socket)
                return values_of(info, windows=self.sockets.setup.linux) if info else {}
        return {}

    # --- opening --------------------------------------------------------------

    def _call_socket(self, call: Call) -> Operation:
        if "SOCK_STREAM" not in call.flags(1):
            raise Unsupported("a socket that is no stream")
        assert isinstance(call.result, int)
        self.descriptors[call.result] = Descriptor(Socket(), "SOCK_NONBLOCK" in call.flags(1))
        return lambda: None

    def _call_bind(self, call: Call) -> Operation:
        self._descriptor(call).socket.bound = True
        return lambda: 0

    def _call_connect(self, call: Call) -> Operation:
        descriptor = self._descriptor(call)
        begun = descriptor.socket.connecting

        def connect() -> int:
            nonlocal begun
            if not begun:
                begun = True
                self.traffic.connecting(self.sockets.connect(descriptor.socket))
                descriptor.flow = self.traffic.flow
                if self.nonblocking(call):
                    raise SocketError("EINPROGRESS")
            elif self.nonblocking(call) and descriptor.socket.connecting:
                raise SocketError("EALREADY")
            self.sockets.connected(descriptor.socket)
            return 0

        return connect

    def _call_listen(self, call: Call) -> Operation:
        descriptor = self._descriptor(call)

        def listen() -> int:
            self.sockets.listen(descriptor.socket)
            self.traffic.flow = None
            return 0

        return listen

    def _call_accept(self, call: Call) -> Operation:
        descriptor = self._descriptor(call)
        return lambda: self._opened(call, self.sockets.accept(descriptor.socket))

    _call_accept4 = _call_accept

    def _opened(self, call: Call, socket: Socket) -> int:
        number = (
            call.result
            if isinstance(call.result, int) and call.result >= 0
            else 1_000 + len(self.descriptors)
        )
        self.descriptors[number] = Descriptor(
            socket, any("SOCK_NONBLOCK" in call.flags(i) for i in (1, 3)), flow=self.traffic.flow
        )
        return number

    # --- receiving ------------------------------------------------------------

    def _call_read(self, call: Call) -> Operation:
        return self._receive(call, peek=False)

    def _call_recv(self, call: Call) -> Operation:
        unknown = call.flags(3) - {"MSG_PEEK", "MSG_DONTWAIT"}
        if unknown:
            raise Unsupported(f"recv flag {sorted(unknown)}")
        return self._receive(call, peek="MSG_PEEK" in call.flags(3))

    def _receive(self, call: Call, *, peek: bool) -> Operation:
        descriptor = self._descriptor(call)
        if call.arguments[1] is not ANY:
            raise Unsupported(f"{call.name} into a named buffer")

        def receive() -> int:
            data = self.sockets.recv(descriptor.socket, call.arguments[2], peek=peek)
            self._check_bytes(call, descriptor, data, descriptor.taken)
            if not peek:
                descriptor.taken += len(data)
            return len(data)

        return receive

    def _check_bytes(self, call: Call, descriptor: Descriptor, data: bytes, offset: int) -> None:
        if descriptor.flow is not None and descriptor.flow.urgent:
            return
        if data != peer_bytes(offset, len(data)):
            raise Mismatch(f"{call.name}: the bytes at stream offset {offset} are not those that were sent")

    # --- sending --------------------------------------------------------------

    def _call_write(self, call: Call) -> Operation:
        return self._send(call)

    def _call_send(self, call: Call) -> Operation:
        unknown = call.flags(3) - {"MSG_DONTWAIT", "MSG_NOSIGNAL", "MSG_EOR"}
        if unknown:
            raise Unsupported(f"send flag {sorted(unknown)}")
        return self._send(call)

    def _send(self, call: Call) -> Operation:
        descriptor = self._descriptor(call)
        if call.arguments[1] is not ANY:
            raise Unsupported(f"{call.name} from a named buffer")
        length, waits = call.arguments[2], not self.nonblocking(call)
        start = descriptor.written

        def send() -> int:
            while True:
                done = descriptor.written - start
                try:
                    data = application_bytes(descriptor.written, length - done)
                    descriptor.written += self.sockets.send(descriptor.socket, data)
                except WouldBlock:
                    if done and not waits:
                        return done
                    raise
                if descriptor.written - start >= length or not waits:
                    return descriptor.written - start

        return send

    # --- closing --------------------------------------------------------------

    def _call_shutdown(self, call: Call) -> Operation:
        descriptor, how = self._descriptor(call), call.arguments[1]
        name = str(_HOW.get(how, how))

        def shutdown() -> int:
            self.sockets.shutdown(descriptor.socket, name)
            return 0

        return shutdown

    def _call_close(self, call: Call) -> Operation:
        descriptor = self._descriptor(call)

        def close() -> int:
            self.sockets.close_socket(descriptor.socket)
            del self.descriptors[call.arguments[0]]
            return 0

        return close

    # --- options and questions ------------------------------------------------

    def _call_fcntl(self, call: Call) -> Operation:
        descriptor = self._descriptor(call)
        if call.arguments[1] == "F_SETFL":
            descriptor.nonblocking = "O_NONBLOCK" in call.flags(2)
        return lambda: None

    def _call_setsockopt(self, call: Call) -> Operation:
        descriptor = self._descriptor(call)
        name, value = str(call.arguments[2]), _option_value(call)

        def set_option() -> int:
            self.sockets.set_option(descriptor.socket, name, value)
            return 0

        return set_option

    def _call_getsockopt(self, call: Call) -> Operation:
        descriptor, name = self._descriptor(call), str(call.arguments[2])
        if name in _NOT_COMPARED:
            return lambda: None
        if name != "SO_ERROR":
            raise Unsupported(f"getsockopt {name}")
        wanted = call.arguments[3][0] if isinstance(call.arguments[3], list) else ANY
        if isinstance(wanted, Symbol):
            wanted = getattr(errno, wanted)

        def get_option() -> int:
            error = self.sockets.error(descriptor.socket)
            if wanted not in {ANY, error}:
                raise Mismatch(f"getsockopt: SO_ERROR is {error}, expected {wanted}")
            return 0

        return get_option

    def _call_ioctl(self, call: Call) -> Operation:
        descriptor = self._descriptor(call)
        if call.arguments[1] not in {"SIOCINQ", "FIONREAD"}:
            raise Unsupported(f"ioctl {call.arguments[1]}")

        def unread() -> int:
            held = self.sockets.unread(descriptor.socket)
            if call.arguments[2] not in ([held], [ANY], ANY):
                raise Mismatch(f"ioctl: {held} bytes are unread, expected {call.arguments[2]}")
            return 0

        return unread

    def _call_poll(self, call: Call) -> Operation:
        entries = [_poll_entry(entry) for entry in call.arguments[0]]
        start, timeout = self.traffic.now, call.arguments[2] / 1_000

        def poll() -> int:
            found = 0
            late = timeout >= 0 and self.traffic.now - start >= timeout
            for number, asked, wanted in entries:
                got = self.sockets.ready(self.descriptors[number].socket) & (asked | {"POLLERR", "POLLHUP"})
                found += bool(got)
                if got != wanted and (got or late):
                    raise Mismatch(f"poll: {sorted(got)} on {number}, expected {sorted(wanted)}")
            if not found and not late:
                raise WouldBlock
            return found

        return poll


def _is_number(arguments: list[object]) -> bool:
    return bool(arguments) and isinstance(arguments[0], int)


def _option_value(call: Call) -> int | tuple[int, int]:
    """A socket option's value: a number, or SO_LINGER's two."""
    value = call.arguments[3]
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict) and call.arguments[2] == "SO_LINGER":
        numbers = {name.removeprefix("l_"): number for name, number in value.items()}
        return numbers.get("onoff", 0), numbers.get("linger", 0)
    if isinstance(value, Wild) or not isinstance(value, int):
        raise Unsupported(f"setsockopt {call.arguments[2]} with {value}")
    return value


def _poll_entry(entry: dict[str, object]) -> tuple[int, set[str], set[str]]:
    """The descriptor, the events asked for, and those that are expected."""

    def names(value: object) -> set[str]:
        return {
            str(name) for name in (value if isinstance(value, tuple) else (value,)) if isinstance(name, str)
        }

    number = entry["fd"]
    assert isinstance(number, int)
    return number, names(entry["events"]), names(entry.get("revents", 0))
