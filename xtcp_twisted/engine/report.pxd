from libc.stdint cimport uint8_t, uint32_t

from xtcp_twisted.engine.state cimport State
from xtcp_twisted.tcp.connection cimport conn_t


cdef tuple host_and_port(const uint8_t *address, int port)
cdef object connection_info(const conn_t *c)
cdef dict all_counters(State state)
cdef object engine_snapshot(State state, object engine, uint32_t unix_connections)
# {(state, the one after it): how often}, of those that have happened.
cdef dict all_transitions(State state)
