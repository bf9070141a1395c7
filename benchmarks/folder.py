"""The folder of results: of each command the last run, as JSON, as a page of markdown and as a picture."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).with_name("results")


def write(
    folder: Path, name: str, document: Mapping[str, Any], page: Iterable[str], draw: Callable[[Path], None]
) -> list[Path]:
    """Write ``NAME.json``, ``NAME.md`` and ``NAME.svg``, each whole or not at all; gives their paths.

    :param document: everything that was measured.
    :param page: lines of markdown; the picture is put below them.
    :param draw: writes the picture to a path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = [*page, "", f"![The same as plots]({name}.svg)"]
    written = []
    for suffix, put in (
        ("json", lambda path: path.write_text(json.dumps(document, indent=1) + "\n")),
        ("md", lambda path: path.write_text("\n".join(lines) + "\n")),
        ("svg", draw),
    ):
        made = folder / f"{name}.{suffix}"
        unfinished = folder / f".{name}.unfinished.{suffix}"
        put(unfinished)
        written.append(unfinished.replace(made))
    return written
