"""What Unix-socket connections have in the buffers that all connections share (P12, P19, P27, P31).

The kernel does the transport of such a connection and keeps most of its bytes.
Two things it does not keep.  A request that the application has called incomplete
(`need`) may be longer than what the kernel lets a client have under way: what has
come of it is taken out and kept in chunks of the pool's receive buffer (`Inbox`).
And an answer that the kernel does not take, since its client does not read, waits in
payloads of the one transmit buffer (`Outbox`); a broadcast is stored there once
(`Shared`).  So one accounting, one pressure and one set of quotas hold for all
connections, whatever carries them.

Knows chunks, payloads and one system call; must not know groups or events.
"""

from collections import deque

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset

import os

from xtcp_twisted.engine.transfer cimport payloads_drop, payloads_store
from xtcp_twisted.memory.slab cimport NONE, slab_free_rows, slab_return, slab_take_raw
from xtcp_twisted.tcp.layout cimport CHUNK_BYTES, chunk_at, chunk_t, payload_at
from xtcp_twisted.tcp.pressure cimport (
    PRESSURE_DISCARDING,
    PRESSURE_FROZEN,
    PRESSURE_WITHHOLDING,
    PRIORITY_LOW,
    pressure_update,
)
from xtcp_twisted.tcp.transmit cimport payload_drop, payload_hold, payload_store

cdef extern from "<sys/uio.h>" nogil:
    cdef struct iovec:
        void *iov_base
        size_t iov_len

cdef extern from "<sys/socket.h>" nogil:
    cdef struct msghdr:
        iovec *msg_iov
        size_t msg_iovlen
    ssize_t sendmsg(int fd, const msghdr *message, int flags)
    int MSG_DONTWAIT
    int MSG_NOSIGNAL

cdef enum:
    LEAST_CHUNKS = 8           # that each connection is guaranteed
    VECTORS = 64               # chunks that one system call hands over
    SYSTEM_CALLS = 16          # of one `write`: the other connections have their turn, too


cdef class Inbox:
    """Bytes of one connection that were taken from the kernel and not acknowledged yet.

    :param state: the engine's.
    :param pool_row: the pool whose receive buffer keeps them; it stays open as long as there are any.
    :ivar length: how many.
    """

    def __init__(self, State state, uint32_t pool_row):
        self.state = state
        self.pool = &state.stack.pools[pool_row]
        self.head = self.tail = NONE

    def __len__(self):
        return self.length

    def quota(self, uint32_t weight):
        """The share of a connection of this weight: bytes that it may ask the buffer to keep now."""
        return slab_free_rows(&self.pool.chunks) // 64 * weight * CHUNK_BYTES

    def room(self):
        """Bytes that `append` takes for certain.

        The share of the connection was looked at when it said how many it needs (`quota`): it holds to the
        end, else what was begun could not be completed.
        """
        cdef uint64_t room = <uint64_t>slab_free_rows(&self.pool.chunks) * CHUNK_BYTES
        cdef const chunk_t *last
        if self.tail != NONE:
            last = chunk_at(self.pool, self.tail)
            room += CHUNK_BYTES - last.start - last.length
        return room

    def append(self, bytes data not None):
        """Keep `data`, which is no longer than `room` said."""
        cdef const uint8_t *source = <const uint8_t *>PyBytes_AS_STRING(data)
        cdef uint32_t length = <uint32_t>len(data), done = 0, row, n
        cdef chunk_t *chunk
        while done < length:
            chunk = chunk_at(self.pool, self.tail) if self.tail != NONE else NULL
            if chunk == NULL or chunk.start + chunk.length == CHUNK_BYTES:
                row = slab_take_raw(&self.pool.chunks, sizeof(chunk_t))
                if row == NONE:
                    raise MemoryError("more bytes than there was room for")
                if chunk == NULL:
                    self.head = row
                else:
                    chunk.next = row
                self.tail = row
                self.chunks += 1
                self.state.unix_chunks += 1
                chunk = chunk_at(self.pool, row)
                chunk.next = NONE
                chunk.start = chunk.length = 0
            n = min(length - done, <uint32_t>(CHUNK_BYTES - chunk.start - chunk.length))
            memcpy(chunk.data + chunk.start + chunk.length, source + done, n)
            chunk.length += <uint16_t>n
            done += n
        self.length += done
        pressure_update(&self.pool.pressure, self.pool.chunks.used, self.state.stack.now_us)

    def read(self, uint32_t offset, uint32_t most):
        """A copy of at most `most` bytes, the first `offset` left out."""
        cdef uint32_t size = min(most, <uint32_t>(self.length - offset)), done = 0, row = self.head, n
        cdef bytes data = PyBytes_FromStringAndSize(NULL, size)
        cdef uint8_t *target = <uint8_t *>PyBytes_AS_STRING(data)
        cdef const chunk_t *chunk
        while done < size:
            chunk = chunk_at(self.pool, row)
            if offset < chunk.length:
                n = min(size - done, <uint32_t>(chunk.length - offset))
                memcpy(target + done, chunk.data + chunk.start + offset, n)
                done += n
                offset = 0
            else:
                offset -= chunk.length
            row = chunk.next
        return data

    def drop(self, uint64_t n):
        """Forget the first `n` bytes, or all if there are fewer; returns how many those were."""
        cdef uint64_t dropped = min(n, self.length), left = dropped
        cdef uint32_t row
        cdef chunk_t *chunk
        while self.head != NONE:
            row = self.head
            chunk = chunk_at(self.pool, row)
            if chunk.length > left:
                chunk.start += <uint16_t>left
                chunk.length -= <uint16_t>left
                break
            left -= chunk.length
            self.head = chunk.next
            slab_return(&self.pool.chunks, row)
            self.chunks -= 1
            self.state.unix_chunks -= 1
        if self.head == NONE:
            self.tail = NONE
        self.length -= dropped
        pressure_update(&self.pool.pressure, self.pool.chunks.used, self.state.stack.now_us)
        return dropped

    @property
    def held(self):
        """Bytes of the pool's buffer that this takes."""
        return self.chunks * sizeof(chunk_t)


