"""``python -m benchmarks.million``: see the package's docstring."""

from __future__ import annotations

import sys

from benchmarks.million.command import main

if __name__ == "__main__":
    sys.exit(main())
