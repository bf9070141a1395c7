"""Ephemeral ports (RFC 6056)."""

from libc.stdint cimport uint16_t

from xtcp_twisted.tcp.layout cimport stack_t
from xtcp_twisted.wire.segment cimport segment_t


# A source port for `tuple_`, filled in there: its 4-tuple is in nobody's use, TIME-WAIT included, and no
# group listens on it.  0: there is none.
cdef uint16_t port_choose(stack_t *s, segment_t *tuple_) noexcept nogil
