"""Which group takes the connection requests of a port (P03, P06)."""

from libc.stdint cimport uint32_t

from xtcp_twisted.engine.state cimport State


cdef int listening_start(State state, uint32_t group_row) except -1
cdef int listening_stop(State state, uint32_t group_row) except -1
# A port on which nobody listens, from the dynamic range.
cdef int free_port(State state) except -1
