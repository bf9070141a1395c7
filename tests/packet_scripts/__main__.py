"""Play packet scripts: python -m tests.packet_scripts [--root FOLDER] [--list FILE] [SCRIPT ...]

A list names one script a line, relative to the root; behind tabs may stand a
mode and a tier.  Mode "passivize" asks to rewrite the script's active open as a
passive one; with any other it is played as it is written.  The summary is sorted
by tiers.  The exit status is 0 only when nothing failed and nothing broke.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from .verdicts import TIME_LIMIT, failed, judge_apart, summary

#: The mode of a list's script whose active open is to be rewritten.
PASSIVIZE: Final = "passivize"


def main(arguments: Sequence[str] | None = None) -> int:
    """Play what the command line names; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        scripts = list(_scripts(options))
    except OSError as error:
        print(f"the list cannot be read: {error}", file=sys.stderr)
        return 2
    verdicts = []
    for path, mode, tier in scripts:
        verdict = judge_apart(
            path,
            limit=options.time_limit,
            elastic=not options.strict,
            first=options.remote_isn,
            passive=options.passive or mode == PASSIVIZE,
        )
        verdict.tier = tier
        verdicts.append(verdict)
        print(verdict, flush=True)
        if options.log:
            print(*verdict.log, sep="\n")
    if not verdicts:
        print("no script was named", file=sys.stderr)
        return 2
    print(*summary(verdicts), sep="\n")
    if options.json:
        try:
            Path(options.json).write_text(json.dumps([asdict(verdict) for verdict in verdicts], indent=1))
        except OSError as error:
            print(f"the verdicts cannot be written: {error}", file=sys.stderr)
            return 2
    return int(failed(verdicts))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="packet-scripts", description="Play packetdrill scripts against the engine, on virtual time."
    )
    parser.add_argument("scripts", nargs="*", metavar="SCRIPT")
    parser.add_argument("--root", default=".", metavar="FOLDER", help="where the scripts of the list are")
    parser.add_argument("--list", metavar="FILE", help="one script a line; the third column is its tier")
    parser.add_argument("--json", metavar="FILE", help="write all verdicts there")
    parser.add_argument("--log", action="store_true", help="print each script's packets")
    parser.add_argument(
        "--passive",
        action="store_true",
        help="rewrite active opens as passive ones, where it can be done",
    )
    parser.add_argument("--strict", action="store_true", help="pure ACKs have to come when the script says")
    parser.add_argument(
        "--remote-isn",
        type=lambda text: int(text, 0),
        default=0,
        metavar="N",
        help="the peers' first sequence number, such as 0xfffffe00; verdicts must not change",
    )
    parser.add_argument(
        "--time-limit", type=float, default=TIME_LIMIT, metavar="SECONDS", help="of real time, per script"
    )
    return parser


def _scripts(options: argparse.Namespace) -> Iterator[tuple[str, str, str]]:
    """Paths, modes and tiers of the scripts to play."""
    for path in options.scripts:
        yield path, "", ""
    lines = Path(options.list).read_text(errors="replace").splitlines() if options.list else []
    for line in lines:
        path, mode, tier, *_ = [*map(str.strip, line.split("\t")), "", ""]
        if path and not path.startswith("#"):
            yield str(Path(options.root, path)), mode, tier


if __name__ == "__main__":
    sys.exit(main())
