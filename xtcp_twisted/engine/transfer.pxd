"""Moving bytes between the application and the buffers: delivery, answers, broadcasts."""

from libc.stdint cimport uint32_t

from xtcp_twisted.tcp.connection cimport conn_t
from xtcp_twisted.tcp.layout cimport stack_t


# Up to `most` bytes that were not delivered yet of a ready connection; b"" at the end of its stream.
cdef bytes take_data(conn_t *c, uint32_t most)
# Queues what fits of an answer; a short count is remembered for WRITABLE.
cdef uint32_t answer_queue(conn_t *c, bytes data) except? 4294967295
# The payloads of a broadcast, as [(first chunk, bytes)]; empty when the buffer is full, or withholding.
cdef list payloads_store(stack_t *s, bytes data)
# The broadcast's own reference to them; the connections that took them have theirs.
cdef int payloads_drop(stack_t *s, list payloads) except -1
# Queues them for one connection, all of them or none; whether it took them.
cdef bint payloads_share(conn_t *c, list payloads, uint32_t length) except? 0
