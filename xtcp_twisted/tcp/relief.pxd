"""The last resort of a buffer that goes on discarding: whom it aborts (architecture section 8)."""

from xtcp_twisted.tcp.layout cimport stack_t


# Begins a walk for a buffer that is to be relieved, if there is one.
cdef void relief_look(stack_t *s) noexcept nogil
# A part of the present walk; at its end connections are aborted.
cdef void relief_walk(stack_t *s) noexcept nogil
