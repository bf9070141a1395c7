"""What the engine does, sampled once a second and kept for a while.

The model runs in the reactor thread and publishes an immutable `View` by assigning
one attribute, which any thread may read.  It outlives the engine: when that stops,
the last figures stay; when another one comes, its counters begin anew.

Knows engines, and who wants their figures; must not know HTTP or pages.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from twisted.internet import task
from twisted.logger import Logger

from xtcp_console import figures, ticks
from xtcp_console.census import CensusTaker
from xtcp_console.events import Watch
from xtcp_console.notices import Log
from xtcp_console.past import Past
from xtcp_console.pressures import worst_met
from xtcp_console.rates import Sample, Slope, Window, rates
from xtcp_console.shown import Selection
from xtcp_twisted import __version__
from xtcp_twisted.engine import Engine
from xtcp_twisted.reactor import process

#: Between two samples, seconds.
PERIOD_S: Final = 1.0
#: Between the beginnings of two censuses, seconds.
CENSUS_S: Final = 5.0


class Source(Protocol):
    """Where the model finds the engine."""

    @property
    def engine(self) -> Engine | None:
        """The engine that runs now; another object after each start."""

    @property
    def failure(self) -> str | None:
        """Why the last one stopped; None if it runs or was stopped in order."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What the process takes of the machine.

    :ivar cpu_s: CPU time since its start.
    """

    rss_bytes: int
    descriptors: int
    cpu_s: float


def usage() -> Usage:
    """What this process takes now."""
    return Usage(process.rss_bytes(), process.descriptors(), time.process_time())


@dataclass(slots=True)
class _Run:
    """One engine from its start to its end; all of it begins anew with the next.

    :ivar engine: None after its end.
    :ivar started: Unix time.
    """

    engine: Engine | None
    addresses: tuple[str, ...]
    started: float
    census: CensusTaker
    window: Window = field(default_factory=Window)
    selection: Selection = field(default_factory=Selection)
    census_due: float = 0.0


class Model:
    """The figures of one engine after another.

    :param source: where the engine is.
    :param reactor: an `IReactorTime` provider.
    :param clock: seconds of the monotonic clock that the engine is driven by.
    :param wall: Unix time.
    :param usage: what the process takes.
    :ivar view: what is known; None until an engine was seen.
    :ivar listeners: are called with each new view, in the reactor thread.
    """

    _log = Logger()

    def __init__(
        self,
        source: Source,
        reactor: Any,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        usage: Callable[[], Usage] = usage,
    ) -> None:
        self.view: figures.View | None = None
        self.listeners: list[Callable[[figures.View], object]] = []
        self._source = source
        self._reactor = reactor
        self._clock = clock
        self._wall = wall
        self._usage = usage
        self._host = socket.gethostname()
        self._loop = task.LoopingCall(self._turn)
        self._loop.clock = reactor
        self._due = 0.0
        self._serial = 0
        self._run: _Run | None = None
        self._events = Log()
        self._watch = Watch(self._events)
        self._past = Past()
        self._cpu = Slope()

    def start(self) -> None:
        """Sample now, and once a second from now on."""
        self._due = self._reactor.seconds()
        self._loop.start(PERIOD_S)

    def stop(self) -> None:
        """Sample no more; the last view stays."""
        if self._loop.running:
            self._loop.stop()
        if self._run is not None:
            self._run.census.give_up()

    def _turn(self) -> None:
        late_s = max(self._reactor.seconds() - self._due, 0.0)
        try:
            self._sample(late_s)
        except Exception:  # noqa: BLE001  # a second without figures must not end them for good
            self._log.failure("The console has no figures of this second")
        # As LoopingCall does it: the next of the seconds since its start.
        begin = self._loop.starttime
        assert begin is not None
        self._due = begin + ((self._reactor.seconds() - begin) // PERIOD_S + 1) * PERIOD_S

    def _sample(self, late_s: float) -> None:
        t, at = self._wall(), self._clock()
        self._look(t, at)
        self._watch.settle(t, at)
        if (run := self._run) is not None:
            self.view = self._publish(run, t, at, late_s)
            for listener in list(self.listeners):
                self._tell(listener, self.view)

    def _tell(self, listener: Callable[[figures.View], object], view: figures.View) -> None:
        try:
            listener(view)
        except Exception:  # noqa: BLE001  # the others are told all the same
            self._log.failure("The console's figures could not be passed on")

    # -- the engine comes and goes ---------------------------------------------------

    def _look(self, t: float, at: float) -> None:
        """Take a sample of the engine, if there is one."""
        engine = self._source.engine
        if engine is not None and engine.closed:
            engine = None
        run = self._run
        if run is not None and run.engine is not None and run.engine is not engine:
            self._ended(run, t)
        if engine is None:
            return
        sample = Sample(t, at, engine.snapshot())
        if run is None or run.engine is None:
            run = self._run = self._begun(engine, t)
            self._watch.started(sample)
        else:
            last = run.window.latest
            self._watch.compare(last, sample)
            self._past.pressed(last.t, t, worst_met(last, sample))
        run.window.add(sample)
        if at >= run.census_due and not run.census.busy:
            run.census_due = at + CENSUS_S
            run.census.begin(engine)

    def _begun(self, engine: Engine, t: float) -> _Run:
        taker = CensusTaker(self._reactor, self._wall)
        return _Run(engine, tuple(engine.config.addresses), t, taker)

    def _ended(self, run: _Run, t: float) -> None:
        run.engine = None  # its memory is not kept for the sake of some figures
        run.window.rest()
        self._watch.stopped(t, self._source.failure)

    # -- what is shown ------------------------------------------------------------------

    def _publish(self, run: _Run, t: float, at: float, late_s: float) -> figures.View:
        self._serial += 1
        sample = run.window.latest
        shown = run.selection.choose(sample)
        groups = sample.groups.values()
        tick = figures.Tick(
            t=t,
            serial=self._serial,
            layout=run.selection.layout(sample),
            engine=self._engine(run, at, late_s),
            rates=rates(run.window.engine()),
            pools=ticks.pools(run.window),
            transmit=ticks.transmit(run.window),
            groups=ticks.groups(run.window, shown),
            group_count=len(groups),
            pending=sum(group.pending for group in groups),
            readable=sum(group.readable for group in groups),
            census=run.census.latest,
            counters=ticks.counters(sample.snapshot.counters),
        )
        if run.engine is not None:
            self._past.add(tick, sample.pools.values(), shown)
        else:
            self._past.gap(t)
        return figures.View(
            tick=tick,
            occupancy=self._past.occupancy(t),
            sparks=self._past.sparks(t),
            ribbon=self._past.ribbon(t),
            events=self._events.events,
        )

    def _engine(self, run: _Run, at: float, late_s: float) -> figures.Engine:
        sample = run.window.latest
        snapshot = sample.snapshot
        used = self._usage()
        return figures.Engine(
            state="running" if run.engine is not None else "stopped",
            reason=self._source.failure if run.engine is None else None,
            started=run.started,
            uptime_s=sample.t - run.started,
            host=self._host,
            pid=os.getpid(),
            version=__version__,
            addresses=run.addresses,
            connections=snapshot.connections,
            max_connections=snapshot.max_connections,
            half_open=snapshot.half_open,
            time_wait=snapshot.time_wait,
            active=snapshot.active,
            descriptors=used.descriptors,
            rss_bytes=used.rss_bytes,
            connection_bytes=snapshot.connection_bytes,
            bytes_per_connection=_per(snapshot.connection_bytes, snapshot.connections),
            cpu=self._cpu.add(at, used.cpu_s),
            loop_delay_ms=late_s * 1_000,
        )


def _per(total: int, count: int) -> float | None:
    return total / count if count else None
