"""The structures of this floor as Python objects: for tests and tools.

The engine does not come this way; it uses the functions of the other modules
directly.  Each class owns the memory that its structure works on, and hides
nothing of it: what the function returns is what the method returns, with None
for END, NONE and VACANT.
"""

from libc.stdint cimport uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from xtcp_twisted.memory.arena cimport arena_close, arena_open, arena_return, arena_t, arena_take
from xtcp_twisted.memory.index cimport (
    VACANT,
    index_insert,
    index_next,
    index_open,
    index_remove,
    index_replace,
    index_t,
    slot_t,
)
from xtcp_twisted.memory.links cimport END, UNLINKED
from xtcp_twisted.memory.slab cimport (
    NONE,
    QUARANTINE as ROWS_IN_QUARANTINE,
    slab_generation,
    slab_open,
    slab_return,
    slab_row,
    slab_t,
    slab_take,
)
from xtcp_twisted.memory.wheel cimport (
    node_t,
    wheel_arm,
    wheel_disarm,
    wheel_next,
    wheel_node,
    wheel_open,
    wheel_pop,
    wheel_t,
)

#: Rows that wait before they are taken again.
QUARANTINE = ROWS_IN_QUARANTINE


cdef void *_zeroed(size_t count, size_t size) except NULL:
    cdef void *memory = calloc(count, size)
    if memory == NULL:
        raise MemoryError(f"{count:,} rows of {size} bytes")
    return memory


cdef class Slab:
    """A table of `capacity` rows of `stride` bytes; see slab.pxd."""

    cdef slab_t slab
    cdef void *rows
    cdef uint32_t *quarantine

    def __cinit__(self, uint32_t stride, uint32_t capacity, uint32_t generation_at=0, bint quarantine=False):
        self.rows = _zeroed(capacity, stride)
        if quarantine:
            self.quarantine = <uint32_t *>_zeroed(ROWS_IN_QUARANTINE, sizeof(uint32_t))
        slab_open(&self.slab, self.rows, stride, capacity, generation_at, self.quarantine)

    def __dealloc__(self):
        free(self.rows)
        free(self.quarantine)

    cdef uint32_t _row(self, row) except *:
        if not 0 <= row < self.slab.fresh:
            raise IndexError(f"row {row} was never taken")
        return row

    def take(self):
        """A row, or None when all are taken."""
        cdef uint32_t row = slab_take(&self.slab)
        return None if row == NONE else row

    def give_back(self, row):
        """Return a row that is taken."""
        slab_return(&self.slab, self._row(row))

    def generation(self, row):
        """The row's count of takings and returns."""
        return slab_generation(&self.slab, self._row(row))[0]

    def set_generation(self, row, uint32_t generation):
        """Put a row near the end of the numbers."""
        slab_generation(&self.slab, self._row(row))[0] = generation

    def read(self, row):
        """The bytes of a row."""
        return (<char *>slab_row(&self.slab, self._row(row)))[: self.slab.stride]

    def fill(self, row, int byte):
        """Set every byte of a row but those of its generation."""
        cdef uint32_t at = self._row(row), generation = 0
        if self.slab.generation_at:
            generation = slab_generation(&self.slab, at)[0]
        memset(slab_row(&self.slab, at), byte, self.slab.stride)
        if self.slab.generation_at:
            slab_generation(&self.slab, at)[0] = generation

    @property
    def used(self):
        """Rows taken."""
        return self.slab.used

    @property
    def peak(self):
        """Most rows taken at one time."""
        return self.slab.peak


