from os import PathLike
from typing import BinaryIO

from xtcp_twisted.link.base import Link
from xtcp_twisted.link.wrapper import Wrapper

class CaptureLink(Wrapper):
    captured: int
    error: OSError | ValueError | None
    def __init__(
        self,
        link: Link,
        file: str | PathLike[str] | BinaryIO,
        *,
        snaplen: int = 65_535,
        clock_offset: float | None = None,
        name: str = "xtcp",
    ) -> None: ...
    def flush(self) -> None: ...
