"""The timeline of one script: line after line, each at its time.

absolute    t        at t seconds after the start
relative    +t       t after the line before; after now, if that had no exact time
range       a~b      a packet of the engine comes between these
anytime     *        whenever it comes
blocking    a...b    the call is made at a and returns at b
"""

from __future__ import annotations

from dataclasses import dataclass

from .expectation import PATIENCE, Expectations, Window
from .script import ANY, Call, Code, Command, Event, Inbound, Mismatch, Outbound, Script, Unsupported, When
from .setup import Setup, counted_states, setup_for
from .sockets import SocketError, Sockets, WouldBlock
from .system_calls import Operation
from .tcp_info import Assertions
from .traffic import LOOK, Traffic
from .xtcp_calls import XTCPCalls

#: What a call came to: a number, nothing to compare, or the name of an errno.
Outcome = int | str | None


@dataclass(slots=True)
class _Blocked:
    """A system call that has not returned."""

    event: Event
    call: Call
    operation: Operation
    start: float
    end: float


class Player:
    """Plays one script against a fresh engine.

    :ivar assertions: what the script's blocks of code say about its connections.
    :ivar warnings: what is strange and no failure.
    """

    def __init__(self, script: Script, *, elastic: bool = True, first: int = 0) -> None:
        self.script = script
        self.setup = prepared(script)
        self.traffic = Traffic(self.setup, self.open_sockets(), first)
        self.traffic.look = self._try_blocked
        self.expectations = Expectations(self.traffic, elastic=elastic and not self.setup.strict_acks)
        self.calls = XTCPCalls(self.traffic)
        self.assertions = Assertions(elastic=elastic)
        self.warnings: list[str] = []
        self._blocked: list[_Blocked] = []
        self._previous: tuple[float, When] | None = None

    def open_sockets(self) -> Sockets:
        """The engine that the script is played against."""
        return Sockets(self.setup)

    def play(self) -> None:
        """Play the whole script.

        :raises Mismatch: the engine did not do what a line says.
        :raises Unsupported: a line needs what is not there.
        """
        try:
            for event in self.script.events:
                self._event(event)
            self._finish()
        finally:
            self.traffic.sockets.close()

    def _finish(self) -> None:
        for blocked in list(self._blocked):
            self.traffic.run_until(blocked.end + self.traffic.tolerance(0.1))
        if self._blocked:
            raise Mismatch(f"{self._blocked[0].call.name} never returned", self._blocked[0].event.line)
        self.traffic.collect()
        for flow in self.traffic.flows.values():
            if flow.waiting:
                first = self.traffic.shown(flow.waiting[0], flow)
                self.warnings.append(f"{len(flow.waiting)} packets that no line is about, first {first}")

    # --- time -----------------------------------------------------------------

    def _event(self, event: Event) -> None:
        base, previous = self._base(event.when), self._previous[0] if self._previous else 0.0
        time = self.traffic.now if event.when.anytime else base + event.when.start
        action = event.action
        if isinstance(action, Outbound):
            time = self._expect(event, action, base, previous, time)
        else:
            self.traffic.run_until(time)
            if isinstance(action, Inbound):
                self.traffic.arrive(action.packet, event.text)
            elif isinstance(action, Call):
                self._call(event, action, base)
            elif isinstance(action, Command):
                self._command(event, action)
            elif isinstance(action, Code):
                self.assertions.check(action.text, self.calls.tcp_info(), event.line)
            self.traffic.collect()
        self._previous = time, event.when

    def _base(self, when: When) -> float:
        """What a line's time counts from."""
        if not when.relative or self._previous is None:
            return 0.0
        time, previous = self._previous
        return time if previous.exact and when.exact else self.traffic.now

    def _expect(self, event: Event, action: Outbound, base: float, previous: float, time: float) -> float:
        """Meet the expectation; returns the time from which the next line counts."""
        when, now = event.when, self.traffic.now
        last = time if when.end is None else base + when.end
        tolerance = self.traffic.tolerance(last - previous)
        window = Window(time - tolerance, last + tolerance)
        if when.anytime:
            window = Window(0.0, now + PATIENCE, bounded=False)
        came = self.expectations.meet(action.packet, window, event.line, event.text)
        return time if came and when.exact else self.traffic.now

    # --- calls ----------------------------------------------------------------

    def _call(self, event: Event, call: Call, base: float) -> None:
        for blocked in list(self._blocked):
            self.traffic.run_until(blocked.end)
        try:
            operation = self.calls.prepare(event, call)
        except SocketError as error:
            if call.errno == error.name:
                return
            raise Unsupported(f"{call.name} on a closed descriptor (line {event.line})") from error
        if event.when.until is not None:
            self._blocked.append(_Blocked(event, call, operation, self.traffic.now, base + event.when.until))
            return
        outcome = self._try(operation, event)
        if outcome == "EAGAIN" and not call.errno and not self.calls.nonblocking(call):
            raise Mismatch(f"{call.name} blocks, expected {call.result}", event.line)
        self._check(event, call, outcome)

    def _try(self, operation: Operation, event: Event) -> Outcome:
        try:
            return operation()
        except WouldBlock:
            return "EAGAIN"
        except SocketError as error:
            return error.name
        except Mismatch as mismatch:
            mismatch.line = mismatch.line or event.line
            raise

    def _try_blocked(self) -> bool:
        """Try the calls that wait; whether one still does."""
        waiting = []
        for blocked in self._blocked:
            outcome = self._try(blocked.operation, blocked.event)
            tolerance = self.traffic.tolerance(blocked.end - blocked.start) + 2 * LOOK
            now = self.traffic.now
            if now > blocked.end + tolerance or (outcome != "EAGAIN" and now < blocked.end - tolerance):
                state = "waits" if outcome == "EAGAIN" else "returns"
                raise Mismatch(
                    f"{blocked.call.name} {state} at {now:.4f}, expected to return at {blocked.end:.4f}",
                    blocked.event.line,
                )
            if outcome == "EAGAIN":
                waiting.append(blocked)
            else:
                self._check(blocked.event, blocked.call, outcome)
        self._blocked = waiting
        return bool(waiting)

    def _check(self, event: Event, call: Call, outcome: Outcome) -> None:
        """Compare what a call came to with what the script says."""
        if call.result is ANY or call.result is None or outcome is None:
            return
        assert isinstance(call.result, int)
        expected = f"-1 {call.errno}" if call.errno else str(call.result)
        if isinstance(outcome, str):
            good = call.result < 0 and call.errno in {None, outcome}
            good = good or (outcome == "EAGAIN" and call.errno == "EWOULDBLOCK")
        else:
            good = outcome == call.result
        if not good:
            raise Mismatch(f"{call.name} returned {outcome}, expected {expected}", event.line)

    # --- the rest -------------------------------------------------------------

    def _command(self, event: Event, command: Command) -> None:
        self.setup.shell(command.text)
        counted = counted_states(command.text)
        if counted is not None:
            state, wanted = counted
            found = self.traffic.sockets.count(state)
            if found != wanted:
                raise Mismatch(f"{found} connections in {state}, expected {wanted}", event.line)


def prepared(script: Script) -> Setup:
    """The surroundings that the script asks for before its first line."""
    setup = setup_for(script.options)
    for text in script.preparation:
        setup.shell(text)
    return setup
