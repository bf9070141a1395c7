"""``make docs`` writes each page whose text has changed, and says which."""

from __future__ import annotations

import sys
from pathlib import Path

from tools.docs import features, pages, requirements

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    wrong = requirements.findings(ROOT) + features.findings(ROOT)
    if wrong:
        print(*wrong, sep="\n", file=sys.stderr)
        return 1
    for name, make in pages.PAGES.items():
        path, text = ROOT / name, make(ROOT)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            print(f"written: {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
