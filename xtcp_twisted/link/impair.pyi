from xtcp_twisted.link.base import Link
from xtcp_twisted.link.wrapper import Wrapper

DIRECTIONS: tuple[str, ...]

class Path:
    packets: int
    lost: int
    overflowed: int
    duplicated: int
    reordered: int
    corrupted: int
    truncated: int
    marked: int
    delivered: int
    @property
    def waiting(self) -> int: ...
    def change(self, *, loss: float | None = None, delay: float | None = None) -> None: ...

class ImpairedLink(Wrapper):
    inbound: Path
    outbound: Path
    def __init__(
        self,
        link: Link,
        *,
        loss: float = 0.0,
        reorder: float = 0.0,
        duplicate: float = 0.0,
        delay: float = 0.0,
        rate: float = 0.0,
        corrupt: float = 0.0,
        seed: int = 1,
        jitter: float = 0.0,
        burst: tuple[float, float] = (0.0, 1.0),
        truncate: float = 0.0,
        reorder_by: float = 0.01,
        queue: float = 1.0,
        mark: float = 0.0,
        direction: str = "both",
    ) -> None: ...
