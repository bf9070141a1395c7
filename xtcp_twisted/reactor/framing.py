"""Framings: where a frame ends in the bytes of a stream.

A framing has no state.  It cuts the complete frames off what is offered, and says how
many bytes have to be there before it is worth looking again; what is incomplete stays
in the receive buffer, unacknowledged, and is offered again from its first byte.

`Framing` takes each offer for a frame, `LineFraming` frames end with a delimiter,
`LengthPrefixFraming` frames begin with their length.  They are mixed into group
protocols (`frames`, `requests`), and applications may write others.

Knows bytes; must not know connections or groups.
"""

from __future__ import annotations

import struct
from itertools import takewhile
from typing import Final

from xtcp_twisted.errors import ConfigurationError

#: What is needed for a frame that is longer than it may be.
TOO_LONG: Final = -1

_FORMATS: Final = "BHIQ"


#: What `Framing.cut` has found: the complete frames, in order, without what marks their ends; the bytes that
#: they took; and the bytes that have to be there behind these before the next frame can be complete: 0, there
#: is no part of one; `TOO_LONG`, the next frame is longer than it may be.
Cut = tuple[list[bytes], int, int]


class Framing:
    """Each offer is a frame: for peers that wait for the answer before they ask again.

    :ivar overhead: bytes that a frame takes in the stream beside its own.
    """

    overhead: int = 0

    def checkFraming(self) -> int:
        """Check the parameters.

        :return: bytes that the longest frame takes in the stream; 0 where no frame has to be complete.
        :raise ConfigurationError: one of them is not what it may be.
        """
        return 0

    def cut(self, data: bytes) -> Cut:
        """Find the complete frames at the beginning of `data`, which never is b""."""
        return [data], len(data), 0

    def join(self, frame: bytes) -> bytes:
        """The frame as it is sent."""
        return frame


class LineFraming(Framing):
    """Frames are lines: they end with a delimiter.

    Whatever the segments are, each line comes once, whole.  The part of a line is looked at again
    with each segment that brings more of it: nothing says which segment brings the delimiter.  A
    part without the delimiter's last byte costs 0.2 us a kilobyte then, any other at most 3 us, where
    the segment itself costs 20; so lines of some kilobytes may come byte by byte, and what is much
    longer had better come with its length.
    """

    #: Ends a line; not empty.
    delimiter: bytes = b"\r\n"
    #: Longest line, the delimiter not counted, bytes.
    MAX_LENGTH: int = 1_024

    @property
    def overhead(self) -> int:  # type: ignore[override]
        """Bytes of the delimiter."""
        return len(self.delimiter)

    def checkFraming(self) -> int:
        """See `Framing.checkFraming`."""
        if not isinstance(self.delimiter, bytes) or not self.delimiter:
            raise ConfigurationError(
                f"delimiter: {self.delimiter!r} is not allowed; give bytes, at least one"
            )
        return _length(self.MAX_LENGTH) + len(self.delimiter)

    def cut(self, data: bytes) -> Cut:
        """See `Framing.cut`; a line may be empty."""
        # The last byte alone is looked for much faster.
        *lines, rest = data.split(self.delimiter) if self.delimiter[-1:] in data else (data,)
        end = len(self.delimiter)
        used = len(data) - len(rest)
        if len(data) > self.MAX_LENGTH:
            if max(map(len, lines), default=0) > self.MAX_LENGTH:
                good = list(takewhile(lambda line: len(line) <= self.MAX_LENGTH, lines))
                return good, sum(map(len, good)) + end * len(good), TOO_LONG
            if len(rest) >= self.MAX_LENGTH + end:  # no delimiter can end it in time
                return lines, used, TOO_LONG
        return lines, used, len(rest) + 1 if rest else 0

    def join(self, frame: bytes) -> bytes:
        """The line and its delimiter."""
        return frame + self.delimiter


class LengthPrefixFraming(Framing):
    """Frames begin with their length, an unsigned integer of 1, 2, 4 or 8 bytes.

    Its own length is not counted in.  A part of a frame is looked at again when its length is
    complete, and then when all of it is, however many segments bring it.
    """

    #: The length, in the words of `struct`: a byte order and one of B, H, I, Q (1, 2, 4, 8 bytes).
    structFormat: str = "!I"
    #: Longest frame, its length not counted, bytes.
    MAX_LENGTH: int = 1_024

    @property
    def overhead(self) -> int:  # type: ignore[override]
        """Bytes of the length before a frame."""
        return struct.calcsize(self.structFormat)

    def checkFraming(self) -> int:
        """See `Framing.checkFraming`."""
        form = self.structFormat
        if not isinstance(form, str) or len(form) != 2 or form[0] not in "!<>" or form[1] not in _FORMATS:
            raise ConfigurationError(
                f"structFormat: {form!r} is not allowed; give '!', '>' or '<' and one of"
                f" {', '.join(_FORMATS)}, such as '!I'"
            )
        return _length(self.MAX_LENGTH) + self.overhead

    def cut(self, data: bytes) -> Cut:
        """See `Framing.cut`; a frame may be empty."""
        frames: list[bytes] = []
        form, size, at = self.structFormat, self.overhead, 0
        while len(data) - at >= size:
            (length,) = struct.unpack_from(form, data, at)
            if length > self.MAX_LENGTH:
                return frames, at, TOO_LONG
            end = at + size + length
            if end > len(data):
                return frames, at, size + length
            frames.append(data[at + size : end])
            at = end
        return frames, at, size if at < len(data) else 0

    def join(self, frame: bytes) -> bytes:
        """The length and the frame.

        :raise ValueError: the length has too few bytes to say how long it is.
        """
        try:
            return struct.pack(self.structFormat, len(frame)) + frame
        except struct.error:
            raise ValueError(
                f"a frame of {len(frame):,} bytes is too long for a length of {self.overhead} bytes"
            ) from None


def _length(length: object) -> int:
    if isinstance(length, bool) or not isinstance(length, int) or length < 1:
        raise ConfigurationError(f"MAX_LENGTH: {length!r} is not allowed; give an integer from 1")
    return length
