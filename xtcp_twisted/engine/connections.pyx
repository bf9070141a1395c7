"""The connections of a group, each by its id: receiving, answering, closing, asking (P10 to P18).

Every call checks the connection id first: slot, in use, generation, group.  An
id that fails any of these is stale, whatever the reason, and nothing changes.
Calls only queue; packets leave with the next `flush`.
"""

from cpython.long cimport PyLong_AsLongLongAndOverflow
from libc.stdint cimport int64_t, uint32_t

from xtcp_twisted.config import ALL
from xtcp_twisted.engine.ids cimport make_id
from xtcp_twisted.engine.members cimport group_has, group_members, promise_refused
from xtcp_twisted.engine.preferences cimport prefer_keepalive, prefer_nagle, prefer_user_timeout
from xtcp_twisted.engine.report cimport connection_info, host_and_port
from xtcp_twisted.engine.transfer cimport (
    answer_queue,
    payloads_drop,
    payloads_share,
    payloads_store,
    take_data,
)
from xtcp_twisted.errors import (
    GroupClosed,
    LocalError,
    NotAcknowledgeable,
    StaleConnection,
    WriteClosed,
)
from xtcp_twisted.tcp.acknowledge cimport ack_application, ack_incomplete
from xtcp_twisted.tcp.close cimport conn_abort, conn_finish, conn_shutdown
from xtcp_twisted.tcp.connection cimport (
    EVENT_EOF,
    conn_lease,
    conn_load,
    conn_report,
    conn_settle,
    conn_update_ready,
)
from xtcp_twisted.tcp.flags cimport (
    RECORD_DETACHED,
    RECORD_ENDED,
    RECORD_EOF_TAKEN,
    RECORD_FIN_QUEUED,
    RECORD_FIN_RECEIVED,
    RECORD_PAUSED,
)
from xtcp_twisted.memory.links cimport UNLINKED
from xtcp_twisted.tcp.layout cimport active_at, local_at, record_at, record_t, stack_t
from xtcp_twisted.tcp.receive cimport receive_quota

cdef uint32_t EVERYTHING = ALL

cdef enum:
    MOST_AT_ONCE = 262_144     # bytes of one connection in one recv_batch: a turn costs as much as 20 KB


cdef void _need(conn_t *c, uint32_t n) noexcept nogil:
    """Offer it when `n` bytes are there; at the end of its stream, not what was offered whole."""
    cdef uint32_t end = c.r.rcv_nxt - (c.r.flags & RECORD_FIN_RECEIVED != 0)
    conn_lease(c).need = n
    if not c.r.flags & RECORD_FIN_RECEIVED or c.a.read_nxt != end or n <= end - c.r.rcv_ackd:
        c.a.read_nxt = c.r.rcv_ackd
    conn_update_ready(c)
    ack_incomplete(c)


cdef inline int64_t whole_number(object given) noexcept:
    """An integer from 0 to 2**63 - 1, or -1 for anything else."""
    cdef int beyond = 0
    cdef int64_t value
    if not isinstance(given, int):
        return -1
    value = PyLong_AsLongLongAndOverflow(given, &beyond)
    return -1 if beyond or value < 0 else value


cdef uint32_t _acknowledged(const conn_t *c, object ackd) except? 4294967295:
    """The bytes that an `ackd` of `send` means."""
    cdef uint32_t deliverable = c.a.delivered - c.r.rcv_ackd if c.a != NULL else 0
    cdef int64_t wanted = whole_number(ackd)
    if wanted == EVERYTHING:
        return deliverable
    if wanted < 0 or wanted > deliverable:
        raise NotAcknowledgeable(
            f"ackd: {ackd!r} is not allowed; {deliverable} bytes were delivered and not acknowledged"
        )
    return <uint32_t>wanted


cdef inline bint _sends_no_more(const conn_t *c) noexcept:
    """It was shut down, or has ended."""
    return c.r.flags & (RECORD_FIN_QUEUED | RECORD_ENDED) != 0


cdef uint32_t _answer(conn_t *c, bytes payload, uint32_t acknowledged) except? 4294967295:
    """Acknowledge and answer; returns how much of it was taken."""
    cdef uint32_t taken
    if acknowledged:
        ack_application(c, acknowledged, False)
    taken = answer_queue(c, payload) if payload else 0
    conn_settle(c)
    return taken


