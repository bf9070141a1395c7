"""The interfaces that applications implement, and those that they are handed.

There are two ways to serve connections.  An ordinary `IProtocolFactory` gets a
protocol and a transport per connection, as with kernel TCP; its transports
provide `IXTCPTransport`.  An `IGroupProtocol` is one object for a whole group of
connections, which it knows by their connection ids (cd) and of which it hears
in batches: an idle connection then costs no Python object at all.

Knows nothing of how either is driven.  In methods that the reactor side calls,
names are Twisted's; names of calls that go straight to the engine are the
engine's (`xtcp_twisted.engine`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from twisted.internet import interfaces
from twisted.python.failure import Failure
from zope.interface import Attribute, Interface


class IXTCPTransport(interfaces.ITLSTransport):
    """The transport of one connection of an ordinary protocol."""

    group = Attribute("The engine's group that this connection belongs to.")
    cd = Attribute("The connection id in that group (an int, never used twice in a row).")

    def info() -> Any:
        """The details of its TCP at this moment: state, windows, round trips, what is in flight.

        :return: a `xtcp_twisted.engine.snapshot.ConnectionInfo`.
        :raises xtcp_twisted.errors.StaleConnection: the connection has ended.
        """

    def setUserTimeout(timeout: float | None) -> None:
        """Seconds without an acknowledgement after which the connection is down (RFC 9293 section 3.8.3).

        `connectionLost` then tells `ConnectionLost`.  Of no consequence when the connection has ended.

        :param timeout: from 1 to 1,000,000; 0 for no limit, None for the group's `user_timeout_s`.
        :raises xtcp_twisted.errors.LocalError: it is something else; nothing changes.
        """


class IGroupTransport(Interface):
    """What a group protocol talks to: all connections of one group.

    A call that names a connection raises `xtcp_twisted.errors.StaleConnection`
    when that connection has ended in the meantime, whether or not
    `IGroupProtocol.connectionsLost` has told of it yet.  Calls only queue; what
    they queue leaves at the end of the reactor turn.

    In every call `cd` is the id of a connection, `cds` are several; `pendingId` is that of a request, which
    `IGroupAcceptor.connectionsPending` has told; `on` switches a preference of this connection on or off.
    """

    name = Attribute("The group's name (str).")
    port = Attribute("The port that the group is bound to (int).")
    options = Attribute("The group's `xtcp_twisted.config.GroupOptions`.")
    engineGroup = Attribute("The engine's group, for what is not offered here.")

    def __len__() -> int:
        """The connections that the protocol was told of and has not been told the end of."""

    def send(cd: int, data: bytes, ackd: int = 0) -> int:
        """Queue an answer and acknowledge what it answers (P15, P16).

        :param cd: the connection.
        :param data: the answer; may be empty, to acknowledge only.
        :param ackd: how many received bytes are done with; `ALL` for all that was delivered.
        :return: how many bytes of `data` were taken.  After a short count,
            `IGroupProtocol.connectionsWritable` tells when to try again.
        :raises NotAcknowledgeable: `ackd` is more than was delivered.
        """

    def sendMany(answers: Iterable[tuple[Any, ...]]) -> list[tuple[int, bytes]]:
        """Queue many answers; connections that have ended are passed over.

        :param answers: an iterable of ``(cd, data)`` or ``(cd, data, ackd)``.
        :return: ``[(cd, rest)]`` of those that were not taken whole; mostly empty.
        """

    def broadcast(data: bytes, cds: Iterable[int] | None = None, *, but: Collection[int] = ()) -> int:
        """Queue the same bytes for many connections; they are stored once.

        A connection gets all of it or nothing.  One that owes its peer the rest of a short `send` would
        get it into the middle of that: leave it out.

        :param cds: the connections, or None for the whole group.
        :param but: connections that are left out, in a set or a dict.
        :return: how many connections took it.  `IGroupProtocol.connectionsStalled`
            names those that could not.
        """

    def connect(
        remote: tuple[str, int], local: tuple[str, int] | None = None, *, timeout: float | None = None
    ) -> int:
        """Begin a connection to `remote`, ``(host, port)``, from `local` or wherever the engine likes (P09).

        `send` may be called at once.  `IGroupProtocol.connectionsMade` follows, or `connectionsLost` alone
        with the reason why not (`ConnectionRefusedError`, `TCPTimedOutError`).

        :param timeout: seconds until it is given up; None is the group's `connect_timeout_s`.
        :return: the connection's id.
        :raise LocalError: there is no such destination, or no source for it.
        """

    def accept(pendingId: int, into: Any = None) -> int:
        """Accept a connection request (P08); returns the connection's id.

        :param into: the `IGroupTransport` of the group that gets the connection; None for this one (P06).
        """

    def refuse(pendingId: int) -> None:
        """Refuse a connection request."""

    def credit(n: int) -> None:
        """Post `n` accept credits: so many requests are accepted without asking."""

    def setOptions(**changes: Any) -> None:
        """Change `GroupOptions` of the group, for the connections that it has, too (P05).

        What a handshake has agreed on, and what was set for one connection, stays.

        :raise ConfigurationError: there is no such option, or it does not take this value; nothing changes.
        """

    def need(cd: int, n: int) -> None:
        """Offer this connection's data again only when `n` bytes are there, or its end.

        It also calls the request incomplete: its window opens for the rest, and under the `application`
        policy what has come of it is acknowledged as under `bounded`, never the last byte of it.
        """

    def consume(parts: Iterable[tuple[int, int, int]]) -> list[int]:
        """Of each ``(cd, ackd, n)`` of `parts`, acknowledge `ackd` bytes and `need` `n`, if that is not 0.

        As `send` without data for each, but under the `bounded` policy the acknowledgements wait for
        answers to ride on.  Connections that have ended are passed over.

        :return: those that may not hold `n` bytes, which will never be there.
        """

    def pause(cd: int) -> None:
        """Offer no data of this connection until `resume`."""

    def resume(cd: int) -> None:
        """Offer data of this connection again."""

    def shutdown(cd: int) -> None:
        """Close the sending side; receiving goes on."""

    def finish(cd: int) -> None:
        """Close in order: what was delivered is acknowledged, what was queued is sent, then FIN.

        The id is stale at once; `IGroupProtocol.connectionsLost` follows in a later turn.
        """

    def abort(cd: int) -> None:
        """Close by RST; acknowledges nothing.  Otherwise as `finish`."""

    def peer(cd: int) -> tuple[str, int]:
        """The peer's ``(host, port)`` (P10)."""

    def local(cd: int) -> tuple[str, int]:
        """The local ``(host, port)``."""

    def info(cd: int) -> Any:
        """A `xtcp_twisted.engine.snapshot.ConnectionInfo`."""

    def user(cd: int) -> int:
        """The application's 32-bit number of this connection."""

    def setNoDelay(cd: int, on: bool) -> None:
        """Let short segments of this connection leave at once, or wait for acknowledgements."""

    def setKeepAlive(cd: int, on: bool) -> None:
        """Probe this connection while it is idle, or not."""

    def setUserTimeout(cd: int, timeout: float | None) -> None:
        """Seconds without an acknowledgement after which this connection is down.

        :param timeout: 0 for no limit, None for the group's `user_timeout_s`.
        """

    def setUser(cd: int, value: int) -> None:
        """Set the application's 32-bit number of this connection to `value`."""


