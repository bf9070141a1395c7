"""A group of connections through a Unix socket (P31): what `Group` is for TCP, in the same calls.

What is different, because the kernel does the transport:

* Each connection takes a descriptor (P04 holds for the group only), and it is established
  when the engine hears of it: a request that waits for `accept` was connected by the
  kernel already, and `refuse` closes it (P08).
* The acknowledgement policy says only whether group protocols acknowledge by themselves.
  Under each of them the kernel forgets what the application acknowledged, and nothing else.
* Keepalive, Nagle's algorithm and everything about segments mean nothing and change nothing.
* The pressure of the pool does not hold clients back: what they send waits in their own kernel
  buffers.  Only what `need` makes the engine keep is in the pool's buffer, and answers that a
  client does not read are in the transmit buffer, under the quotas of all connections.

Knows its domain and its connections; must not know other groups.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from xtcp_twisted.config import UNLIMITED, GroupOptions
from xtcp_twisted.engine.kinds import EventKind
from xtcp_twisted.engine.options import changed_options
from xtcp_twisted.engine.snapshot import GroupSnapshot
from xtcp_twisted.engine.unix_calls import UnixCalls
from xtcp_twisted.engine.unix_connection import WATCHED, UnixConnection, name_of
from xtcp_twisted.engine.unix_domain import MOMENT_S, RETRY_S
from xtcp_twisted.engine.unix_path import SocketFile, checked, exhausted, unwatched
from xtcp_twisted.errors import LocalError, NothingPending, StalePending

if TYPE_CHECKING:
    from xtcp_twisted.engine.pool import Pool
    from xtcp_twisted.engine.unix_domain import UnixDomain

#: Requests of one group that wait for the application; more stay in the kernel.
MOST_PENDING: Final = 64


def checked_mode(mode: object) -> int:
    """The permissions of a socket file.

    :raises LocalError: they are none.
    """
    if isinstance(mode, bool) or not isinstance(mode, int) or not 0 <= mode <= 0o777:
        raise LocalError(f"mode: {mode!r} is not allowed; give permissions such as 0o600 or 0o666")
    return mode


class UnixGroup(UnixCalls):
    """A connection group: one path, one descriptor, shared options, many connections.

    Made by `Pool.open_group` with `domain=AF_UNIX`.
    """

    #: There is no port.
    port: Final = 0
    domain: Final = int(socket.AF_UNIX)

    def __init__(
        self,
        domain: UnixDomain,
        pool: Pool,
        path: object,
        mode: object,
        name: str | None,
        options: GroupOptions,
        serial: int,
    ) -> None:
        place = checked(path)
        called = (
            name if name is not None else f"{pool.name or 'pool'}:{os.path.basename(place).lstrip(chr(0))}"
        )
        super().__init__(domain, pool, place, called, options)
        self.serial = serial
        #: When the group tells of data that it holds back (P05); None: it holds nothing back.
        self.tell_at: float | None = None
        #: When requests are tried again, of which none could be taken for now.
        self.retry_at: float | None = None
        self._mode = checked_mode(mode)
        self._credits = options.accept_credits
        self._tokens, self._tokens_at = 1.0, domain.now
        self.backlog_waits = False  # the kernel may have requests that were not taken
        self._signalled = self._attention = False
        self._file: SocketFile | None = SocketFile(place, self._mode)
        self._eventfd = -1
        try:
            self._eventfd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self._listen_to(self._file)
        except OSError as refused:
            self._file.close()
            if self._eventfd >= 0:
                os.close(self._eventfd)
            raise exhausted(refused) from None
        self.row = domain.admit(self)

    def __len__(self) -> int:
        """Connections of the group; those that are closing are not counted."""
        self.check_open()
        return len(self.members)

    def __repr__(self) -> str:
        return f"<UnixGroup {self.name!r} path {self.address!r}{' closed' if self.closed else ''}>"

    # --- the descriptor (P04) -----------------------------------------------------

    def fileno(self) -> int:
        """The group's descriptor, which is its id: readable while it has data or pending requests.

        Data may be held back for a while, as `notify_connections` of its options says.
        """
        self.check_open()
        return self._eventfd

    @property
    def notified(self) -> bool:
        """Whether `recv` has something and the group tells of it: its options may hold that back (P05)."""
        self.check_open()
        return bool(self.ready) and self.tell_at is None

    @property
    def attention(self) -> bool:
        """Whether the descriptor is readable for something that neither `recv` nor `accept` would give."""
        self.check_open()
        return self._attention

    @attention.setter
    def attention(self, on: bool) -> None:
        self.check_open()
        self._attention = on
        self.signal()

    def signal(self) -> None:
        """Make the descriptor tell the truth."""
        told = self.ready and self.tell_at is None
        readable = bool(told or self.requests or self._attention)
        if readable != self._signalled and not self.closed:
            self._signalled = readable
            if readable:
                os.eventfd_write(self._eventfd, 1)
            else:
                os.eventfd_read(self._eventfd)

    # --- telling of data (P05) ----------------------------------------------------

    def offer(self, connection: UnixConnection) -> None:
        """The connection can be received from now; it is told of at once, or held back."""
        self.ready[connection] = None
        if self.options.notify_connections > 1 and len(self.ready) == 1:
            self.tell_at = self.unix.now + self.options.notify_delay_ms / 1000
            self.unix.due[self] = None
        if self.tell_at is None:
            connection.report_data()
        elif len(self.ready) >= self.options.notify_connections:
            self.tell()

    def withdraw(self, connection: UnixConnection) -> None:
        """The connection cannot be received from any more."""
        del self.ready[connection]
        if not self.ready:
            self.tell_at = None

    def tell(self) -> None:
        """Hold back no longer what there is to tell of."""
        if self.tell_at is not None:
            self.tell_at = None
            for connection in self.ready:
                connection.report_data()
            self.signal()

    # --- requests (P08) -----------------------------------------------------------

    def _listen_to(self, file: SocketFile) -> None:
        self._listener = _Listener(self, file)
        self.unix.watch(self._listener, select.EPOLLIN | select.EPOLLET)

    def knocked(self) -> None:
        """Somebody has connected."""
        self.backlog_waits = True
        self.unix.due[self] = None

    def may_accept(self) -> bool:
        """Whether a request may be taken from the kernel now."""
        if self.closed or not self.backlog_waits or self._file is None or self.retry_at is not None:
            return False
        return self._credits != 0 or len(self.requests) < MOST_PENDING

    def take_requests(self, most: int) -> None:
        """Take at most `most` of what waits in the kernel, if there are credits or there is room for it."""
        if self.retry_at is not None and self.unix.is_due(self.retry_at):
            self.retry_at = None
            self._spend()
        for _ in range(most):
            if not (self.may_accept() and self._has_token()):
                break
            assert self._file is not None
            try:
                made, address = self._file.listener.accept()
            except BlockingIOError:
                self.backlog_waits = False
                break
            except (ConnectionAbortedError, InterruptedError):
                continue
            except OSError:
                # No descriptor or no memory: they wait in the kernel.
                self.counters["AcceptFails"] = self.counters.get("AcceptFails", 0) + 1
                self.retry_at = self.unix.now + RETRY_S
                break
            self._take(made, name_of(address))

    def _spend(self) -> None:
        """Accept by credit what waits, the oldest first, as the rate allows."""
        while self._credits and self.requests and self._has_token():
            request = self._request(None)
            self._pay()
            self._admit(request, self)

    def _pay(self) -> None:
        """A request takes a credit."""
        if self.options.accept_rate:
            self._tokens -= 1
        if self._credits != UNLIMITED:
            self._credits -= 1

    def _has_token(self) -> bool:
        """Whether the rate lets one more request be accepted by credit; it is told when it will."""
        rate = self.options.accept_rate
        # As for TCP, what one tenth of a second allows may come at once.
        if not rate or not self._credits:
            return True
        self._tokens = min(self._tokens + (self.unix.now - self._tokens_at) * rate, max(rate / 10, 1.0))
        self._tokens_at = self.unix.now
        if self._tokens >= 1 - MOMENT_S * rate:
            return True
        self.retry_at = self.unix.now + (1 - self._tokens) / rate
        self.unix.due[self] = None
        return False

    def _take(self, made: socket.socket, name: str) -> None:
        """A request: accepted by a credit, else it waits."""
        connection = UnixConnection(self.unix, self, made, name)
        self.unix.enter(connection)
        if self._credits:
            self._pay()
            self._admit(connection, self)
            return
        self.requests[connection.id] = connection
        self.unix.time_request(connection)
        connection.report(EventKind.PENDING)
        self.signal()

    def _admit(self, connection: UnixConnection, target: UnixGroup) -> bool:
        """Make a connection of a request; False: the kernel has no memory to watch it."""
        self.requests.pop(connection.id, None)
        self.signal()
        connection.join(target)
        try:
            self.unix.watch(connection, WATCHED)
        except OSError:
            self.unix.drop(connection)
            return False
        target.members[connection.id] = connection
        target.counters["Accepted"] += 1
        connection.begin()
        return True

    def pending(self, limit: int | None = None) -> list[tuple[int, tuple[str, int]]]:
        """Requests that wait for a decision, the oldest first: [(pending_id, (path, 0))].

        `credentials` tells who asks.

        :param limit: no more than so many; None is all of them.
        """
        self.check_open()
        most = len(self.requests) if limit is None else max(limit, 0)
        return [
            (pending_id, (self.requests[pending_id].name, 0)) for pending_id in islice(self.requests, most)
        ]

    def _request(self, pending_id: object) -> UnixConnection:
        self.check_open()
        if pending_id is None:
            if not self.requests:
                raise NothingPending(f"no connection request is pending for group {self.name!r}")
            return next(iter(self.requests.values()))
        request = self.requests.get(pending_id) if isinstance(pending_id, int) else None
        if request is None:
            raise StalePending(f"{pending_id!r} is no request that waits for group {self.name!r}")
        return request

    def requester(self, pending_id: int) -> tuple[str, int]:
        """Who asks for a connection by the request `pending_id`: (path, 0), mostly ("", 0).

        :raises StalePending: there is no such request any more.
        """
        return (self._request(pending_id).name, 0)

    def accept(self, pending_id: int | None = None, into: UnixGroup | None = None) -> int:
        """Accept a connection request (Fig. 6c).

        :param pending_id: which one; None takes the oldest.
        :param into: the Unix-socket group that the connection joins; None is this one.
        :returns: the id of the connection; its ESTABLISHED follows.
        :raises NothingPending, StalePending: there is no such request.
        :raises PoolExhausted: the kernel cannot watch another descriptor; the request is refused.
        """
        request = self._request(pending_id)
        target = self if into is None else into
        if not isinstance(target, UnixGroup) or target.unix is not self.unix:
            raise LocalError("into: give a Unix-socket group of the same engine")
        target.check_open()
        if not self._admit(request, target):
            raise unwatched()
        self.unix.work()
        return request.id

    def refuse(self, pending_id: int) -> None:
        """Refuse the connection request `pending_id`: its client finds the connection closed."""
        self.refuse_late(self._request(pending_id))
        self.unix.work()

    def refuse_late(self, request: UnixConnection) -> None:
        """Nobody has accepted `request`, or somebody does not want it."""
        self.counters["Refused"] += 1
        self.unix.drop(request)
        self.signal()

    def credit(self, n: int) -> None:
        """Post `n` accept credits: that many requests are accepted without asking.

        :param n: how many; `UNLIMITED` for all, 0 takes every credit back.
        """
        self.check_open()
        if not isinstance(n, int) or not 0 <= n <= UNLIMITED:
            raise LocalError(f"n: {n!r} is not allowed; give an integer from 0 to {UNLIMITED}")
        if n in (0, UNLIMITED) or self._credits == UNLIMITED:
            self._credits = n
        else:
            self._credits = min(self._credits + n, UNLIMITED - 1)
        self._spend()
        self.unix.work()

    def connect(
        self,
        remote: tuple[str, int],
        local: tuple[str, int] | None = None,
        *,
        timeout_s: float | None = None,
    ) -> int:
        """Open a connection to somebody who listens on a Unix socket (P09).

        :param remote: (path, 0).
        :param local: None: a client's own path serves nothing here.
        :param timeout_s: None: the kernel answers at once.
        :returns: the id of the connection.  ESTABLISHED follows, or DOWN with why not.
        :raises LocalError: `remote` is no path, or `local` or `timeout_s` is given.
        :raises PoolExhausted: the process may open no more descriptors.
        """
        self.check_open()
        if not isinstance(remote, tuple) or len(remote) != 2 or remote[1] != 0:
            raise LocalError(f"remote: {remote!r} is not allowed; give (path, 0)")
        if local is not None or timeout_s is not None:
            raise LocalError("local and timeout_s are not for Unix sockets; leave them out")
        place = checked(remote[0])
        try:
            made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as refused:
            raise exhausted(refused) from None
        connection = UnixConnection(self.unix, self, made, place)
        self.unix.enter(connection)
        try:
            made.connect(place)
        except OSError as refused:
            connection.join(self)
            self.members[connection.id] = connection
            connection.end(EventKind.DOWN, refused.errno or errno.ECONNREFUSED)
        else:
            if not self._admit(connection, self):
                raise unwatched()
        self.unix.work()
        return connection.id

    def listen(self) -> None:
        """Take connection requests (again) after `stop_listening`; AddressInUse if somebody else does."""
        self.check_open()
        if self._file is None:
            file = SocketFile(self.address, self._mode)
            try:
                self._listen_to(file)
            except OSError as refused:
                file.close()
                raise exhausted(refused) from None
            self._file = file

    def stop_listening(self) -> None:
        """Take no more connection requests; those that wait are refused, connections stay.

        The file is taken away: the path is free for others.
        """
        self.check_open()
        self._stop()
        self.unix.work()

    def _stop(self) -> None:
        if self._file is not None:
            self.unix.unwatch(self._listener)
            self._file.close()
            self._file = None
            self.backlog_waits = False
            self.retry_at = None
        for request in list(self.requests.values()):
            self.refuse_late(request)

    # --- the group itself -----------------------------------------------------------

    def set_options(self, **changes: Any) -> None:
        """Change options of the group, for the connections that it has, too (P05).

        Weight, priority, acceptance rate, acknowledgement policy and notification hold from now on; a user
        timeout within 10 s; `accept_credits` takes the place of the credits that are left.  The rest is
        about TCP and means nothing here.

        :raises ConfigurationError: there is no such option, or it does not take this value; nothing changes.
        """
        self.check_open()
        before, self.options = self.options, changed_options(self.options, changes)
        if self.options.accept_rate != before.accept_rate:
            self._tokens = 1.0
            self._tokens_at = self.unix.now
            self.retry_at = None
            self._spend()
        # What was held back under the settings of before is told now.
        self.tell()
        if "accept_credits" in changes:
            self.credit(0)
            self.credit(self.options.accept_credits)
        self.unix.work()

    def set_dscp(self, dscp: int) -> None:
        """Keep `dscp` as an option, and nothing else: no packets leave."""
        self.set_options(dscp=dscp)

    def snapshot(self, pressure: str) -> GroupSnapshot:
        """The group as statistics and the console see it; `pressure` is that of its pool."""
        return GroupSnapshot(
            name=self.name,
            gd=self._eventfd,
            row=self.row,
            serial=self.serial,
            family=self.domain,
            address=self.address,
            port=self.port,
            connections=len(self.members),
            pending=len(self.requests),
            readable=len(self.ready),
            held=self.held,
            priority=self.options.priority,
            ack_policy=self.options.ack_policy,
            pressure=pressure,
            counters=dict(self.counters),
        )

    def close(self, abort: bool = False) -> None:
        """Close the group: its path, its descriptor and its connections (P07).

        :param abort: end the connections at once instead of in order.  A large group is
            ended in slices, the rest in the polls that follow.
        """
        if not self.closed:
            self._stop()
            members = list(self.members.values())
            for connection in members:
                self.unix.detach(connection)
            self.signal()
            self.pool.forget_unix(self)
            self.closed = True
            self.unix.dismiss(self)
            os.close(self._eventfd)
            self.unix.end_later(members, abort=abort)
            self.unix.work()


class _Listener:
    """What epoll watches of a group that takes requests."""

    def __init__(self, group: UnixGroup, file: SocketFile) -> None:
        self._group = group
        self._file = file

    def fileno(self) -> int:
        return self._file.listener.fileno()

    def stirred(self, mask: int) -> None:
        self._group.knocked()
