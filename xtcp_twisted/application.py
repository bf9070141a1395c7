"""An application on an engine: its pools, its groups, and the calls of Fig. 4 as its methods.

Whatever an application can cause is answered as C does it: by a negative errno,
and nothing has changed; `ApplicationServer.error` is the sentence for it.
docs/api.md has every call with each errno, and a paragraph on each point that the
patent leaves open.

Knows the engine's surface; must not know Twisted.  No call but `xtcp_select`
lets time pass: what the others queue leaves when it is called next.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from contextvars import ContextVar, Token
from socket import AF_INET as PF_INET
from socket import AF_INET6 as PF_INET6
from socket import AF_UNIX as PF_UNIX
from socket import SOCK_STREAM
from typing import Any, Self

from xtcp_twisted.answers import answers, check_usable
from xtcp_twisted.config import GroupOptions, PressureThresholds
from xtcp_twisted.engine import Engine, Pool
from xtcp_twisted.locations import (
    Refused,
    check_address,
    check_count,
    check_flag,
    check_listening,
    check_one_of,
    check_place,
    check_text,
    fill,
    is_descriptor,
    read_address,
    readable_bytes,
    seconds_of,
    sockaddr,
    store_address,
    writable_bytes,
    xtcp_set,
)
from xtcp_twisted.selecting import check_may_block, check_sets, wait_readable
from xtcp_twisted.serving import Served, serve_events

_OPTIONS = GroupOptions()
_THRESHOLDS = PressureThresholds()

#: The application server that the functions of `xtcp_twisted.api` act for.
current: ContextVar[ApplicationServer] = ContextVar("xtcp application server")


class ApplicationServer:
    """One application on an engine: its pools, their groups, and the calls of Fig. 4 as methods.

    Several may share an engine.  None can name what belongs to another.
    As a context manager it is the one that the functions of `xtcp_twisted.api` act for; leaving
    does not close it.

    In the calls `gd` is a group, by its descriptor (`xtcp_open_group`), and `cd` a connection of it, by its
    id, or the place that takes an id (`xtcp_cd`).

    :param engine: the protocol service that it uses; it stays the caller's to close.
    :param clock: seconds of CLOCK_MONOTONIC, the engine's `now`.
    :param wait: ``wait(fd, timeout_s)`` blocks until `fd` is readable or, unless `timeout_s` is None,
        that time is over.
    :ivar error: what the last call that failed has to say; "" before any has.
    :raises TypeError: `engine` is none.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[int, float | None], None] = wait_readable,
    ) -> None:
        if not isinstance(engine, Engine):
            raise TypeError(f"engine: {engine!r} is not allowed; give Engine(link, config)")
        self.engine = engine
        self.error = ""
        self.closed = False
        self._clock = clock
        self._wait = wait
        self._pools: list[Pool] = []
        self._served: dict[int, Served] = {}
        self._tokens: list[Token[ApplicationServer]] = []

    def __enter__(self) -> Self:
        self._tokens.append(current.set(self))
        return self

    def __exit__(self, *raised: object) -> None:
        current.reset(self._tokens.pop())

    def close(self) -> None:
        """Tear down its pools, and only those; may be called twice.

        :raises EngineBusy: by a signal handler that has interrupted a call.
        """
        with self.engine.turns:
            while self._pools:
                self._finalize(self._pools.pop())
            self.closed = True

    def group(self, gd: int) -> Any:
        """The engine's group of this descriptor, for what Fig. 4 has no call for.

        :raises LocalError: it is no open group of this application server.
        """
        return self._of(gd).group

    def fileno(self) -> int:
        """Readable when a call of `xtcp_select` is due: for programs that wait by poll or epoll."""
        return self.engine.fileno()

    def _of(self, gd: object) -> Served:
        """What is kept of a group of this application server."""
        served = self._served.get(gd) if is_descriptor(gd) else None  # type: ignore[call-overload]
        if served is None or served.group.closed:
            raise Refused(errno.EBADF, f"gd: {gd!r} is no open group of this application server")
        assert isinstance(served, Served)
        return served

    # --- pools (402) ---------------------------------------------------------

    @answers
    def xtcp_initialize(
        self, buffer_pool_size: int, *, name: str = "", thresholds: PressureThresholds = _THRESHOLDS
    ) -> int:
        """Create a connection pool; the groups opened from now on are in it (Fig. 6a).

        :param buffer_pool_size: bytes of its shared receive buffer.
        :param name: its name in snapshots.
        :param thresholds: where the pressure states of the buffer begin.
        :returns: 0, or -EINVAL, -ENOBUFS.
        """
        check_text("name", name)
        self._pools.append(self.engine.create_pool(buffer_pool_size, name=name, thresholds=thresholds))
        return 0

    @answers
    def xtcp_finalize(self) -> int:
        """Tear down the pool that was initialized last; the one before it is current again (Fig. 6a).

        :returns: 0, or -ENXIO when there is none.
        """
        self._finalize(self._pool())
        self._pools.pop()
        return 0

    def _pool(self) -> Pool:
        """The pool that new groups are opened in."""
        if not self._pools:
            raise Refused(errno.ENXIO, "there is no connection pool; call xtcp_initialize first")
        return self._pools[-1]

    def _finalize(self, pool: Pool) -> None:
        pool.close()
        self._served = {gd: served for gd, served in self._served.items() if not served.group.closed}

    # --- groups (404) --------------------------------------------------------

    @answers
    def xtcp_open_group(
        self,
        domain: int,
        type: int,
        protocol: int,
        port: int | str,
        *,
        address: str | None = None,
        name: str | None = None,
        share: bool = False,
        options: GroupOptions = _OPTIONS,
    ) -> int:
        """Open a connection group in the current pool (Fig. 6b).

        :param domain: PF_INET, PF_INET6 or PF_UNIX.
        :param type: SOCK_STREAM.
        :param protocol: 0, which is TCP.
        :param port: 1 to 65535, 0 for a free one; with PF_UNIX the path of the socket, which has no port.
        :param address: one of the engine's addresses, of that domain; None is all of them.
        :param name: its name in snapshots.
        :param share: other groups that say so too may have the same port (P06).
        :param options: preferences of its connections.
        :returns: the group's descriptor, or -EAFNOSUPPORT, -ESOCKTNOSUPPORT, -EPROTONOSUPPORT, -EINVAL,
            -EADDRINUSE, -EADDRNOTAVAIL, -ENXIO, -ENOBUFS, -EMFILE; with PF_UNIX what bind(2) says, too.
        """
        check_one_of(
            "domain", domain, errno.EAFNOSUPPORT, PF_INET=PF_INET, PF_INET6=PF_INET6, PF_UNIX=PF_UNIX
        )
        check_one_of("type", type, errno.ESOCKTNOSUPPORT, SOCK_STREAM=SOCK_STREAM)
        check_one_of("protocol", protocol, errno.EPROTONOSUPPORT, **{"0": 0})
        check_listening(domain, port, address, share)
        if name is not None:
            check_text("name", name)
        pool = self._pool()
        more: dict[str, Any] = {"address": address, "share": share}
        if domain == PF_UNIX:
            port, more = 0, {"path": port}
        group = pool.open_group(port, domain=domain, name=name, options=options, **more)  # type: ignore[arg-type]
        try:
            gd = group.fileno()
        except OSError:
            group.close()
            raise
        self._served[gd] = self.engine.routes[gd] = Served(group)
        return gd

    @answers
    def xtcp_close_group(self, gd: int, *, abort: bool = False) -> int:
        """Close a group and its connections (Fig. 6b); the descriptor is the system's to use again.

        :param abort: reset the connections instead of closing them in order.
        :returns: 0, or -EBADF, -EINVAL.
        """
        group = self._of(gd).group
        check_flag("abort", abort)
        del self._served[gd]
        group.close(abort=abort)
        return 0

    @answers
    def xtcp_options(self, /, gd: int, **changes: Any) -> int:
        """Change options of a group, for the connections that it has, too (P05).

        :param changes: values of `GroupOptions` by their names, as ``weight=2, ack_policy="application"``.
        :returns: 0, or -EBADF, -EINVAL when there is no such option, or it does not take this value.
        """
        self._of(gd).group.set_options(**changes)
        return 0

    # --- connections (406) ---------------------------------------------------

    @answers
    def xtcp_accept(self, gd: int, *, into: int | None = None, pd: int | None = None) -> int:
        """Accept a connection request; the handshake begins with it (Fig. 6c).

        :param into: the group that the connection joins; None is `gd` (P06).
        :param pd: which request, as `xtcp_pending` told; None is the oldest.
        :returns: the connection's id, or -EAGAIN when no request waits, -EBADF, -EINVAL, -ENOBUFS.
        """
        source = self._of(gd).group
        target = source if into is None else self._of(into).group
        if type(source) is not type(target):
            raise Refused(errno.EINVAL, "into: a group of Unix sockets takes no other connections, nor gives")
        return int(source.accept(pd, target))

    @answers
    def xtcp_pending(self, gd: int, pd: Any = None, sa: sockaddr | None = None) -> int:
        """Look at the oldest connection request without deciding.

        :param pd: where its id is stored, for `xtcp_accept` and `xtcp_refuse`.
        :param sa: where the address of who asks is stored.
        :returns: how many requests wait, or -EAGAIN when none does, -EBADF, -EFAULT, -EAFNOSUPPORT.
        """
        served = self._of(gd)
        if pd is not None:
            check_place("pd", pd)
        if not served.group.waiting:
            raise Refused(errno.EAGAIN, f"no connection request waits for group {gd}")
        [(pending_id, peer)] = served.group.pending(1)
        if sa is not None:
            store_address(sa, peer, served.unix)
        if pd is not None:
            pd.value = pending_id
        return int(served.group.waiting)

    @answers
    def xtcp_refuse(self, gd: int, pd: int | None = None) -> int:
        """Refuse a connection request: a reset, or silence if the group's options say so (Fig. 6c).

        :param pd: which request; None is the oldest.
        :returns: 0, or -EAGAIN when no request waits, -EBADF.
        """
        group = self._of(gd).group
        if pd is None:
            if not group.waiting:
                raise Refused(errno.EAGAIN, f"no connection request waits for group {gd}")
            [(pd, _)] = group.pending(1)
        group.refuse(pd)
        return 0

    @answers
    def xtcp_connect(self, gd: int, sa: sockaddr, *, timeout: object = None) -> int:
        """Open a connection to somebody who listens; `xtcp_writable` tells when it is established (P09).

        :param sa: whom, as `sockaddr_in` or `sockaddr_in6`; as `sockaddr_un` from a group of Unix sockets.
        :param timeout: give up after so long; None is the group's `connect_timeout_s`.
        :returns: the connection's id, or -EBADF, -EFAULT, -EAFNOSUPPORT, -EINVAL, -EADDRNOTAVAIL,
            -ENOBUFS.  When it fails later, `xtcp_recv` says so: -ECONNREFUSED, -ETIMEDOUT, -EHOSTUNREACH.
        """
        served = self._of(gd)
        check_address(sa, "", served.unix)
        cd = int(served.group.connect(read_address(sa), timeout_s=seconds_of(timeout)))
        served.wanting.add(cd)
        return cd

    @answers
    def xtcp_pars(self, gd: int, cd: int, sa: sockaddr, local: sockaddr | None = None) -> int:
        """Tell a connection's parameters: the peer's address and port (Fig. 6d).

        :param sa: where they are stored: `sockaddr_in`, `sockaddr_in6` or `sockaddr_un`.
        :param local: where those of this end are stored.
        :returns: 0, or -EBADF, -EFAULT, -EAFNOSUPPORT, -ENOTCONN when the connection has failed.
        """
        served = self._of(gd)
        served.check_alive(cd, errno.ENOTCONN)
        peer, own = served.group.peer(cd), served.group.local(cd)
        if local is not None:
            check_address(local, own[0], served.unix)
        store_address(sa, peer, served.unix)
        if local is not None:
            store_address(local, own, served.unix)
        return 0

    @answers
    def xtcp_close(self, gd: int, cd: int, *, abort: bool = False) -> int:
        """Close a connection: what was received is acknowledged, then FIN; the id is stale at once.

        :param abort: a reset instead.  Bytes that `xtcp_recv` never returned make it one, too.
        :returns: 0, or -EBADF, -EINVAL.
        """
        served = self._of(gd)
        check_flag("abort", abort)
        if not served.forget(cd):
            (served.group.abort if abort else served.group.finish)(cd)
            served.forget(cd)
        return 0

    # --- requests and answers (408) ------------------------------------------

    @answers
    def xtcp_recv(self, gd: int, cd: Any, buf: Any, len: int | None = None) -> int:
        """Receive from the next connection of the group that has something; never blocks (Fig. 6f).

        :param cd: where the connection's id is stored: an `xtcp_cd`.
        :param buf: a writable buffer.
        :param len: how much of it to use; None is all.
        :returns: bytes received, 0 once at the end of the stream.  -EAGAIN when no connection has
            anything; -EBADF, -EFAULT, -EINVAL.  When a connection has failed, once: the errno of that,
            such as -ECONNRESET or -ETIMEDOUT, with its id stored, which is stale from now on.
        """
        served = self._of(gd)
        check_place("cd", cd)
        room = writable_bytes(buf, len)
        if served.ends:
            cd.value, number = served.take_end()
            raise Refused(number, f"connection {cd.value} has failed: {os.strerror(number)}")
        received = served.group.recv(room.nbytes)
        if received is None:
            raise Refused(errno.EAGAIN, f"no connection of group {gd} has anything to receive")
        cd.value, data = received
        return fill(room, data)

    xtcp_rcv = xtcp_recv

    @answers
    def xtcp_send(self, gd: int, cd: int, ackd: int, buf: Any, len: int | None = None) -> int:
        """Queue an answer, and the acknowledgement of what it answers; never blocks (Fig. 6g).

        :param ackd: bytes that were received and are dealt with, from the first unacknowledged one on;
            XTCP_ALL for all that `xtcp_recv` has returned.
        :param buf: what to send; None with `len` 0 acknowledges only.
        :returns: bytes taken.  -EAGAIN when none could be: `xtcp_writable` tells when to try again.
            What `ackd` names is acknowledged then all the same, but with no other error: -EINVAL when
            it is too much, -EBADF, -EFAULT, -EPIPE when the connection has failed.
        """
        served = self._of(gd)
        check_count("ackd", ackd)
        data = readable_bytes(buf, len)
        served.check_alive(cd, errno.EPIPE)
        taken = int(served.group.send(cd, data, ackd))
        if data[taken:]:
            served.wanting.add(cd)
            if taken == 0:
                raise Refused(
                    errno.EAGAIN, f"connection {cd} can take nothing now; wait until it is writable"
                )
        return taken

    @answers
    def xtcp_need(self, gd: int, cd: int, n: int) -> int:
        """Say that a request is incomplete: offer the connection again when it holds `n` bytes, or its end.

        :returns: 0, or -EBADF, -EINVAL when one connection may not hold as much.
        """
        group = self._of(gd).group
        check_count("n", n)
        group.need(cd, n)
        return 0

    @answers
    def xtcp_writable(self, gd: int, cd: Any) -> int:
        """Take the next connection that takes data again after a short `xtcp_send`, or is connected now.

        :param cd: where its id is stored.
        :returns: 0, or -EAGAIN when there is none, -EBADF, -EFAULT.
        """
        served = self._of(gd)
        check_place("cd", cd)
        if not served.writable:
            raise Refused(errno.EAGAIN, f"no connection of group {gd} has become writable")
        cd.value = served.take_writable()
        return 0

    # --- waiting (410) -------------------------------------------------------

    @answers
    def xtcp_select(
        self,
        n: int,
        readgds: xtcp_set | None,
        acceptgds: xtcp_set | None,
        timeout: object = None,
        *,
        writegds: xtcp_set | None = None,
    ) -> int:
        """Block until a group of one of the sets is ready, or time is up; drive the engine meanwhile.

        :param n: how many elements the sets have together, or more.
        :param readgds: groups of which a connection has something for `xtcp_recv`.
        :param acceptgds: groups for which a connection request waits.
        :param timeout: seconds, or (seconds, microseconds); 0 looks and does not wait; None has no end.
        :param writegds: groups of which a connection is there for `xtcp_writable`.
        :returns: how many elements are ready; the sets hold only them then.  0 when time is up.
            -EBADF, -EFAULT, -EINVAL; -EDEADLK inside of an event loop, which it would stop; -EBUSY when
            another one waits; -ENODEV when the link is gone.
        """
        sets = (readgds, acceptgds, writegds)
        check_sets(n, sets, self._of)
        limit = seconds_of(timeout)
        check_may_block(self.engine.driver, limit)
        deadline = None if limit is None else self._clock() + limit
        driving = self.engine.driver is None
        if driving:
            self.engine.flush(self._clock())
        while True:
            now = self._clock()
            last = deadline is not None and now >= deadline
            if driving:
                self.engine.poll(now)
                serve_events(self.engine)
            ready = [self._ready(which, gds) for which, gds in enumerate(sets)]
            count = sum(map(len, ready))
            if driving and not count:
                self.engine.flush(self._clock())
            if count or last:
                break
            self._wait_for_work(None if deadline is None else max(deadline - self._clock(), 0))
        for gds, found in zip(sets, ready, strict=True):
            if gds is not None:
                gds.replace(found)
        return count

    def _wait_for_work(self, limit: float | None) -> None:
        """Let others have their turns until there is something to do; packets and timers stay this one's."""
        self.engine.driver = self
        try:
            with self.engine.turns.paused():
                self._wait(self.engine.fileno(), limit)
        finally:
            self.engine.driver = None
        check_usable(self)

    def _ready(self, which: int, gds: xtcp_set | None) -> list[int]:
        """Those of a set that are ready to be read (0), accepted from (1) or written (2)."""
        return [gd for gd in gds or () if self._of(gd).is_ready(which)]
