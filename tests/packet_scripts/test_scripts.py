"""The project's own scripts: what this engine does and sockets have no words for."""

from __future__ import annotations

from pathlib import Path

import pytest

from .verdicts import judge

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.pkt"))


@pytest.mark.feature("P08", "P14", "P15", "P18", "P22")
@pytest.mark.parametrize("first", [0, 0xFFFF_FFF0], ids=["", "wrapping"])
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_script(path: Path, first: int) -> None:
    """The same, whatever the peer's first sequence number: also when it wraps."""
    verdict = judge(str(path), first=first)
    assert verdict.status == "PASS", "\n".join([str(verdict), *verdict.reason.splitlines()[1:], *verdict.log])
    assert not verdict.warnings


def test_there_are_scripts() -> None:
    assert len(SCRIPTS) > 10
