from xtcp_twisted.engine.state cimport State


# Raises AssertionError when the tables of the engine contradict each other.
cdef int check_invariants(State state) except -1