class IGroupProtocol(Interface):
    """One object that serves all connections of a group, in batches.

    For each connection the calls come in the order `connectionsMade`,
    `messagesReceived` (any number), `connectionsHalfClosed` (at most once),
    `connectionsLost` (exactly once, unless `groupClosed` comes first).  One that
    `IGroupTransport.connect` began in vain has the last of them only.

    In every call `cd` is the id of a connection, and `cds` is a list of ids.

    An exception costs the connection that was being served: see
    `xtcp_twisted.reactor.batches` for how that one is found.
    """

    autoAcknowledge = Attribute(
        """
        True: all that was delivered is acknowledged when `messagesReceived` returns.
        False: the protocol acknowledges by the `ackd` of `IGroupTransport.send`.
        None: True, except under the `application` acknowledgement policy.
        """
    )

    def makeGroup(group: Any) -> None:
        """The group listens from now on.

        :param group: an `IGroupTransport`.
        """

    def groupClosed(reason: Failure) -> None:
        """The group and whatever connections it still had are gone; nothing is called after this.

        :param reason: a `twisted.python.failure.Failure`.
        """

    def connectionsMade(cds: list[int]) -> None:
        """Handshakes are complete.

        :param cds: a list of connection ids.
        """

    def messagesReceived(messages: list[tuple[int, bytes]]) -> None:
        """Data has arrived.

        :param messages: a list of ``(cd, data)`` with at most one entry per
            connection and at most 262,144 bytes in each.  What is not acknowledged is
            offered again, first, together with what came after it (P18).
        """

    def connectionsHalfClosed(cds: list[int]) -> None:
        """The peers will send no more; all that they sent has been delivered."""

    def connectionsWritable(cds: list[int]) -> None:
        """After a short `IGroupTransport.send`, or a broadcast that left them out, there is room again."""

    def connectionsStalled(cds: list[int]) -> None:
        """A broadcast could not be queued for these; `connectionsWritable` names them when there is room."""

    def connectionsLost(losses: list[tuple[int, Failure]]) -> None:
        """Connections have ended, by whichever side.

        :param losses: a list of ``(cd, reason)``; the reason is a `Failure` of
            `ConnectionDone`, `ConnectionLost` or `ConnectionAborted`; for one that
            `IGroupTransport.connect` began and that was never made, a `ConnectError`.
        """