cdef class Connections:
    """What a `Group` does with its connections.

    In every call `cd` is the id of a connection, which `Group.accept`, `Group.connect`, `recv` and events
    give; `on` switches a preference of this connection on or off.

    :ivar name: as it was given, or made of pool and port.
    :ivar row: of the engine's table of groups.
    :ivar address: the one that it is bound to, or None for all of its domain.
    :ivar pool: the `Pool` that it was opened in.
    :ivar closed: whether the group was closed.
    """

    cdef group_row_t *_open_row(self) except NULL:
        if self.closed:
            raise GroupClosed(f"group {self.name!r} is closed")
        self.state.check_open()
        return &self.state.stack.groups[self.row]

    cdef bint _locate(self, object cd, conn_t *c) noexcept:
        """Load the connection with this id, if the group, which is open, has it."""
        cdef int64_t value = whole_number(cd)
        cdef uint32_t slot = <uint32_t>value
        cdef record_t *r
        if value < 0 or slot >= self.state.stack.records.fresh:
            return False
        r = record_at(&self.state.stack, slot)
        if r.generation != value >> 32 or not r.generation & 1 or r.group_row != self.row:
            return False
        if r.flags & RECORD_DETACHED:
            return False
        conn_load(c, &self.state.stack, slot)
        return True

    cdef int _find(self, object cd, conn_t *c) except -1:
        self._open_row()
        if self._locate(cd, c):
            return 0
        if whole_number(cd) < 0:
            raise StaleConnection(f"{cd!r} is no connection id")
        raise StaleConnection(f"connection {cd} is not (or no longer) one of group {self.name!r}")

    # --- receiving (P13) -----------------------------------------------------

    def recv(self, max_bytes):
        """Take the next readable connection of the group (P13); never blocks.

        :param max_bytes: the most bytes to return, at least 1.
        :returns: (cd, bytes), (cd, b"") once at the end of its stream, or None when no
            connection has anything.  The bytes stay held until they are acknowledged.
        """
        cdef group_row_t *g = self._open_row()
        cdef conn_t c
        if not isinstance(max_bytes, int) or max_bytes < 1:
            raise LocalError(f"max_bytes: {max_bytes!r} is not allowed; give an integer from 1")
        if g.ready.count == 0:
            return None
        conn_load(&c, &self.state.stack, active_at(&self.state.stack, g.ready.head).slot)
        cd = make_id(c.r.generation, c.slot)
        data = take_data(&c, min(max_bytes, 0x7FFFFFFF))
        self.state.note_work()
        return cd, data

    def recv_batch(self, int limit, uint32_t most=MOST_AT_ONCE):
        """Take up to `limit` readable connections, each once: `most` bytes of it, or what it needs."""
        cdef group_row_t *g = self._open_row()
        cdef conn_t c
        cdef list found = []
        cdef uint32_t left = min(g.ready.count, max(limit, 0))
        for _ in range(left):
            conn_load(&c, &self.state.stack, active_at(&self.state.stack, g.ready.head).slot)
            cd = make_id(c.r.generation, c.slot)
            found.append((cd, take_data(&c, max(most, c.a.need))))
        if found:
            self.state.note_work()
        return found

    def recv_more(self, cd, uint32_t most):
        """What follows on a connection after what `recv_batch` has given of it.

        :param most: the most bytes to return.
        :returns: bytes; None when there are none now, or the connection is paused or has ended.  The end
            of its stream is left to `recv_batch`.
        """
        cdef conn_t c
        cdef bint fin
        self._open_row()
        if not self._locate(cd, &c) or c.a == NULL or c.a.ready.next == UNLINKED:
            return None
        fin = c.r.flags & RECORD_FIN_RECEIVED != 0
        if c.r.rcv_nxt - c.a.read_nxt == fin:
            return None
        data = take_data(&c, most)
        self.state.note_work()
        return data

    def need(self, cd, n):
        """Offer a connection again, from its first unacknowledged byte, when `n` bytes are there.

        Or at the end of its stream.  It holds for the next offer only.  It also says that the
        request is incomplete, so that the window opens for the rest, and that under the
        `application` policy what has come of it is acknowledged as under `bounded`.
        """
        cdef conn_t c
        self._find(cd, &c)
        if not isinstance(n, int) or n < 0 or n > receive_quota(&c):
            raise LocalError(
                f"need: {n!r} is not allowed; give an integer from 0 to what one connection of pool"
                f" {self.pool.name!r} may hold now, {receive_quota(&c):,} bytes"
            )
        _need(&c, n)
        conn_settle(&c)
        self.state.note_work()

    def consume(self, parts):
        """The application is done with the first bytes of these connections, and with the others not yet.

        As `send(cd, b"", ackd)` and `need(cd, n)` for each, except that an acknowledgement which the
        `bounded` policy holds goes on waiting for an answer to ride on.

        :param parts: (cd, ackd, n) triples; with an `n` of 0 nothing is needed.  Stale ids are passed over.
        :returns: ids of those that may not hold `n` bytes now, which is not asked for them.
        :raises NotAcknowledgeable: `ackd` is more than was delivered; those before it are done.
        """
        cdef conn_t c
        cdef uint32_t ackd, n, deliverable
        cdef list refused = []
        self._open_row()
        for cd, ackd, n in parts:
            self._open_row()
            if not self._locate(cd, &c):
                continue
            deliverable = c.a.delivered - c.r.rcv_ackd if c.a != NULL else 0
            if ackd > deliverable:
                raise NotAcknowledgeable(
                    f"ackd: {ackd} is not allowed; {deliverable} bytes were delivered and not acknowledged"
                )
            if ackd:
                ack_application(&c, ackd, True)
            if n > receive_quota(&c):
                refused.append(cd)
            elif n:
                _need(&c, n)
            conn_settle(&c)
        self.state.note_work()
        return refused

    # --- answering (P15 to P18) ----------------------------------------------

    def send(self, cd, data, ackd=0):
        """Queue an answer and the acknowledgement of what it answers (Fig. 6g).

        :param data: bytes to send; b"" acknowledges without data.
        :param ackd: bytes that the application has processed, of those last delivered; `ALL`
            for all of them.  The acknowledgement leaves even if no data could be queued.
        :returns: bytes taken; WRITABLE follows when fewer than given.
        :raises NotAcknowledgeable: `ackd` is more than was delivered; nothing is done.
        :raises WriteClosed: data after `shutdown`, or after the end; nothing is done.
        """
        cdef conn_t c
        cdef bytes payload = data if type(data) is bytes else bytes(data)
        cdef uint32_t acknowledged, taken
        self._find(cd, &c)
        acknowledged = _acknowledged(&c, ackd)
        if payload and _sends_no_more(&c):
            raise WriteClosed(f"connection {cd} sends no more: it was shut down, or has ended")
        taken = _answer(&c, payload, acknowledged)
        self.state.note_work()
        return taken

    def send_many(self, answers):
        """As `send` for each of many answers; connections that have ended, or send no more, are passed over.

        :param answers: (cd, data) or (cd, data, ackd) tuples.
        :returns: [(cd, rest)] of those that were not taken whole; mostly empty.
        :raises NotAcknowledgeable: `ackd` is more than was delivered; those before it are sent.
        """
        cdef conn_t c
        cdef list rest = []
        cdef tuple parts
        cdef bytes payload
        cdef uint32_t acknowledged, taken
        try:
            for answer in answers:
                parts = answer if type(answer) is tuple else tuple(answer)
                if not 2 <= len(parts) <= 3:
                    raise LocalError(
                        f"answers: {answer!r} is not allowed; give (cd, data) or (cd, data, ackd)"
                    )
                data = parts[1]
                payload = data if type(data) is bytes else bytes(data)
                self._open_row()  # what was called meanwhile may have closed it
                if not self._locate(parts[0], &c):
                    continue
                acknowledged = _acknowledged(&c, parts[2]) if len(parts) == 3 else 0
                if payload and _sends_no_more(&c):
                    continue
                taken = _answer(&c, payload, acknowledged)
                if taken < <uint32_t>len(payload):
                    rest.append((parts[0], payload[taken:]))
        finally:
            self.state.note_work()
        return rest

    def done(self, messages):
        """The application is done with all that was delivered of these connections.

        As `send(cd, b"", ALL)` for each, except that an acknowledgement which the `bounded`
        policy holds goes on waiting for an answer to ride on.

        :param messages: (cd, bytes) pairs as of `recv_batch`; stale ids are passed over.
        """
        cdef conn_t c
        self._open_row()
        for cd, _ in messages:
            self._open_row()
            if not self._locate(cd, &c):
                continue
            if c.a != NULL and c.a.delivered != c.r.rcv_ackd:
                ack_application(&c, c.a.delivered - c.r.rcv_ackd, True)
                conn_settle(&c)
        self.state.note_work()

    def broadcast(self, bytes data not None, cds=None, *, but=()):
        """Send the same bytes to many connections; they are stored once (P19).

        :param data: the bytes.
        :param cds: connection ids; None is every connection of the group.  Ids that are stale or
            of another group are passed over.
        :param but: a container of ids that are left out, too.
        :returns: connections that took it.  One that could not gets STALLED, and WRITABLE later.
        """
        cdef list payloads, receivers = None
        cdef int reached
        self._open_row()
        # Before anything is stored: an iterator of the caller's may fail, or close the group.
        if cds is not None or but:
            receivers = group_members(&self.state.stack, self.row) if cds is None else list(cds)
            receivers = [cd for cd in receivers if cd not in but] if but else receivers
        self._open_row()
        payloads = payloads_store(&self.state.stack, data)
        if receivers is None:
            reached = self._share_with_all(payloads, <uint32_t>len(data))
        else:
            reached = self._share_with(receivers, payloads, <uint32_t>len(data))
        payloads_drop(&self.state.stack, payloads)
        self.state.note_work()
        return reached

    cdef int _share_with(self, list receivers, list payloads, uint32_t length) except -1:
        cdef conn_t c
        cdef int reached = 0
        for cd in receivers:
            if not self._locate(cd, &c):
                continue
            reached += payloads_share(&c, payloads, length)
        return reached

    cdef int _share_with_all(self, list payloads, uint32_t length) except -1:
        """Without an object for each connection."""
        cdef const stack_t *s = &self.state.stack
        cdef conn_t c
        cdef uint32_t slot
        cdef int reached = 0
        for slot in range(s.records.fresh):
            if group_has(s, self.row, slot):
                conn_load(&c, &self.state.stack, slot)
                reached += payloads_share(&c, payloads, length)
        return reached

    # --- closing (P07, P11) --------------------------------------------------

    def shutdown(self, cd):
        """Close our sending side: FIN after what is queued; receiving goes on.

        Before the handshake there is nothing to close in order: the id is stale then.
        """
        cdef conn_t c
        self._find(cd, &c)
        if not promise_refused(&c):
            conn_shutdown(&c)
        self.state.note_work()

    def finish(self, cd):
        """Acknowledge what was delivered and close in order; the id is stale from now on.

        Bytes that were never delivered make it a reset (RFC 9293 SHLD-3).
        """
        cdef conn_t c
        self._find(cd, &c)
        if not promise_refused(&c):
            conn_finish(&c)
        self.state.note_work()

    def abort(self, cd):
        """Reset the connection (RFC 9293 section 3.10.5); the id is stale from now on."""
        cdef conn_t c
        self._find(cd, &c)
        if not promise_refused(&c):
            conn_abort(&c)
        self.state.note_work()

    def pause(self, cd):
        """Offer nothing of this connection; its window closes as its share of the buffer fills."""
        cdef conn_t c
        self._find(cd, &c)
        c.r.flags |= RECORD_PAUSED
        conn_update_ready(&c)

    def resume(self, cd):
        """Undo `pause`."""
        cdef conn_t c
        self._find(cd, &c)
        c.r.flags &= ~<uint32_t>RECORD_PAUSED
        conn_update_ready(&c)
        if c.r.flags & RECORD_FIN_RECEIVED and not c.r.flags & RECORD_EOF_TAKEN:
            conn_report(&c, EVENT_EOF)
        self.state.note_work()

    # --- preferring otherwise than the group's options -------------------------

    def set_nodelay(self, cd, on):
        """Short segments of this connection leave at once, or wait as Nagle's algorithm says (MUST-17)."""
        cdef conn_t c
        self._find(cd, &c)
        prefer_nagle(&c, not on)
        self.state.note_work()

    def set_keepalive(self, cd, on):
        """Probe this connection while it is idle, or not; in a group without probes, after two hours."""
        cdef conn_t c
        self._find(cd, &c)
        prefer_keepalive(&c, on)

    def set_user_timeout(self, cd, timeout_s):
        """Nothing acknowledged for so long marks this connection down (RFC 9293 MUST-21).

        :param timeout_s: seconds from 1 on, 0 for no limit, None for the group's `user_timeout_s`.
        """
        cdef conn_t c
        self._find(cd, &c)
        prefer_user_timeout(&c, timeout_s)
        self.state.note_work()

    # --- asking --------------------------------------------------------------

    def set_user(self, cd, value):
        """Keep `value`, a 32-bit cookie, with the connection."""
        cdef conn_t c
        self._find(cd, &c)
        if not isinstance(value, int) or not 0 <= value <= 0xFFFFFFFF:
            raise LocalError(f"value: {value!r} is not allowed; give an integer of 32 bits")
        c.r.user = value

    def user(self, cd):
        """The cookie that `set_user` kept; 0 at first."""
        cdef conn_t c
        self._find(cd, &c)
        return c.r.user

    def peer(self, cd):
        """(host, port) of the other end (P10)."""
        cdef conn_t c
        self._find(cd, &c)
        return host_and_port(c.r.remote, c.r.remote_port)

    def local(self, cd):
        """(host, port) of this end (P10)."""
        cdef conn_t c
        self._find(cd, &c)
        if c.r.flags & RECORD_ENDED:
            return (self.address or "", c.r.local_port)
        return host_and_port(local_at(c.s, c.r.local_row).address, c.r.local_port)

    def info(self, cd):
        """Everything about one connection, as a `ConnectionInfo`."""
        cdef conn_t c
        self._find(cd, &c)
        return connection_info(&c)
