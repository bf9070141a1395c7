"""Runs suites of Twisted under a reactor, as trial does, and writes down how each test ended.

    python outcomes.py REACTOR FILE MODULE...

FILE gets a JSON object.  "tests": test id -> "ok", "skipped", "todo", "failed" or
"error"; an error outside of tests, such as a module that does not import, has an id of
its own.  "accepted": how many connections the reactor's stacks accepted.  Tracebacks go
to standard output.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.application.reactors import installReactor

#: What trial calls at the end of a test -> what is written down.
ENDS = {
    "addSuccess": "ok",
    "addSkip": "skipped",
    "addExpectedFailure": "todo",
    "addUnexpectedSuccess": "todo",
    "addFailure": "failed",
    "addError": "error",
}


def recorder(outcomes: dict[str, str]) -> type:
    """A reporter for trial that notes the ends of tests; a failure is not forgotten for a later success."""
    from twisted.trial.reporter import Reporter  # imports the reactor

    class Recorder(Reporter):  # type: ignore[misc]  # untyped
        def _printSummary(self) -> None:
            """Nothing; the errors are printed before."""

    def noting(name: str, outcome: str) -> Callable[..., None]:
        def note(self: Any, test: Any, *details: Any) -> None:
            getattr(Reporter, name)(self, test, *details)
            if outcomes.get(test.id()) not in ("failed", "error"):
                outcomes[test.id()] = outcome

        return note

    for name, outcome in ENDS.items():
        setattr(Recorder, name, noting(name, outcome))
    return Recorder


def run(reactor: str, names: list[str]) -> dict[str, Any]:
    """How each test of these modules, classes or tests ended, and what went through XTCP."""
    installReactor(reactor)
    from twisted.internet import reactor as installed
    from twisted.trial.runner import TestLoader, TrialRunner

    from xtcp_twisted.reactor.stack import stacksOf

    outcomes: dict[str, str] = {}
    accepted: list[int] = []

    def count() -> None:
        accepted.extend(stack.engine.counters()["PassiveOpens"] for stack in stacksOf(installed))

    installed.addSystemEventTrigger("before", "shutdown", count)  # type: ignore[attr-defined]  # a module to mypy
    suite: Any = TestLoader().loadByNames(names, recurse=True)  # type: ignore[no-untyped-call]
    TrialRunner(recorder(outcomes), workingDirectory="_trial").run(suite)  # type: ignore[no-untyped-call]
    return {"tests": outcomes, "accepted": sum(accepted)}


if __name__ == "__main__":
    reactor_name, file, *modules = sys.argv[1:]
    Path(file).write_text(json.dumps(run(reactor_name, modules), indent=1, sort_keys=True), "utf-8")
