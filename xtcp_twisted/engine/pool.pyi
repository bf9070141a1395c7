from xtcp_twisted.config import GroupOptions, PressureThresholds
from xtcp_twisted.engine.core import Engine
from xtcp_twisted.engine.group import Group

class Pool:
    name: str
    row: int
    serial: int
    size: int
    thresholds: PressureThresholds
    closed: bool
    engine: Engine
    def open_group(
        self,
        port: int,
        *,
        address: str | None = None,
        domain: int = ...,
        name: str | None = None,
        share: bool = False,
        options: GroupOptions = ...,
    ) -> Group: ...
    def groups(self) -> tuple[Group, ...]: ...
    def close(self) -> None: ...
