"""``python -m tools.reference DIRECTORY``: build the API reference there; warnings are errors."""

from __future__ import annotations

import sys
from pathlib import Path

from tools.reference.build import build
from tools.reference.completeness import findings

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """The command line; returns the exit status."""
    if len(sys.argv) != 2:
        print("usage: python -m tools.reference DIRECTORY", file=sys.stderr)
        return 2
    output = Path(sys.argv[1])
    system = build(ROOT, output)
    missing = findings(system)
    for sentence in missing:
        print(sentence, file=sys.stderr)
    if missing or system.violations:
        print(f"{system.violations + len(missing)} errors: see above", file=sys.stderr)
        return 1
    print(output / "index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
