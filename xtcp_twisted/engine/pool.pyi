from typing import overload

from xtcp_twisted.config import GroupOptions, PressureThresholds
from xtcp_twisted.engine.core import Engine
from xtcp_twisted.engine.group import Group
from xtcp_twisted.engine.unix_group import UnixGroup

class Pool:
    name: str
    row: int
    serial: int
    size: int
    thresholds: PressureThresholds
    throttling: str
    closed: bool
    engine: Engine
    @overload
    def open_group(
        self,
        port: int,
        *,
        address: str | None = None,
        domain: int = ...,
        name: str | None = None,
        share: bool = False,
        path: None = None,
        mode: int = 0o600,
        options: GroupOptions = ...,
    ) -> Group: ...
    @overload
    def open_group(
        self,
        port: int,
        *,
        domain: int,
        path: str,
        mode: int = 0o600,
        name: str | None = None,
        options: GroupOptions = ...,
    ) -> UnixGroup: ...
    def set_thresholds(self, thresholds: PressureThresholds) -> None: ...
    def set_throttling(self, throttling: str) -> None: ...
    def groups(self) -> tuple[Group | UnixGroup, ...]: ...
    def forget_unix(self, group: UnixGroup) -> None: ...
    def close(self) -> None: ...
