"""Tables without an object per row: columns of numbers, lists, relations and an index over them.

A million users who wait are a million rows here, of some dozen bytes each, that neither
the garbage collector nor the allocator of Python knows of.  The system gives the memory of a column
when it is touched, so a large table that is hardly used costs little.

Rows are counted from 1; 0 is no row.  Every table has a bound, and says so by what it returns.

Knows nothing of chat.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from typing import Any, Final, cast

#: Multiplicative hashing (Knuth, TAOCP 6.4): 2^64 divided by the golden ratio.
_GOLDEN: Final = 0x9E37_79B9_7F4A_7C15
_MASK64: Final = (1 << 64) - 1


def column(code: str, rows: int) -> memoryview[Any]:
    """Numbers of the `struct` code, all 0, for the rows 0 to `rows`."""
    size = struct.calcsize(code) * (rows + 1)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return memoryview(memory).cast(cast(Any, code))


class Rows:
    """Which rows of a table are taken."""

    def __init__(self, rows: int) -> None:
        self.taken = 0
        self._rows = rows
        self._fresh = 0
        self._free = 0
        self._next = column("I", rows)

    def take(self) -> int:
        """A row that nobody has; 0 if there is none."""
        row = self._free
        if row:
            self._free = self._next[row]
        elif self._fresh < self._rows:
            self._fresh = row = self._fresh + 1
        else:
            return 0
        self.taken += 1
        return row

    def give(self, row: int) -> None:
        """Take `row` back."""
        self._next[row] = self._free
        self._free = row
        self.taken -= 1


class Texts:
    """A short text for each row, of at most `width` bytes of UTF-8 (255 at most)."""

    def __init__(self, rows: int, width: int) -> None:
        self._width = width
        self._lengths = column("B", rows)
        self._cells = column("B", width * (rows + 1))

    def __getitem__(self, row: int) -> str:
        start = row * self._width
        return str(self._cells[start : start + self._lengths[row]], "utf-8")

    def __setitem__(self, row: int, text: str) -> None:
        data, start = text.encode(), row * self._width
        if len(data) > self._width:
            raise ValueError(f"{text!r} has {len(data)} bytes; give at most {self._width}")
        self._cells[start : start + len(data)] = data
        self._lengths[row] = len(data)


class Index:
    """From a number of 64 bits to a row: open addressing, linear probing, deletion by shifting back."""

    def __init__(self, rows: int) -> None:
        bits = max(3, (2 * rows).bit_length())
        self._shift = 64 - bits
        self._mask = (1 << bits) - 1
        self._keys = column("Q", self._mask)
        self._rows = column("I", self._mask)

    def _home(self, key: int) -> int:
        return (key * _GOLDEN & _MASK64) >> self._shift

    def _slot(self, key: int) -> int:
        """Where `key` stands, or where it would."""
        keys, rows, slot = self._keys, self._rows, self._home(key)
        while rows[slot] and keys[slot] != key:
            slot = slot + 1 & self._mask
        return slot

    def find(self, key: int) -> int:
        """The row of `key`, or 0."""
        row: int = self._rows[self._slot(key)]
        return row

    def put(self, key: int, row: int) -> None:
        """Lead `key` to `row`.  The caller puts at most as many keys as there are rows."""
        slot = self._slot(key)
        self._keys[slot], self._rows[slot] = key, row

    def drop(self, key: int) -> None:
        """Forget `key`, if it is known."""
        rows, keys, mask = self._rows, self._keys, self._mask
        hole = self._slot(key)
        slot = hole
        while rows[slot]:
            slot = slot + 1 & mask
            # A key may fill the hole if that does not put it before its home.
            if rows[slot] and (slot - self._home(keys[slot])) & mask >= (slot - hole) & mask:
                keys[hole], rows[hole] = keys[slot], rows[slot]
                hole = slot
        rows[hole] = 0


class Lists:
    """For each of the `heads` a list of nodes; a node is in one list of one `Lists` at most."""

    def __init__(self, heads: int, nodes: int) -> None:
        self._first = column("I", heads)
        self._last = column("I", heads)
        self._counts = column("I", heads)
        self._next = column("I", nodes)
        self._previous = column("I", nodes)

    def count(self, head: int) -> int:
        """How many nodes the list has."""
        count: int = self._counts[head]
        return count

    def first(self, head: int) -> int:
        """The first node of the list, or 0."""
        node: int = self._first[head]
        return node

    def nodes(self, head: int) -> Iterator[int]:
        """The nodes in order.  The one that was yielded last may be removed meanwhile."""
        node, following = self._first[head], self._next
        while node:
            after = following[node]
            yield node
            node = after

    def append(self, head: int, node: int) -> None:
        """Put `node`, which is in no list, at the end."""
        last = self._last[head]
        self._previous[node], self._next[node] = last, 0
        if last:
            self._next[last] = node
        else:
            self._first[head] = node
        self._last[head] = node
        self._counts[head] += 1

    def remove(self, head: int, node: int) -> None:
        """Take `node` out of its list."""
        before, after = self._previous[node], self._next[node]
        if before:
            self._next[before] = after
        else:
            self._first[head] = after
        if after:
            self._previous[after] = before
        else:
            self._last[head] = before
        self._counts[head] -= 1


class Relation:
    """Pairs of a left and a right row, found from both sides, in the order in which they were made.

    Finding one pair walks the pairs of its left row, so those are to be few.
    """

    def __init__(self, lefts: int, rights: int, pairs: int) -> None:
        self._rows = Rows(pairs)
        self._left = column("I", pairs)
        self._right = column("I", pairs)
        self._of_left = Lists(lefts, pairs)
        self._of_right = Lists(rights, pairs)

    def _find(self, left: int, right: int) -> int:
        return next((pair for pair in self._of_left.nodes(left) if self._right[pair] == right), 0)

    def has(self, left: int, right: int) -> bool:
        """Whether the two are a pair."""
        return self._find(left, right) != 0

    def add(self, left: int, right: int) -> bool:
        """Make a pair of two that are none; False if there is no room for it."""
        pair = self._rows.take()
        if pair:
            self._left[pair], self._right[pair] = left, right
            self._of_left.append(left, pair)
            self._of_right.append(right, pair)
        return pair != 0

    def remove(self, left: int, right: int) -> bool:
        """Part the two; False if they are no pair."""
        pair = self._find(left, right)
        if pair:
            self._of_left.remove(left, pair)
            self._of_right.remove(right, pair)
            self._rows.give(pair)
        return pair != 0

    def rights(self, left: int) -> Iterator[int]:
        """The right rows of `left`; the one that was yielded last may be parted meanwhile."""
        return (self._right[pair] for pair in self._of_left.nodes(left))

    def lefts(self, right: int) -> Iterator[int]:
        """The left rows of `right`, likewise."""
        return (self._left[pair] for pair in self._of_right.nodes(right))

    def rights_count(self, left: int) -> int:
        """How many right rows `left` has."""
        return self._of_left.count(left)

    def lefts_count(self, right: int) -> int:
        """How many left rows `right` has."""
        return self._of_right.count(right)
