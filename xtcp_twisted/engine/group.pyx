"""Connection groups: what the application holds in its hands (P03 to P18).

Every call checks the connection id first: slot, in use, generation, group.  An
id that fails any of these is stale, whatever the reason, and nothing changes.
Calls only queue; packets leave with the next `flush`.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from posix.unistd cimport close as close_fd

import attrs

from xtcp_twisted.config import ALL
from xtcp_twisted.engine.ids cimport make_id
from xtcp_twisted.engine.listening cimport listening_start, listening_stop
from xtcp_twisted.engine.members cimport group_members, group_sweep, promise_refused
from xtcp_twisted.engine.opening cimport connection_open
from xtcp_twisted.engine.preferences cimport prefer_keepalive, prefer_user_timeout
from xtcp_twisted.engine.report cimport connection_info, host_and_port
from xtcp_twisted.engine.requests cimport (
    request_accept,
    request_credit,
    request_row,
    requests_of,
)
from xtcp_twisted.engine.transfer cimport (
    answer_queue,
    payloads_drop,
    payloads_share,
    payloads_store,
    take_data,
)
from xtcp_twisted.engine.waiting cimport new_eventfd
from xtcp_twisted.errors import (
    GroupClosed,
    LocalError,
    NotAcknowledgeable,
    StaleConnection,
    WriteClosed,
)
from xtcp_twisted.tcp.acknowledge cimport ack_application
from xtcp_twisted.tcp.close cimport conn_abort, conn_finish, conn_shutdown
from xtcp_twisted.tcp.connection cimport (
    EVENT_EOF,
    conn_lease,
    conn_load,
    conn_report,
    conn_settle,
    conn_update_ready,
    group_signal,
)
from xtcp_twisted.tcp.groups cimport GROUP_OPEN, GROUP_SIGNALLED, GROUP_SWEEP, GROUP_SWEEP_ABORT
from xtcp_twisted.tcp.layout cimport (
    RECORD_DETACHED,
    RECORD_ENDED,
    RECORD_EOF_TAKEN,
    RECORD_FIN_QUEUED,
    RECORD_FIN_RECEIVED,
    RECORD_PAUSED,
    active_at,
    local_at,
    record_at,
    record_t,
)
from xtcp_twisted.tcp.halfopen cimport half_open_drop, half_open_refuse
from xtcp_twisted.tcp.nagle cimport nagle_set
from xtcp_twisted.tcp.receive cimport receive_quota

cdef uint32_t EVERYTHING = ALL

cdef enum:
    MOST_AT_ONCE = 262_144     # bytes of one connection in one recv_batch: a turn costs as much as 20 KB
    SWEEP_ROWS = 65_536        # records that one slice of a closing group's sweep visits


cdef class Group:
    """A connection group: one port, one descriptor, shared options, many connections.

    Made by `Pool.open_group`.  Errors of every call: `GroupClosed` when the
    group is closed, `StaleConnection` when the id names no connection of it.
    """

    cdef group_row_t *_open_row(self) except NULL:
        if self.closed:
            raise GroupClosed(f"group {self.name!r} is closed")
        self.state.check_open()
        return &self.state.stack.groups[self.row]

    cdef int _find(self, object cd, conn_t *c) except -1:
        cdef uint64_t value
        cdef uint32_t slot
        cdef record_t *r
        self._open_row()
        if not isinstance(cd, int) or cd < 0 or cd >> 63:
            raise StaleConnection(f"{cd!r} is no connection id")
        value = cd
        slot = <uint32_t>value
        if slot < self.state.stack.records.fresh:
            r = record_at(&self.state.stack, slot)
            if r.generation == value >> 32 and r.generation & 1 and r.group_row == self.row:
                if not r.flags & RECORD_DETACHED:
                    conn_load(c, &self.state.stack, slot)
                    return 0
        raise StaleConnection(f"connection {cd} is not (or no longer) one of group {self.name!r}")

    @property
    def port(self):
        """The local port of this group."""
        return self.state.stack.groups[self.row].port

    @property
    def readable(self):
        """Connections that have something for `recv` or `recv_batch`."""
        return self._open_row().ready.count

    def __len__(self):
        """Connections of the group, closing ones included."""
        return self._open_row().connections

    def __repr__(self):
        return f"<Group {self.name!r} port {self.port}{' closed' if self.closed else ''}>"

    # --- the descriptor (P04) ------------------------------------------------

    cdef int _descriptor(self) except -1:
        cdef group_row_t *g = self._open_row()
        if g.eventfd < 0:
            g.eventfd = new_eventfd()
            g.flags &= ~<uint32_t>GROUP_SIGNALLED
            group_signal(g)
            self.pool.engine._know_descriptor(g.eventfd, self)
        return g.eventfd

    def fileno(self):
        """The group's descriptor, which is its id: readable while it has data or pending requests."""
        return self._descriptor()

    # --- opening (P08) -------------------------------------------------------

    def pending(self):
        """Connection requests that wait for a decision: [(pending_id, (host, port))]."""
        self._open_row()
        return requests_of(self.state, self.row)

    cdef int64_t _pending_row(self, object pending_id) except -1:
        self._open_row()
        return request_row(self.state, self.row, self.name, pending_id)

    def accept(self, pending_id=None, Group into=None):
        """Accept a connection request: its SYN-ACK leaves with the next flush (Fig. 6c).

        :param pending_id: which one; None takes the oldest.
        :param into: the group that the connection joins; None is this one.
        :returns: the id of the connection, ESTABLISHED when its event says so.
        :raises NothingPending, StalePending: there is no such request.
        :raises PoolExhausted: the record table is full; the request stays.
        """
        cdef Group target = self if into is None else into
        cdef uint32_t row = <uint32_t>self._pending_row(pending_id)
        target._open_row()
        if target.state is not self.state:
            raise LocalError("into: the group belongs to another engine")
        cd = request_accept(self.state, row, target.row)
        self.state.note_work()
        return cd

    def refuse(self, pending_id):
        """Refuse a connection request: RST, or silence if the group's options say so."""
        half_open_refuse(&self.state.stack, <uint32_t>self._pending_row(pending_id), False)
        self.state.note_work()

    def credit(self, n):
        """Post `n` accept credits: that many requests are accepted without asking.

        :param n: how many; `UNLIMITED` for all, 0 takes every credit back.
        """
        self._open_row()
        request_credit(self.state, self.row, n)
        self.state.note_work()

    def connect(self, remote, local=None, *, timeout_s=None):
        """Open a connection to somebody who listens (P09): the SYN leaves with the next flush.

        `send` may be called at once; what it takes leaves when the connection is established.

        :param remote: (host, port), the host an IP address.
        :param local: (host, port) of this end, one of the engine's addresses.  None, or a host of ""
            and a port of 0, leave the choice to the engine (RFC 6056).
        :param timeout_s: give up after so long; None is the group's `connect_timeout_s`.
        :returns: the id of the connection.  ESTABLISHED follows, or RESET with ECONNREFUSED, or DOWN
            with ETIMEDOUT.
        :raises AddressNotAvailable: `local` is not the engine's, or of another family than `remote`.
        :raises AddressInUse: `local` and `remote` are a connection already, or were one lately.
        :raises PortsExhausted: so are all the ports that the engine may choose.
        :raises PoolExhausted: the record table is full.
        """
        cdef uint32_t slot
        self._open_row()
        slot = <uint32_t>connection_open(self.state, self.row, self.address, remote, local, timeout_s)
        self.state.note_work()
        return make_id(record_at(&self.state.stack, slot).generation, slot)

    def listen(self):
        """Take connection requests (again) after `stop_listening`; AddressInUse if another group does."""
        self._open_row()
        listening_start(self.state, self.row)

    def stop_listening(self):
        """Take no more connection requests; those that wait are refused, connections stay."""
        self._open_row()
        listening_stop(self.state, self.row)
        self.state.note_work()

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

    def recv_batch(self, int limit):
        """Take up to `limit` readable connections, each once and at most 262,144 bytes of it."""
        cdef group_row_t *g = self._open_row()
        cdef conn_t c
        cdef list found = []
        cdef uint32_t left = min(g.ready.count, max(limit, 0))
        for _ in range(left):
            conn_load(&c, &self.state.stack, active_at(&self.state.stack, g.ready.head).slot)
            cd = make_id(c.r.generation, c.slot)
            found.append((cd, take_data(&c, MOST_AT_ONCE)))
        if found:
            self.state.note_work()
        return found

    def need(self, cd, n):
        """Offer a connection again, from its first unacknowledged byte, when `n` bytes are there.

        Or at the end of its stream.  It holds for the next offer only.  Under the `application`
        policy it also says that the request is incomplete, so that what arrives may be
        acknowledged every second segment.
        """
        cdef conn_t c
        self._find(cd, &c)
        if not isinstance(n, int) or n < 0 or n > receive_quota(&c):
            raise LocalError(
                f"need: {n!r} is not allowed; give an integer from 0 to what one connection of pool"
                f" {self.pool.name!r} may hold now, {receive_quota(&c):,} bytes"
            )
        conn_lease(&c).need = n
        c.a.read_nxt = c.r.rcv_ackd
        conn_update_ready(&c)
        conn_settle(&c)

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
        cdef uint32_t deliverable, taken
        cdef bytes payload = data if type(data) is bytes else bytes(data)
        self._find(cd, &c)
        deliverable = c.a.delivered - c.r.rcv_ackd if c.a != NULL else 0
        if ackd != EVERYTHING:
            if not isinstance(ackd, int) or ackd < 0 or ackd > deliverable:
                raise NotAcknowledgeable(
                    f"ackd: {ackd!r} is not allowed; {deliverable} bytes were delivered and not acknowledged"
                )
            deliverable = ackd
        if payload and c.r.flags & (RECORD_FIN_QUEUED | RECORD_ENDED):
            raise WriteClosed(f"connection {cd} sends no more: it was shut down, or has ended")
        if deliverable:
            ack_application(&c, deliverable, False)
        taken = answer_queue(&c, payload) if payload else 0
        conn_settle(&c)
        self.state.note_work()
        return taken

    def done(self, messages):
        """The application is done with all that was delivered of these connections.

        As `send(cd, b"", ALL)` for each, except that an acknowledgement which the `bounded`
        policy holds goes on waiting for an answer to ride on.

        :param messages: (cd, bytes) pairs as of `recv_batch`; stale ids are passed over.
        """
        cdef conn_t c
        self._open_row()
        for cd, _ in messages:
            try:
                self._find(cd, &c)
            except StaleConnection:
                continue
            if c.a != NULL and c.a.delivered != c.r.rcv_ackd:
                ack_application(&c, c.a.delivered - c.r.rcv_ackd, True)
                conn_settle(&c)
        self.state.note_work()

    def broadcast(self, bytes data not None, cds=None):
        """Send the same bytes to many connections; they are stored once (P19).

        :param cds: connection ids; None is every connection of the group.  Ids that are stale or
            of another group are passed over.
        :returns: connections that took it.  One that could not gets STALLED, and WRITABLE later.
        """
        cdef list payloads
        cdef int reached = 0
        cdef conn_t c
        self._open_row()
        payloads = payloads_store(&self.state.stack, data)
        for cd in group_members(&self.state.stack, self.row) if cds is None else cds:
            try:
                self._find(cd, &c)
            except StaleConnection:
                continue
            reached += payloads_share(&c, payloads, <uint32_t>len(data))
        payloads_drop(&self.state.stack, payloads)
        self.state.note_work()
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
        nagle_set(&c, not on)
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
        """Keep a 32-bit cookie with the connection."""
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

    # --- the group itself ----------------------------------------------------

    def set_dscp(self, dscp):
        """Change the DSCP of all its connections, from the next segment on (RFC 9293 SHLD-21).

        :param dscp: 0 to 63; segments of one connection may overtake each other where it changes.
        :raises ConfigurationError: it is something else.
        """
        self.options = attrs.evolve(self.options, dscp=dscp)
        if not self.closed:
            self.state.stack.groups[self.row].tos = dscp << 2

    cdef int _close(self, bint abort, bint whole) except -1:
        cdef group_row_t *g = &self.state.stack.groups[self.row]
        if self.closed:
            return 0
        listening_stop(self.state, self.row)
        half_open_drop(&self.state.stack, self.row)
        g.flags &= ~<uint32_t>GROUP_OPEN
        g.flags |= GROUP_SWEEP | (GROUP_SWEEP_ABORT if abort else 0)
        g.sweep_at = 0
        self.state.stack.sweeping += 1
        if g.eventfd >= 0:
            self.pool.engine._forget_descriptor(g.eventfd)
            close_fd(g.eventfd)
            g.eventfd = -1
        self.closed = True
        g.references -= 1
        self.state.closing.append(self.row)
        group_sweep(&self.state.stack, self.row, 0xFFFFFFFF if whole else SWEEP_ROWS)
        self.pool._forget(self)
        return 0

    def close(self, abort=False):
        """Close the group: its port, its descriptor and its connections (P07).

        :param abort: reset the connections instead of closing them in order.  A large group is
            ended in slices, the rest in the polls that follow.
        """
        self.state.check_open()
        self._close(abort, False)
        self.state.reap()
        self.state.note_work()
