"""The options of a group in its row, when it opens and when they change (P05)."""

from libc.stdint cimport uint32_t

from xtcp_twisted.engine.state cimport State
from xtcp_twisted.tcp.groups cimport group_row_t


# A fresh row with the options of a group in it.
cdef int options_open(group_row_t *g, object options) except -1
# Writes changed options of an open group to its row, and begins the walk over its connections.
cdef int options_change(State state, uint32_t group_row, object before, object after) except -1
# The next slice of all such walks together.
cdef int options_sweep(State state) except -1
# The group closes: its walk is over.
cdef int options_forget(State state, uint32_t group_row) except -1
