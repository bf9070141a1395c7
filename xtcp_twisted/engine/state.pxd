"""The memory, the link and the descriptors of one engine: what Engine, Pool and Group share."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from xtcp_twisted.engine.demux cimport addresses_t, prefix_t
from xtcp_twisted.engine.loop cimport loop_t
from xtcp_twisted.engine.waiting cimport Waiting
from xtcp_twisted.link.base cimport Link, frame_t
from xtcp_twisted.memory.slab cimport slab_t
from xtcp_twisted.tcp.layout cimport stack_t
from xtcp_twisted.tcp.output cimport out_t
from xtcp_twisted.tcp.pressure cimport pressure_t


cdef class State:
    cdef stack_t stack
    cdef addresses_t own
    cdef loop_t loop
    cdef list sources          # packed addresses that connections may be made from
    cdef Link link
    cdef Waiting waiting
    cdef frame_t frames_in[64]
    cdef out_t out
    cdef uint8_t *buffers
    cdef uint32_t *quarantine
    cdef readonly bint closed
    cdef bint turn_open        # between poll and flush: flush will come anyway
    cdef dict group_objects    # row -> Group
    cdef dict shown            # serial of a group -> its row, and what else its last snapshot was made of
    cdef uint64_t serial       # of the pool or group that was opened last
    cdef object offers         # deque of (group row, pending id): requests that joined groups are to hear of
    cdef object sweeps         # deque of rows of groups whose connections are being ended, in order
    cdef list ending           # rows of closed pools that such groups are of
    cdef dict changing         # group row -> (what, next record, records left): a walk of options.pyx
    cdef uint32_t unix_chunks  # of receive buffers, that Unix-socket connections have

    cdef int _fill(self, void *place, size_t size, entropy) except -1
    cdef int check_open(self) except -1
    cdef int _start_pressure(self) except -1
    cdef int set_now(self, double now) except -1
    # Work was queued; the descriptor tells, unless a flush will come anyway.
    cdef int note_work(self) except -1
    cdef int connect_self(self) except -1
    cdef int _take_looped(self, int limit) except -1
    # Takes in packets, at most `limit`: the engine's own and those of the link, or the latter alone.
    cdef int take_packets(self, int limit) except -1
    cdef int take_linked(self, int limit) except -1
    # Sends what is queued, at most a turn's part of it if not `all_of_it`.
    cdef int send_packets(self, bint all_of_it) except -1
    cdef int64_t due_us(self) except -2
    # Ends some connections of closing groups, looking at `rows` records at most; lets go of what is over.
    cdef int sweep(self, uint32_t rows) except -1
    cdef int _return_buffer(self, uint32_t row) except -1
    # Gives back the rows of groups that are closed and have no connection left.
    cdef int reap(self) except -1


# Bounds of a buffer from `PressureThresholds`; they may be others than before.
cdef int pressure_configure(pressure_t *p, const slab_t *chunks, object thresholds, int64_t now_us) except -1
