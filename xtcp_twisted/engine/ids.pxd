"""The ids that the application holds: of connections and of requests that wait for a decision."""

from libc.stdint cimport uint32_t, uint64_t


cdef inline uint64_t make_id(uint32_t generation, uint32_t row) noexcept nogil:
    """The generation above the row; odd generations are in use, so no id is ever 0."""
    return <uint64_t>generation << 32 | row
