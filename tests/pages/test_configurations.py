"""Each piece of configuration that a page shows is taken as it stands."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from support.pages import ROOT, write_files

from xtcp_twisted.reactor.loading import structure

from .test_links import PAGES

#: What a piece is put into: as little as a configuration may be.
LEAST: dict[str, Any] = {"engine": {"addresses": ["192.0.2.1"]}, "pool": [{"name": "main"}]}
PIECES = [
    pytest.param(page, piece, id=f"{page}-{number}")
    for page in PAGES
    for number, piece in enumerate(
        re.findall(r"^```toml[^\n]*\n(.*?)^```", (ROOT / page).read_text("utf-8"), re.DOTALL | re.MULTILINE)
    )
]


@pytest.mark.parametrize("page, piece", PIECES)
def test_a_configuration(page: str, piece: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the programs of its page at hand."""
    write_files(page, tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    tables = tomllib.loads(piece)
    settings = structure(LEAST | tables, groups="group" in tables)
    assert {name for name in tables if getattr(settings, name) is None} == set()


def test_there_are_some() -> None:
    assert len(PIECES) > 5
