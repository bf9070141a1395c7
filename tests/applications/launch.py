"""Runs an application's own command line in this process, and tells of the engine that it came to have.

    python -m tests.applications.launch STATUS twist web --listen=xtcp:80 --path=site
    python -m tests.applications.launch STATUS program.py xtcp:9000

STATUS is the path of the status socket (`xtcp_twisted.reactor.status`), which the
application does not have by itself; nothing else is added.
"""

from __future__ import annotations

import runpy
import sys
from typing import Any

from twisted.application.twist._twist import Twist
from twisted.internet import reactor
from twisted.scripts import twistd

from xtcp_twisted.engine.snapshot import EngineSnapshot
from xtcp_twisted.reactor import status
from xtcp_twisted.reactor.stack import stackFor

made: Any = reactor


def snapshot() -> EngineSnapshot:
    return stackFor(made).engine.snapshot()


def main() -> None:
    path, program, *arguments = sys.argv[1:]
    made.callWhenRunning(status.listen, made, path, snapshot)
    sys.argv[:] = [program, *arguments]
    if program == "twist":
        Twist.main(sys.argv)
    elif program == "twistd":
        twistd.run()
    else:
        runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main()
