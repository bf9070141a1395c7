"""What a transport was given to write and the engine has not taken yet.

Made only when the engine takes less than was offered (or when a producer wants to
be counted), so an ordinary connection has none.  Nothing is joined, and a chunk
is copied only in the pieces that are offered.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from xtcp_twisted.engine.surface import ConnectionGroup

#: Largest piece of one chunk that is offered at once, bytes.
PIECE: Final = 131_072


class Backlog:
    """A queue of bytes; its `len` is the number of bytes.

    :ivar chunks: what is left, the first chunk from `_offset` on.
    :ivar buffered: bytes that Twisted's buffer would have.  It is emptied a turn after they were
        written, so what the engine has taken at once counts until then.
    """

    __slots__ = ("_length", "_offset", "buffered", "chunks")

    def __init__(self, first: bytes = b"", offset: int = 0) -> None:
        self.chunks: deque[bytes] = deque((first,) if first else ())
        self._offset = offset
        self._length = self.buffered = len(first) - offset

    def __len__(self) -> int:
        return self._length

    def append(self, data: bytes) -> None:
        """Queue more."""
        self.chunks.append(data)
        self._length += len(data)
        self.buffered += len(data)

    def turned(self) -> None:
        """A turn is over: what has left counts no more."""
        self.buffered = self._length

    def push(self, group: ConnectionGroup, cd: int) -> bool:
        """Offer everything to the engine until it takes a short count.

        :return: True when nothing is left.
        :raises LocalError: the connection has ended or its sending side is closed.
        """
        while self.chunks:
            chunk = self.chunks[0]
            end = min(len(chunk), self._offset + PIECE)
            whole = self._offset == 0 and end == len(chunk)
            taken = group.send(cd, chunk if whole else chunk[self._offset : end])
            self._length -= taken
            self._offset += taken
            if self._offset < end:
                return False
            if end == len(chunk):
                self.chunks.popleft()
                self._offset = 0
        return True
