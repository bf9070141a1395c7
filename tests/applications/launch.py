"""Runs an application's own command line in this process, and tells of the engine that it came to have.

    python -m tests.applications.launch STATUS twist web --listen=xtcp:80 --path=site
    python -m tests.applications.launch STATUS program.py xtcp:9000
    python -m tests.applications.launch STATUS twistd -n --reactor=xtcp dns --port=53

STATUS is the path of the status socket (`xtcp_twisted.reactor.status`), which the
application does not have by itself; nothing else is added.
"""

from __future__ import annotations

import runpy
import sys
from typing import Any

from twisted.application.reactors import installReactor


def install() -> None:
    """The reactor that the command line names, before anybody imports one."""
    for argument in sys.argv:
        if argument.startswith("--reactor="):
            sys.argv.remove(argument)
            installReactor(argument.partition("=")[2])
            return


def tell(path: str) -> None:
    """Listen at the status socket when the reactor runs."""
    from twisted.internet import reactor

    from xtcp_twisted.engine.snapshot import EngineSnapshot
    from xtcp_twisted.reactor import status
    from xtcp_twisted.reactor.stack import stackFor

    made: Any = reactor

    def snapshot() -> EngineSnapshot:
        return stackFor(made).engine.snapshot()

    made.callWhenRunning(status.listen, made, path, snapshot)


def run(program: str) -> None:
    if program == "twist":
        from twisted.application.twist._twist import Twist

        Twist.main(sys.argv)
    elif program == "twistd":
        from twisted.scripts import twistd

        twistd.run()
    else:
        runpy.run_path(program, run_name="__main__")


def main() -> None:
    install()
    path, program, *arguments = sys.argv[1:]
    tell(path)
    sys.argv[:] = [program, *arguments]
    run(program)


if __name__ == "__main__":
    main()
