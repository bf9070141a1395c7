class Numbers:
    cd: int
    sessionno: int
    _flags: int
    def __init__(self, cd: int, peer: tuple[str, int] | None, flags: int, sessionno: int) -> None: ...
    @property
    def _peer(self) -> tuple[str, int]: ...
