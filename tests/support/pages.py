"""What a page of the documentation shows in fenced blocks, so that tests run it as a reader would.

The words behind the fence say what a block is: its language, then a name.  A name with a
dot is that of a file, ``python push.py``; `write_files` writes it.  Other names are for the
tests alone: ``sh server``.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def blocks(page: str, words: str) -> list[str]:
    """The blocks of a page, by its path in the repository, behind whose fence stand exactly these words."""
    return re.findall(rf"^```{re.escape(words)}\n(.*?)^```", _text(page), re.DOTALL | re.MULTILINE)


def block(page: str, words: str) -> str:
    """The only one of these blocks."""
    (found,) = blocks(page, words)
    return found


def write_files(page: str, folder: Path) -> list[Path]:
    """Write the files that a page shows into a folder."""
    found = re.findall(r"^```\w+ (\S+\.\w+)\n(.*?)^```", _text(page), re.DOTALL | re.MULTILINE)
    written = []
    for name, text in found:
        written.append(folder / name)
        written[-1].write_text(text, "utf-8")
    return written


def _text(page: str) -> str:
    return (ROOT / page).read_text("utf-8")
