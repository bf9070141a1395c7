"""The configuration by which the reactors under test find their stack."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

CONFIG = """
[link]
kind = "memory"
[engine]
addresses = ["10.77.0.2", "fd77::2"]
max_connections = 1024
arena_limit = "256 MiB"
transmit_buffer = "16 MiB"
[[pool]]
name = "main"
receive_buffer = "16 MiB"
[reactor]
loopback = "engine"
"""


@pytest.fixture(autouse=True)
def configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The process's configuration: a stack that leads nowhere, and has the loopback addresses."""
    path = tmp_path / "xtcp.toml"
    path.write_text(CONFIG, "utf-8")
    monkeypatch.setenv("XTCP_CONFIG", str(path))


@pytest.fixture(autouse=True)
def loop() -> Iterator[None]:
    """What an asyncio reactor drives; tests of other folders may have left the thread without one."""
    made = asyncio.new_event_loop()
    asyncio.set_event_loop(made)
    yield
    asyncio.set_event_loop(None)
    made.close()