cdef class Outbox:
    """Bytes for one client that the kernel has not taken yet.

    :param state: the engine's, with the one transmit buffer.
    :ivar length: how many.
    """

    def __init__(self, State state):
        self.state = state
        self.payloads = deque()

    def __len__(self):
        return self.length

    def room(self, int priority, uint32_t weight):
        """Bytes that a connection may add now; what a TCP connection may (transmit.pyx)."""
        cdef uint32_t free = slab_free_rows(&self.state.stack.payloads), quota = free // 64 * weight
        cdef int pressure = self.state.stack.pressure.state
        if pressure >= PRESSURE_FROZEN:
            quota //= 2
        if pressure >= PRESSURE_WITHHOLDING and priority == PRIORITY_LOW:
            return 0
        if pressure == PRESSURE_DISCARDING and self.length:
            return 0
        quota = max(quota, <uint32_t>LEAST_CHUNKS)
        if self.chunks >= quota:
            return 0
        return min(quota - self.chunks, free) * CHUNK_BYTES

    cdef int _enter(self, uint32_t payload, uint32_t length) except -1:
        if not self.payloads:
            self.chunk, self.offset, self.left = payload, 0, length
        self.payloads.append((payload, length))
        self.chunks += (length + CHUNK_BYTES - 1) // CHUNK_BYTES
        self.length += length
        return 0

    def put(self, bytes data not None, uint32_t room):
        """Queue a copy of what fits into `room`; returns how many bytes that is."""
        cdef uint32_t length = min(<uint32_t>min(len(data), 0x7FFFFFFF), room), done = 0, stored = 0, payload
        while done < length:
            payload = payload_store(
                &self.state.stack,
                <const uint8_t *>PyBytes_AS_STRING(data) + done,
                length - done,
                &stored,
            )
            if stored == 0:
                break
            self._enter(payload, stored)
            done += stored
        return done

    def share(self, Shared shared not None):
        """Queue a broadcast, whose bytes are stored already."""
        for payload, length in shared.payloads:
            payload_hold(&self.state.stack, payload)
            self._enter(payload, length)

    def write(self, int fd):
        """Hand the kernel what it takes, within a bound.

        :returns: the bytes taken, and whether it would take more.
        :raises OSError: the connection is broken.
        """
        cdef iovec[VECTORS] vectors
        cdef msghdr message
        cdef ssize_t taken
        cdef uint64_t total = 0, offered
        cdef int i
        cdef uint32_t row, offset, left
        cdef const chunk_t *chunk
        for _ in range(SYSTEM_CALLS):
            i, offered = 0, 0
            row, offset, left = self.chunk, self.offset, self.left
            for payload, length in self.payloads:
                if i:
                    row, offset, left = payload, 0, length
                while left and i < VECTORS:
                    chunk = payload_at(&self.state.stack, row)
                    vectors[i].iov_base = <void *>(chunk.data + offset)
                    vectors[i].iov_len = min(left, <uint32_t>(chunk.length - offset))
                    left -= <uint32_t>vectors[i].iov_len
                    offered += vectors[i].iov_len
                    row, offset = chunk.next, 0
                    i += 1
                if i == VECTORS:
                    break
            if i == 0:
                break
            memset(&message, 0, sizeof(message))
            message.msg_iov, message.msg_iovlen = vectors, i
            taken = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL)
            if taken < 0:
                if errno in (EAGAIN, EINTR):
                    return total, errno == EINTR
                raise OSError(errno, os.strerror(errno))
            self._taken(<uint32_t>taken)
            total += taken
            if <uint64_t>taken < offered:
                return total, False
        return total, True

    cdef int _taken(self, uint32_t length) except -1:
        """The first `length` bytes are with the kernel."""
        cdef uint32_t n
        cdef const chunk_t *chunk
        self.length -= length
        while length:
            chunk = payload_at(&self.state.stack, self.chunk)
            n = min(length, <uint32_t>(chunk.length - self.offset))
            length -= n
            self.left -= n
            self.offset += n
            if self.left == 0:
                payload, size = self.payloads.popleft()
                payload_drop(&self.state.stack, payload)
                self.chunks -= (<uint32_t>size + CHUNK_BYTES - 1) // CHUNK_BYTES
                self.offset = 0
                if self.payloads:
                    self.chunk, self.left = self.payloads[0]
            elif self.offset == chunk.length:
                self.chunk, self.offset = chunk.next, 0
        return 0

    def clear(self):
        """Forget everything."""
        for payload, _ in self.payloads:
            payload_drop(&self.state.stack, payload)
        self.payloads.clear()
        self.length = self.left = self.chunks = 0


cdef class Shared:
    """A broadcast in the transmit buffer, stored once.

    :ivar payloads: (first chunk, bytes); empty when there is no room, or pressure keeps broadcasts out.
    :ivar length: the bytes.
    """

    def __init__(self, State state, bytes data not None):
        self.state = state
        self.length = len(data)
        self.payloads = payloads_store(&state.stack, data)

    def release(self):
        """The connections that took it have references of their own; this one is not needed any more."""
        payloads_drop(&self.state.stack, self.payloads)
        self.payloads = []


def discarding(State state not None):
    """Whether the transmit buffer is in the last of its pressure states."""
    return state.stack.pressure.state == PRESSURE_DISCARDING
