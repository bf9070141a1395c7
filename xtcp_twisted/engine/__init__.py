"""The engine: pools, groups, connections, and the two calls that make time pass."""

from xtcp_twisted.engine.census import Census
from xtcp_twisted.engine.core import Engine
from xtcp_twisted.engine.group import Group
from xtcp_twisted.engine.kinds import ENDS, EventKind
from xtcp_twisted.engine.pool import Pool
from xtcp_twisted.engine.snapshot import (
    BufferSnapshot,
    ConnectionInfo,
    EngineSnapshot,
    GroupSnapshot,
    PoolSnapshot,
    PressureSnapshot,
)

__all__ = [
    "ENDS",
    "BufferSnapshot",
    "Census",
    "ConnectionInfo",
    "Engine",
    "EngineSnapshot",
    "EventKind",
    "Group",
    "GroupSnapshot",
    "Pool",
    "PoolSnapshot",
    "PressureSnapshot",
]
