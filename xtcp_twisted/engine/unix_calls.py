"""The calls on one connection of a Unix-socket group: what `Connections` is for TCP (P13 to P18, P31).

Every call looks the connection id up first; one that is of no connection of the
group is stale, and nothing changes.  Calls only queue.

Knows connections and their domain; requests and the group's life are in `unix_group`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, Final

from xtcp_twisted.config import ALL, PRIORITIES, GroupOptions
from xtcp_twisted.engine.kinds import EventKind
from xtcp_twisted.engine.snapshot import ConnectionInfo
from xtcp_twisted.engine.unix_buffers import Shared
from xtcp_twisted.errors import GroupClosed, LocalError, NotAcknowledgeable, StaleConnection, WriteClosed
from xtcp_twisted.tcp.counters import GROUP_NAMES

if TYPE_CHECKING:
    from xtcp_twisted.engine.pool import Pool
    from xtcp_twisted.engine.unix_connection import UnixConnection
    from xtcp_twisted.engine.unix_domain import UnixDomain

#: Bytes of one connection in one `recv_batch`.
MOST_AT_ONCE: Final = 262_144
#: Bytes of one `recv_batch` after which no further connection is begun.
BATCH_BYTES: Final = 8_388_608
_LONGEST_S: Final = 1_000_000
_WORD: Final = 0xFFFF_FFFF


class UnixCalls:
    """The part of `UnixGroup` that is about single connections.

    Errors of every call: `GroupClosed` when the group is closed, `StaleConnection`
    when the id names no connection of it.
    """

    def __init__(self, domain: UnixDomain, pool: Pool, path: str, name: str, options: GroupOptions) -> None:
        self.unix = domain
        self.pool = pool
        self.name = name
        #: The path of the socket.
        self.address = path
        self.options = options
        self.closed = False
        self.counters = dict.fromkeys(GROUP_NAMES, 0)
        #: Bytes of the pool's buffer that its connections take.
        self.held = 0
        #: Connections by id; those that can be received from, in the order of their turn; requests.
        self.members: dict[int, UnixConnection] = {}
        self.ready: OrderedDict[UnixConnection, None] = OrderedDict()
        self.requests: OrderedDict[int, UnixConnection] = OrderedDict()

    @property
    def priority(self) -> int:
        """0 is high, 2 is low."""
        return PRIORITIES.index(self.options.priority)

    @property
    def readable(self) -> int:
        """Connections that have something for `recv` or `recv_batch`."""
        self.check_open()
        return len(self.ready)

    @property
    def waiting(self) -> int:
        """Requests that can be accepted."""
        self.check_open()
        return len(self.requests)

    def check_open(self) -> None:
        """Raise `GroupClosed` if that is the case."""
        if self.closed:
            raise GroupClosed(f"group {self.name!r} is closed")

    def _find(self, cd: object) -> UnixConnection:
        self.check_open()
        connection = self.members.get(cd) if isinstance(cd, int) else None
        if connection is None:
            raise StaleConnection(f"connection {cd!r} is not (or no longer) one of group {self.name!r}")
        return connection

    # --- receiving (P13) --------------------------------------------------------

    def recv(self, max_bytes: int) -> tuple[int, bytes] | None:
        """Take the next readable connection of the group (P13); never blocks.

        :param max_bytes: the most bytes to return, at least 1.
        :returns: (cd, bytes), (cd, b"") once at the end of its stream, or None when no
            connection has anything.  The bytes stay in the kernel until they are acknowledged.
        """
        self.check_open()
        if not isinstance(max_bytes, int) or max_bytes < 1:
            raise LocalError(f"max_bytes: {max_bytes!r} is not allowed; give an integer from 1")
        while self.ready:
            connection = next(iter(self.ready))
            data = connection.take(max_bytes)
            if data is not None:
                self.unix.work()
                return connection.id, data
        return None

    def recv_batch(self, limit: int, most: int = MOST_AT_ONCE) -> list[tuple[int, bytes]]:
        """Take up to `limit` readable connections, each once: `most` bytes of it, or what it needs.

        Fewer, when they have much: what lies in the kernel is bounded by no buffer of ours.
        """
        self.check_open()
        found = []
        size = 0
        for _ in range(min(len(self.ready), limit)):
            if not self.ready or size >= BATCH_BYTES:
                break
            connection = next(iter(self.ready))
            data = connection.take(max(most, connection.need))
            if data is not None:
                found.append((connection.id, data))
                size += len(data)
        if found:
            self.unix.work()
        return found

    def recv_more(self, cd: int, most: int) -> bytes | None:
        """What follows on a connection after what `recv_batch` has given of it.

        :param most: the most bytes to return.
        :returns: bytes; None when there are none now, or the connection is paused or has ended.  The end
            of its stream is left to `recv_batch`.
        """
        self.check_open()
        connection = self.members.get(cd)
        if connection is None or connection not in self.ready or connection.read == connection.arrived:
            return None
        self.unix.work()
        return connection.take(most)

    def need(self, cd: int, n: int) -> None:
        """Offer a connection again, from its first unacknowledged byte, when `n` bytes are there.

        Or at the end of its stream.  It holds for the next offer only.  It also says that the
        request is incomplete, so that what arrives may be taken out of the kernel, into the
        pool's buffer, which makes room for the rest.
        """
        connection = self._find(cd)
        quota = connection.quota()
        if not isinstance(n, int) or n < 0 or n > quota:
            raise LocalError(
                f"need: {n!r} is not allowed; give an integer from 0 to what one connection of pool"
                f" {self.pool.name!r} may hold now, {quota:,} bytes"
            )
        if not connection.ended:
            connection.want(n)
            self.unix.work()

    # --- answering (P15 to P18) ---------------------------------------------------

    def send(self, cd: int, data: bytes, ackd: int = 0) -> int:
        """Queue an answer and acknowledge what it answers (Fig. 6g).

        :param data: bytes to send; b"" acknowledges without data.
        :param ackd: bytes that the application has processed, of those last delivered; `ALL`
            for all of them.  They are acknowledged even if no data could be queued.
        :returns: bytes taken; WRITABLE follows when fewer than given.
        :raises NotAcknowledgeable: `ackd` is more than was delivered; nothing is done.
        :raises WriteClosed: data after `shutdown`, or after the end; nothing is done.
        """
        payload = data if type(data) is bytes else bytes(data)
        connection = self._find(cd)
        deliverable = connection.delivered - connection.acked
        if ackd != ALL:
            if not isinstance(ackd, int) or not 0 <= ackd <= deliverable:
                raise NotAcknowledgeable(
                    f"ackd: {ackd!r} is not allowed; {deliverable} bytes were delivered and not acknowledged"
                )
            deliverable = ackd
        if payload and (connection.fin_queued or connection.ended or connection.broken):
            raise WriteClosed(f"connection {cd} sends no more: it was shut down, or has ended")
        if deliverable:
            connection.acknowledge(deliverable)
        taken = connection.queue(payload) if payload else 0
        self.unix.work()
        return taken

    def send_many(self, answers: Iterable[tuple[Any, ...]]) -> list[tuple[int, bytes]]:
        """As `send` for each of many answers; connections that have ended, or send no more, are passed over.

        :param answers: (cd, data) or (cd, data, ackd) tuples.
        :returns: [(cd, rest)] of those that were not taken whole; mostly empty.
        :raises NotAcknowledgeable: `ackd` is more than was delivered; those before it are sent.
        """
        rest = []
        for answer in answers:
            if not 2 <= len(answer) <= 3:
                raise LocalError(f"answers: {answer!r} is not allowed; give (cd, data) or (cd, data, ackd)")
            try:
                taken = self.send(*answer)
            except (StaleConnection, WriteClosed):
                continue
            if taken < len(answer[1]):
                rest.append((answer[0], answer[1][taken:]))
        return rest

    def done(self, messages: Iterable[tuple[int, bytes]]) -> None:
        """The application is done with all that was delivered of these connections.

        :param messages: (cd, bytes) pairs as of `recv_batch`; stale ids are passed over.
        """
        self.check_open()
        for cd, _ in messages:
            connection = self.members.get(cd)
            if connection is not None and connection.delivered != connection.acked:
                connection.acknowledge(connection.delivered - connection.acked)
        self.unix.work()

    def consume(self, parts: Iterable[tuple[int, int, int]]) -> list[int]:
        """The application is done with the first bytes of these connections, and with the others not yet.

        As `send(cd, b"", ackd)` and `need(cd, n)` for each.

        :param parts: (cd, ackd, n) triples; with an `n` of 0 nothing is needed.  Stale ids are passed over.
        :returns: ids of those that may not hold `n` bytes now, which is not asked for them.
        :raises NotAcknowledgeable: `ackd` is more than was delivered; those before it are done.
        """
        self.check_open()
        refused = []
        for cd, ackd, n in parts:
            connection = self.members.get(cd)
            if connection is None:
                continue
            deliverable = connection.delivered - connection.acked
            if ackd > deliverable:
                raise NotAcknowledgeable(
                    f"ackd: {ackd} is not allowed; {deliverable} bytes were delivered and not acknowledged"
                )
            if ackd:
                connection.acknowledge(ackd)
            if n > connection.quota():
                refused.append(cd)
            elif n and not connection.ended:
                connection.want(n)
        self.unix.work()
        return refused

    def broadcast(self, data: bytes, cds: Iterable[int] | None = None, *, but: Collection[int] = ()) -> int:
        """Send the same bytes to many connections; they are stored once (P19).

        :param cds: connection ids; None is every connection of the group.  Ids that are stale or
            of another group are passed over.
        :param but: a container of ids that are left out, too.
        :returns: connections that took it.  One that could not gets STALLED, and WRITABLE later.
        """
        # Before anything is stored: an iterator of the caller's may fail, or close the group.
        receivers = [cd for cd in (self.members if cds is None else cds) if cd not in but]
        self.check_open()
        shared = Shared(self.unix.state, data)
        reached = 0
        for cd in receivers:
            connection = self.members.get(cd)
            if connection is not None and not (
                connection.fin_queued or connection.ended or connection.broken
            ):
                reached += _share(connection, shared)
        shared.release()
        self.unix.work()
        return reached

    # --- closing (P11) ------------------------------------------------------------

    def shutdown(self, cd: int) -> None:
        """Close our sending side, after what is queued; receiving goes on."""
        connection = self._find(cd)
        if not connection.ended:
            connection.fin_queued = True
            self.unix.queue_output(connection)
            self.unix.work()

    def finish(self, cd: int) -> None:
        """Acknowledge what was delivered and close in order; the id is stale from now on.

        Bytes that were never delivered make it a reset (RFC 9293 SHLD-3).
        """
        self._find(cd).finish(abort=False)
        self.unix.work()

    def abort(self, cd: int) -> None:
        """Close at once, with nothing sent that is queued; the id is stale from now on.

        A client that has sent something which was not acknowledged is told ECONNRESET; the
        others see the end of the stream, since the kernel knows no other end there.
        """
        self._find(cd).finish(abort=True)
        self.unix.work()

    def pause(self, cd: int) -> None:
        """Offer nothing of this connection; what its client sends stays in the kernel."""
        connection = self._find(cd)
        connection.paused = True
        connection.update_ready()

    def resume(self, cd: int) -> None:
        """Undo `pause`."""
        connection = self._find(cd)
        connection.paused = False
        connection.update_ready()
        if connection.eof and not connection.eof_taken:
            connection.report(EventKind.EOF)
        self.unix.work()

    # --- preferring otherwise than the group's options ------------------------------

    def set_nodelay(self, cd: int, on: bool) -> None:
        """Nothing: a Unix socket never waits."""
        self._find(cd)

    def set_keepalive(self, cd: int, on: bool) -> None:
        """Nothing: the kernel tells at once when a client ends."""
        self._find(cd)

    def set_user_timeout(self, cd: int, timeout_s: float | None) -> None:
        """A client that takes nothing for so long of what is queued for it is down.

        :param timeout_s: seconds from 1 on, 0 for no limit, None for the group's `user_timeout_s`.
        """
        connection = self._find(cd)
        good = isinstance(timeout_s, int | float) and not isinstance(timeout_s, bool)
        if timeout_s is not None and not (good and (timeout_s == 0 or 1 <= timeout_s <= _LONGEST_S)):
            raise LocalError(
                f"timeout_s: {timeout_s!r} is not allowed; give seconds from 1 to {_LONGEST_S:,},"
                " 0 for no limit, or None for the group's"
            )
        connection.own_timeout_s = timeout_s
        self.unix.time(connection)
        self.unix.work()

    # --- asking ---------------------------------------------------------------------

    def set_user(self, cd: int, value: int) -> None:
        """Keep a 32-bit cookie with the connection."""
        connection = self._find(cd)
        if not isinstance(value, int) or not 0 <= value <= _WORD:
            raise LocalError(f"value: {value!r} is not allowed; give an integer of 32 bits")
        connection.user = value

    def quiet(self, first: int = 0, rows: int = 65_536) -> tuple[list[int], int]:
        """Connections that are in the middle of nothing; as of `Group.quiet`, all of them at once."""
        self.check_open()
        return [cd for cd, connection in self.members.items() if not _is_busy(connection)], 0

    def user(self, cd: int) -> int:
        """The cookie that `set_user` kept; 0 at first."""
        return self._find(cd).user

    def peer(self, cd: int) -> tuple[str, int]:
        """(path, 0) of the client: "" unless it has bound its own socket (P10)."""
        return self._find(cd).name, 0

    def local(self, cd: int) -> tuple[str, int]:
        """(path, 0) of this end (P10)."""
        self._find(cd)
        return self.address, 0

    def credentials(self, cd: int) -> tuple[int, int, int]:
        """(process, user, group) of the client when it connected, as the kernel knows them.

        :param cd: a connection id, or a pending id: so the decision can be made by who asks.
        """
        self.check_open()
        request = self.requests.get(cd) if isinstance(cd, int) else None
        connection = request or self._find(cd)
        if connection.ended:
            raise StaleConnection(f"connection {cd} has ended")
        return connection.credentials()

    def info(self, cd: int) -> ConnectionInfo:
        """Everything about one connection; positions in the streams stand for sequence numbers.

        What only TCP has is 0.  `snd_una` is what the kernel has taken.
        """
        connection = self._find(cd)
        arrived, acked = connection.arrived & _WORD, connection.acked & _WORD
        sent = connection.sent & _WORD
        return ConnectionInfo(
            cd=cd,
            state=_state(connection),
            local=(self.address, 0),
            peer=(connection.name, 0),
            snd_una=sent,
            snd_nxt=sent,
            snd_lbb=(connection.sent + connection.out.length) & _WORD,
            snd_wnd=0,
            rcv_nxt=arrived,
            rcv_wnd=0,
            rcv_ackd=acked,
            wire_ack=acked,
            delivered=connection.delivered - connection.acked,
            held=connection.arrived - connection.acked,
            out_of_order=0,
            urgent=0,
            mss=0,
            snd_scale=0,
            rcv_scale=0,
            timestamps=False,
            ecn=False,
            srtt_us=0,
            rttvar_us=0,
            rto_ms=0,
            cwnd=0,
            ssthresh=0,
            nagle=False,
            keepalive=False,
            retransmits=0,
            idle_ms=int((self.unix.now - connection.heard) * 1000),
            age_s=int(self.unix.now - connection.created),
            user=connection.user,
            active=bool(connection.out.length or connection.arrived != connection.acked),
        )


def _share(connection: UnixConnection, shared: Shared) -> bool:
    """Queue a broadcast for one connection, if there is room for all of it."""
    if not shared.payloads or connection.room() < shared.length:
        connection.fall_short()
        connection.report(EventKind.STALLED)
        return False
    connection.out.share(shared)
    connection.domain.queue_output(connection)
    return True


def _state(connection: UnixConnection) -> str:
    """The state of RFC 9293 that a TCP connection would be in."""
    if connection.ended or connection.broken:
        return "CLOSED"
    if connection.fin_queued:
        return "LAST_ACK" if connection.eof else "FIN_WAIT_2" if connection.fin_sent else "FIN_WAIT_1"
    return "CLOSE_WAIT" if connection.eof else "ESTABLISHED"


def _is_busy(connection: UnixConnection) -> bool:
    """Whether anything waits to be delivered, acknowledged, answered or sent, or it is closing."""
    waits = connection.acked != connection.arrived or connection.unanswered or connection.out.length > 0
    return waits or connection.detached or connection.ended or connection.fin_queued
