"""One script's verdict, and the summary of many.

    PASS    the engine did what every line says
    FAIL    it did something else
    SKIP    the script needs what the interpreter or the engine's calls do not have
    ERROR   the interpreter, or the engine's process, broke; or the script is none

Each script is played in a process of its own, with a limit of time and of
memory: what it breaks is its own.  As JSON, a run is a list of verdicts in the
order of its scripts, each an object with the fields of `Verdict`.
"""

from __future__ import annotations

import multiprocessing
import resource
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from xtcp_twisted.config import GiB
from xtcp_twisted.errors import ConfigurationError

from .passive import made_passive
from .player import Player
from .reader import read_file
from .script import Mismatch, ScriptError, Unsupported

STATUSES: Final = ("PASS", "FAIL", "SKIP", "ERROR")
#: Seconds of real time after which a script is given up.
TIME_LIMIT: Final = 60.0
#: Bytes of address space that a script may use; most of it is reserved by the engine and never touched.
ADDRESS_SPACE: Final = 4 * GiB
#: Lines of the packet log that a verdict keeps.
LOG_LINES: Final = 60


@dataclass(slots=True)
class Verdict:
    """What came of one script.

    :ivar path: of the script; `line`: the line that failed, or None.
    :ivar status: PASS, FAIL, SKIP or ERROR; `reason`: why it is no PASS, the first line a summary.
    :ivar tier: of the list that it stands in; "" for none.
    :ivar passive: an active open was rewritten.
    :ivar extra_acks: pure ACKs that no line is about; `deferred_acks`: those of lines, merged or left out.
    :ivar other_probes: probes of a closed window that had an octet where the script's have none.
    :ivar strays: packets of no connection of the script.
    :ivar warnings: what is strange and no failure; `log`: the last packets, as text.
    :ivar checked: assertions about TCP_INFO that were worked out; `unchecked`: those that were not.
    """

    path: str
    status: str = "PASS"
    reason: str = ""
    line: int | None = None
    tier: str = ""
    passive: bool = False
    checked: int = 0
    unchecked: int = 0
    extra_acks: int = 0
    deferred_acks: int = 0
    other_probes: int = 0
    strays: int = 0
    warnings: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else self.path
        return f"{self.status:<5} {place}  {self.reason.splitlines()[0] if self.reason else ''}".rstrip()


def judge(path: str, *, elastic: bool = True, first: int = 0, passive: bool = False) -> Verdict:
    """Play the script at `path` in this process.

    :param first: sequence number of the peer's first SYN.
    :param passive: rewrite an active open as a passive one, where that can be done.
    """
    verdict = Verdict(path)
    player = None
    try:
        script = read_file(path)
        verdict.passive = passive and made_passive(script)
        player = Player(script, elastic=elastic, first=first)
        player.play()
    except (Unsupported, ConfigurationError) as error:
        verdict.status, verdict.reason = "SKIP", str(error)
    except Mismatch as error:
        verdict.status, verdict.reason, verdict.line = "FAIL", str(error), error.line
    except (ScriptError, OSError) as error:
        verdict.status, verdict.reason = "ERROR", str(error)
    except Exception as error:  # noqa: BLE001  whatever a script breaks, the others go on
        verdict.status = "ERROR"
        verdict.reason = f"{type(error).__name__}: {error}\n{traceback.format_exc()}"
    if player is not None:
        traffic = player.traffic
        verdict.checked, verdict.unchecked = player.assertions.checked, player.assertions.unchecked
        verdict.warnings = player.warnings + player.assertions.differing
        verdict.extra_acks, verdict.deferred_acks = traffic.extra_acks, traffic.deferred_acks
        verdict.other_probes = traffic.other_probes
        verdict.strays, verdict.log = len(traffic.strays), traffic.log[-LOG_LINES:]
    return verdict


def judge_apart(path: str, *, limit: float = TIME_LIMIT, **how: Any) -> Verdict:
    """As `judge`, in a process of its own that may break or hang.

    :param limit: seconds of real time.
    :param how: as for `judge`.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_report, args=(sender, path, how))
    process.start()
    sender.close()
    verdict = Verdict(path, "ERROR", f"not done after {limit:g} seconds")
    try:
        if receiver.poll(limit):
            verdict = receiver.recv()
    except EOFError:
        verdict.reason = "the process ended without a verdict"
    process.kill()
    process.join()
    if verdict.reason.startswith("the process"):
        verdict.reason += f" (exit status {process.exitcode})"
    return verdict


def _report(sender: Connection, path: str, how: dict[str, Any]) -> None:
    limit = _address_space() + ADDRESS_SPACE
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    sender.send(judge(path, **how))


def _address_space() -> int:
    """Bytes that this process has mapped (proc_pid_statm(5))."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def failed(verdicts: Iterable[Verdict]) -> bool:
    """Whether any script failed or broke something."""
    return any(verdict.status in {"FAIL", "ERROR"} for verdict in verdicts)


def summary(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """A line for each tier, and one for all."""
    tiers = sorted({verdict.tier for verdict in verdicts})
    yield f"{'tier':<12}" + "".join(f"{status:>7}" for status in STATUSES)
    for tier in tiers if len(tiers) > 1 else []:
        yield _row(tier or "-", [verdict for verdict in verdicts if verdict.tier == tier])
    yield _row("all", verdicts)


def _row(name: str, verdicts: Sequence[Verdict]) -> str:
    counts = Counter(verdict.status for verdict in verdicts)
    return f"{name:<12}" + "".join(f"{counts[status]:>7}" for status in STATUSES)
