"""What users see: every line, plain or in colours, and what may stand in a name or a text.

A line tells what it is by how it begins, so that plain ones can be told apart, too:

    * what has been done          ! what has not been done, and why
    #room <name> said to a room   -name- an instant message
    ~ presence information          (two spaces) goes on from the line before

Text of users never moves the cursor of others: what is not printable is taken out.

Knows nothing of connections.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Final, NamedTuple
from zlib import crc32

#: Longest line that a user may send, bytes.
MAX_LINE: Final = 1_024
#: Longest name, bytes of UTF-8 (names of rooms: characters, which are bytes there).
NAME_BYTES: Final = 32
#: Longest note to a presence, bytes of UTF-8.
NOTE_BYTES: Final = 80
#: Names in one answer; all of a large room would not fit.
NAMES_SHOWN: Final = 50

_DIM, _RED, _GREEN, _MAGENTA = "2", "31", "32", "1;35"
_NAME_COLOURS: Final = ("31", "32", "33", "34", "35", "36")
#: What may be mixed in one name; of others, a name takes the letters of one script.
_JAPANESE: Final = frozenset({"CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"})


class Line(NamedTuple):
    """One line for a user.

    :ivar colour: SGR parameters (ECMA-48) of `head`.
    """

    colour: str
    head: str
    text: str

    def encode(self, coloured: bool) -> bytes:
        """The line as it is sent."""
        if coloured:
            return f"\x1b[{self.colour}m{self.head}\x1b[0m {self.text}\r\n".encode()
        return f"{self.head} {self.text}\r\n".encode()


Answer = list[Line]


def encode(lines: Iterable[Line], coloured: bool) -> bytes:
    """Several lines as they are sent."""
    return b"".join(line.encode(coloured) for line in lines)


def notice(text: str) -> Line:
    """What has been done, or has happened."""
    return Line(_DIM, "*", text)


def refusal(text: str) -> Line:
    """What has not been done, why, and what to do."""
    return Line(_RED, "!", text)


def more(text: str) -> Line:
    """Goes on from the line before."""
    return Line(_DIM, " ", text)


def information(text: str) -> Line:
    """Presence information."""
    return Line(_GREEN, "~", text)


def said(room: str, name: str, text: str) -> Line:
    """Said to a room."""
    return Line(_NAME_COLOURS[crc32(name.encode()) % len(_NAME_COLOURS)], f"#{room} <{name}>", text)


def message(name: str, text: str) -> Line:
    """An instant message to one."""
    return Line(_MAGENTA, f"-{name}-", text)


def listing(names: Iterable[str], count: int) -> str:
    """Names in order, and how many of the `count` are not among them."""
    shown = sorted(names)
    rest = count - len(shown)
    return ", ".join(shown) + (f" and {rest:,} more" if rest else "")


def counted(count: int, noun: str) -> str:
    """So many of something."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def printable(text: str) -> str:
    """The text without control characters, escape sequences and overrides of direction."""
    if text.isprintable():
        return text
    return "".join(c for c in text.replace("\t", " ") if c.isprintable())


def name_fault(name: str) -> str:
    """Why nobody can have this name; "" if one can.

    Two names that look alike are one person's trouble, so: compatibility forms are out
    (Unicode NFKC), and letters of different scripts do not mix.
    """
    plain = all(c.isalnum() or c in "_-" for c in name)
    if not (plain and 0 < len(name.encode()) <= NAME_BYTES):
        return f"a name has 1 to {NAME_BYTES} bytes: letters, digits, _ and -"
    if unicodedata.normalize("NFKC", name) != name:
        return f"write it {unicodedata.normalize('NFKC', name)}: a name has the plain form of each letter"
    scripts = {unicodedata.name(c, "?").partition(" ")[0] for c in name if c.isalpha()}
    if len(scripts) > 1 and not scripts <= _JAPANESE:
        return f"a name has letters of one script, not {' and '.join(sorted(s.title() for s in scripts))}"
    return ""