class IFramedGroupProtocol(IGroupProtocol):
    """A group protocol that gets frames: lines, or what begins with its length.

    A frame comes once, whole, however its bytes were cut into segments.  The part of a frame stays in the
    shared receive buffer and is no object here.  A frame is done with when the handler returns: it is
    acknowledged then, under each policy, and an exception costs its connection and acknowledges nothing.

    When a connection ends in order, the part of a frame that came last is dropped.
    """

    def framesReceived(frames: list[tuple[int, bytes]]) -> None:
        """Frames of one turn: ``[(cd, frame), ...]``, those of one connection in order.

        By default, `frameReceived` for each; frames of a connection that the handler has closed are
        passed over then, and those behind an answer that waits for room are offered again when it is
        sent.  Who overrides this instead gets a batch at once, to commit it at once, say; it has at most
        16,384 bytes of each connection, or one frame.
        """

    def frameReceived(cd: int, frame: bytes) -> object:
        """A frame has come; what is returned means nothing."""

    def frameLengthExceeded(cd: int) -> None:
        """The next frame of this connection is longer than `MAX_LENGTH`; those before it were handed over.

        Say so and `finish` the connection, if you like; one that is still open then is aborted.
        """

    def sendFrame(cd: int, frame: bytes) -> bool:
        """Send one frame, now or when there is room; nothing for a connection that has ended.

        Nothing is read from a connection while something waits for room, so answers do not pile up.

        :return: False when some of it waits, or the connection has ended: who sends without being asked
            sends no more to this connection until `connectionsWritable` names it.
        """

    def broadcastFrame(frame: bytes, cds: Iterable[int] | None = None) -> int:
        """Queue one frame for many connections; it is stored once.

        It is lost for connections without room, and for those that wait for room after `sendFrame`;
        `connectionsStalled` names both, the latter at once.

        :param cds: the connections, or None for the whole group.
        :return: how many connections took it.
        """


class IRequestGroupProtocol(IFramedGroupProtocol):
    """A group protocol whose handler returns the answer, now or later.

    Requests of one connection are served one at a time, in order; those sent ahead wait in the shared
    receive buffer, and then in the client.  The acknowledgement of a request rides on its answer.  While
    an answer is awaited, or waits for room, the connection is paused; its end, too, is told after that.
    """

    def messageReceived(cd: int, data: bytes) -> Any:
        """A request has come: `data`, a frame.

        :return: the answer: bytes, which are framed and sent (b"" without a framing only acknowledges);
            None, for a request that gets no answer and is acknowledged; or a `Deferred` or coroutine of
            either.  When the connection ends first, that is cancelled, and what it says is ignored.
        """

    def requestFailed(cd: int, failure: Failure) -> bytes | None:
        """`messageReceived` has raised, or its Deferred has failed, with this `failure`; by default, log it.

        :return: an answer all the same, which acknowledges the request; None aborts the connection.
        """


class IConnectionSignals(Interface):
    """An ordinary protocol that wants to hear of what needs no answer; asked for by adaptation."""

    def urgentAnnounced(length: int) -> None:
        """The peer has marked data as urgent (RFC 6093), or more of it; it comes in line.

        :param length: so many bytes are still to come by `dataReceived` until the end of what is urgent.
        """

    def connectionTroubled(error: int) -> None:
        """Something is wrong that may get right again (RFC 9293 SHLD-9, -25).

        :param error: an errno: ETIMEDOUT when the peer has acknowledged nothing through three
            retransmissions, else what ICMP says.
        """


class IConnectionDecider(Interface):
    """An ordinary factory that decides about each connection request before its handshake (P08).

    The factory that listens is asked for it by adaptation, then the one that it wraps (`wrappedFactory`),
    and so on: TLS, PROXY headers and the wrappers of `twisted.protocols.policies` need not know of it.  A
    port that has a decider gets accept credits only if its options post them; what they accept is not asked
    about.
    """

    def connectionRequested(address: Any) -> Any:
        """A peer asks for a connection; nothing has been answered yet.

        The answer counts if it comes within `accept_timeout_ms`; then the request is refused.  A Deferred
        whose request has gone, by that or because the peer has, is cancelled soon after.  SYNs may be
        forged: bound what is begun for them.  Whatever is raised refuses, too, and is logged.

        :param address: the peer's `IAddress`, as `buildProtocol` gets it.
        :return: True to accept, False to refuse; or a Deferred or coroutine of that.
        """


class IGroupSignals(IGroupProtocol):
    """A group protocol that wants to hear of what needs no answer."""

    def connectionsUrgent(announcements: list[tuple[int, int]]) -> None:
        """Peers have marked data as urgent, see `IConnectionSignals`.

        :param announcements: a list of ``(cd, length)``.
        """

    def connectionsTroubled(troubles: list[tuple[int, int]]) -> None:
        """Something is wrong that may get right, see `IConnectionSignals`.

        :param troubles: a list of ``(cd, errno)``.
        """


class IGroupAcceptor(IGroupProtocol):
    """A group protocol that decides about each connection request before its handshake (P08).

    Its group gets accept credits only if the group's options or
    `IGroupTransport.credit` post them.
    """

    def connectionsPending(requests: list[tuple[int, tuple[str, int]]]) -> None:
        """Peers ask for connections; answer with `IGroupTransport.accept` or `refuse`.

        A request that is not answered within `accept_timeout_ms` is refused; answering then raises
        `xtcp_twisted.errors.StalePending`.  Each comes once, so whoever asks elsewhere keeps its id.

        :param requests: a list of ``(pendingId, (host, port))``.
        """