cdef class Index:
    """A hash index of `capacity` slots, a power of two; see index.pxd."""

    cdef index_t index
    cdef void *slots

    def __cinit__(self, uint32_t capacity):
        if capacity == 0 or capacity & (capacity - 1):
            raise ValueError(f"capacity: {capacity} is no power of two")
        self.slots = _zeroed(capacity, sizeof(slot_t))
        index_open(&self.index, self.slots, capacity)

    def __dealloc__(self):
        free(self.slots)

    def __len__(self):
        return self.index.used

    def insert(self, uint32_t tag, uint32_t reference):
        """Whether there was room."""
        return index_insert(&self.index, tag, reference) == 0

    def replace(self, uint32_t tag, uint32_t reference, uint32_t new):
        """Whether (tag, reference) was there."""
        return index_replace(&self.index, tag, reference, new) == 0

    def remove(self, uint32_t tag, uint32_t reference):
        """Whether (tag, reference) was there."""
        return index_remove(&self.index, tag, reference) == 0

    def find(self, uint32_t tag):
        """Every reference with this tag, in the order of the slots."""
        cdef uint32_t position = tag, reference
        cdef list found = []
        while True:
            reference = index_next(&self.index, tag, &position)
            if reference == VACANT:
                return found
            found.append(reference)
            position += 1


cdef class Wheel:
    """A timing wheel over `rows` nodes; see wheel.pxd.  Times are milliseconds modulo 2**32."""

    cdef wheel_t wheel
    cdef node_t *nodes
    cdef uint32_t rows

    def __cinit__(self, uint32_t rows, uint32_t now):
        cdef uint32_t row
        self.nodes = <node_t *>_zeroed(rows, sizeof(node_t))
        self.rows = rows
        for row in range(rows):
            self.nodes[row].next = UNLINKED
        wheel_open(&self.wheel, <char *>self.nodes, sizeof(node_t), now)

    def __dealloc__(self):
        free(self.nodes)

    def __len__(self):
        return self.wheel.count

    cdef uint32_t _row(self, row) except *:
        if not 0 <= row < self.rows:
            raise IndexError(f"there is no row {row}")
        return row

    def arm(self, row, uint32_t deadline):
        """Put a row in, or move it to an earlier deadline."""
        wheel_arm(&self.wheel, self._row(row), deadline)

    def disarm(self, row):
        """Take a row out, if it is in."""
        wheel_disarm(&self.wheel, self._row(row))

    def armed(self, row):
        """Whether a row is in."""
        return wheel_node(&self.wheel, self._row(row)).next != UNLINKED

    def pop(self, uint32_t now):
        """The next row that is due, which is then out; None when there is none."""
        cdef uint32_t row = wheel_pop(&self.wheel, now)
        return None if row == END else row

    def next(self):
        """When `pop` has to be called next; None when nothing is in."""
        cdef uint32_t when = 0
        return when if wheel_next(&self.wheel, &when) else None


cdef class Arena:
    """A reservation of `limit` bytes; see arena.pxd.  Extents are named by their offset."""

    cdef arena_t arena

    def __cinit__(self, size_t limit):
        arena_open(&self.arena, limit)

    def __dealloc__(self):
        arena_close(&self.arena)

    cdef char *_extent(self, size_t offset, size_t size) except NULL:
        if offset > self.arena.used or size > self.arena.used - offset:
            raise IndexError(f"{size:,} bytes at {offset:,} were never taken")
        return self.arena.base + offset

    def take(self, size_t size):
        """The offset of a zeroed extent; PoolExhausted when the reservation is used up."""
        return <char *>arena_take(&self.arena, size) - self.arena.base

    def give_back(self, size_t offset, size_t size):
        """Return an extent, with the size it was taken with."""
        arena_return(&self.arena, self._extent(offset, size), size)

    def read(self, size_t offset, size_t size):
        """Bytes of an extent."""
        return self._extent(offset, size)[:size]

    def write(self, size_t offset, bytes data not None):
        """Put bytes into an extent."""
        memcpy(self._extent(offset, len(data)), <const char *>data, len(data))

    @property
    def used(self):
        """Bytes handed out, those given back included."""
        return self.arena.used

    @property
    def returned(self):
        """Bytes given back and not taken again."""
        return self.arena.returned
