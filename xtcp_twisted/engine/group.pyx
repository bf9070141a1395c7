"""Connection groups: what the application holds in its hands (P03 to P09).

The group itself: its descriptor, its requests, its options, its end.  What is
done with one of its connections is in `Connections`.
"""

from libc.stdint cimport int64_t, uint32_t
from posix.unistd cimport close as close_fd

import attrs

from xtcp_twisted.engine.ids cimport make_id
from xtcp_twisted.engine.listening cimport listening_start, listening_stop
from xtcp_twisted.engine.members cimport group_sweep, quiet_members
from xtcp_twisted.engine.opening cimport connection_open
from xtcp_twisted.engine.options cimport options_change, options_forget
from xtcp_twisted.engine.options import changed_options
from xtcp_twisted.engine.requests cimport (
    request_accept,
    request_credit,
    request_from,
    request_row,
    requests_of,
)
from xtcp_twisted.engine.waiting cimport new_eventfd
from xtcp_twisted.errors import LocalError
from xtcp_twisted.tcp.groups cimport (
    GROUP_ATTENTION,
    GROUP_OPEN,
    GROUP_SIGNALLED,
    group_row_t,
    requests_seen,
)
from xtcp_twisted.tcp.halfopen cimport half_open_drop, half_open_refuse_by
from xtcp_twisted.tcp.layout cimport record_at
from xtcp_twisted.tcp.readiness cimport group_signal, group_tells

cdef uint32_t EVERY_REQUEST = 0xFFFFFFFF

cdef enum:
    SWEPT_NOW = 4_096          # records that closing a group visits at once; polls visit the rest


