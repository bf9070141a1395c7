"""Puts settings of the host back when its standard input ends, however the run ended.

A process of its own, out of reach of the run's signals, so that a SIGKILL leaves
nothing changed; the ordinary end goes the same way.  Its first line of input is a JSON
object of files and what to write into them.  Started by file name with ``python -I -S``.
"""

from __future__ import annotations

import json
import signal
import sys


def main() -> int:
    """Wait, then write; 1 if a file could not be written."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    before = json.loads(sys.stdin.readline())
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    failed = 0
    for path, value in before.items():
        try:
            with open(path, "w") as file:
                file.write(value)
        except OSError as error:
            sys.stderr.write(f"{path} could not be put back to {value!r}: {error.strerror}\n")
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
