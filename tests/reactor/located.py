"""Configurations of stacks that lead nowhere, for strings and for what else locates a stack."""

from __future__ import annotations

from pathlib import Path

#: No groups, as a stack that is located needs none.
CONFIG = """
[link]
kind = "memory"
[engine]
addresses = ["192.0.2.1", "2001:db8::1"]
max_connections = 1024
max_half_open = 1024
max_time_wait = 1024
transmit_buffer = "4 MiB"
arena_limit = "256 MiB"
[[pool]]
name = "main"
receive_buffer = "4 MiB"
[[pool]]
name = "web"
receive_buffer = "4 MiB"
"""


def configured(folder: Path, name: str = "xtcp.toml", text: str = CONFIG) -> Path:
    """A configuration in this folder."""
    file = folder / name
    file.write_text(text, "utf-8")
    return file