cdef class Group(Connections):
    """A connection group: one port, one descriptor, shared options, many connections.

    Made by `Pool.open_group`.  Errors of every call: `GroupClosed` when the
    group is closed, `StaleConnection` when the id names no connection of it.

    :ivar serial: the engine counts its pools and groups: a row used anew has another one.
    :ivar domain: AF_INET, AF_INET6, or AF_UNSPEC for both.
    :ivar options: its `GroupOptions`.
    """

    @property
    def port(self):
        """The local port of this group."""
        return self.state.stack.groups[self.row].port

    @property
    def readable(self):
        """Connections that have something for `recv` or `recv_batch`."""
        return self._open_row().ready.count

    @property
    def notified(self):
        """Whether `recv` has something and the group tells of it: its options may hold that back (P05)."""
        return group_tells(self._open_row())

    @property
    def waiting(self):
        """Connection requests that wait for a decision: how many `pending` would list."""
        return requests_seen(self._open_row())

    @property
    def attention(self):
        """Whether the descriptor is readable for something that the engine knows nothing of.

        An end that was taken from `Engine.events` and that the application has not seen, for example.
        """
        return self._open_row().flags & GROUP_ATTENTION != 0

    @attention.setter
    def attention(self, wanted):
        cdef group_row_t *g = self._open_row()
        if wanted:
            g.flags |= GROUP_ATTENTION
        else:
            g.flags &= ~<uint32_t>GROUP_ATTENTION
        group_signal(&self.state.stack, g)

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
            group_signal(&self.state.stack, g)
            self.pool.engine._know_descriptor(g.eventfd, self)
        return g.eventfd

    def fileno(self):
        """The group's descriptor, which is its id: readable while it has data or pending requests.

        Data may be held back for a while, as `notify_connections` of its options says.
        """
        return self._descriptor()

    # --- opening (P08) -------------------------------------------------------

    def pending(self, limit=None):
        """Connection requests that wait for a decision, the oldest first: [(pending_id, (host, port))].

        Those to a port that groups share are seen by each of them (P06).

        :param limit: no more than so many; None is all of them.
        """
        self._open_row()
        return requests_of(self.state, self.row, EVERY_REQUEST if limit is None else max(limit, 0))

    cdef int64_t _pending_row(self, object pending_id) except -1:
        self._open_row()
        return request_row(self.state, self.row, self.name, pending_id)

    cdef bint _sees(self, object pending_id) except -1:
        """Whether the request still waits for this group."""
        try:
            self._pending_row(pending_id)
        except LocalError:
            return False
        return True

    def requester(self, pending_id):
        """Who asks for a connection by the request `pending_id`: (host, port) (P10).

        :raises StalePending: there is no such request any more.
        """
        return request_from(self.state, <uint32_t>self._pending_row(pending_id))

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
        """Refuse the connection request `pending_id`: RST, or silence if the group's options say so.

        That is final, also for other groups that share the port.
        """
        half_open_refuse_by(
            &self.state.stack, <uint32_t>self._pending_row(pending_id), self.row, False
        )
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

    def quiet(self, first=0, rows=65_536):
        """Connections that are in the middle of nothing, for an orderly end.

        They have received all that was sent and sent all that was queued, the application has acknowledged
        all, and has sent something since it was given something.

        :param first: where to go on; 0 begins.
        :param rows: how many rows of the engine's table to look at.
        :returns: ``(ids, where to go on)``, the latter 0 at the end of the table.
        """
        self._open_row()
        return quiet_members(&self.state.stack, self.row, first, rows)

    # --- the group itself ----------------------------------------------------

    def set_options(self, **changes):
        """Change options of the group, for the connections that it has, too (P05).

        They hold at once, but for what each connection keeps of its own, which follows in slices within
        the next polls: the acknowledgement policy and delay (one that is held leaves no later than it
        would have), the user timeout, Nagle's algorithm, keepalive, a lower `mss`, the room that a higher
        `priority`, `weight` or `guaranteed_bytes` gives to who was held back.  A connection for which
        `set_nodelay`, `set_keepalive` or `set_user_timeout` was called keeps what was set.  What a
        handshake has agreed on stays: `window_scaling`, `timestamps`, `sack`, `ecn` and a higher `mss`
        are for new connections, and so is `connect_timeout_s`.  `accept_credits` takes the place of the
        credits that are left.

        :raises ConfigurationError: there is no such option, or it does not take this value; nothing changes.
        """
        self._open_row()
        before, self.options = self.options, changed_options(self.options, changes)
        options_change(self.state, self.row, before, self.options)
        if "accept_credits" in changes:
            request_credit(self.state, self.row, 0)
            request_credit(self.state, self.row, self.options.accept_credits)
        self.state.note_work()

    def set_dscp(self, dscp):
        """Change the DSCP of all its connections, from the next segment on (RFC 9293 SHLD-21).

        :param dscp: 0 to 63; segments of one connection may overtake each other where it changes.
        :raises ConfigurationError: it is something else.
        """
        self.options = attrs.evolve(self.options, dscp=dscp)
        if not self.closed:
            self.state.stack.groups[self.row].tos = dscp << 2

    cdef int _close(self, bint abort) except -1:
        """Everything but its connections, which `State.sweep` ends."""
        cdef group_row_t *g = &self.state.stack.groups[self.row]
        if self.closed:
            return 0
        listening_stop(self.state, self.row)
        options_forget(self.state, self.row)
        half_open_drop(&self.state.stack, self.row)
        g.flags &= ~<uint32_t>GROUP_OPEN
        group_sweep(&self.state.stack, self.row, abort)
        self.state.sweeps.append(self.row)
        if g.eventfd >= 0:
            self.pool.engine._forget_descriptor(g.eventfd)
            close_fd(g.eventfd)
            g.eventfd = -1
        self.closed = True
        self.pool._forget(self)
        return 0

    def close(self, abort=False):
        """Close the group: its port, its descriptor and its connections (P07).

        :param abort: reset the connections instead of closing them in order.  A large group is
            ended in slices, the rest in the polls that follow.
        """
        self.state.check_open()
        self._close(abort)
        self.state.sweep(SWEPT_NOW)
        self.state.reap()
        self.state.note_work()
