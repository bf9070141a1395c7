"""The base of all links, and what a wrapper of a link inherits.

A link moves whole IP packets and does not look into them.  The engine calls
`read_frames` and `write_frames` at C level, without the interpreter; `read` and
`write` are the same two for programs in Python.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.math cimport llround
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport calloc, free, malloc

from xtcp_twisted.wire.segmentation cimport complete_checksum

from xtcp_twisted.errors import LocalError

cdef extern from "<poll.h>" nogil:
    cdef enum:
        POLLIN
    cdef struct pollfd:
        int fd
        short events
    int poll(pollfd *fds, unsigned long nfds, int timeout)

cdef enum:
    READ_AT_ONCE = 1024   # frames that one `read` makes room for


cdef class Link:
    """Moves IP packets between the engine and something else.

    :ivar mtu: largest IP packet, bytes.
    :ivar offload: whether frames may be larger than that: segments that belong together travel as one,
        and a checksum may be left to the other side.
    :ivar received: packets handed to the engine.
    :ivar sent: packets taken from the engine.
    :ivar dropped: those of them that the other side refused to take.
    :ivar refused: frames that came with an offload header that contradicts itself.
    """

    cdef int read_frames(self, frame_t *frames, int limit, int64_t now_us) except -1 nogil:
        with gil:
            raise NotImplementedError("a link implements read_frames")

    cdef int write_frames(self, frame_t *frames, int count, int64_t now_us) except -1 nogil:
        with gil:
            raise NotImplementedError("a link implements write_frames")

    cdef bint waiting(self) except -1:
        cdef pollfd asked
        asked.fd = self.fileno()
        asked.events = POLLIN
        # Without a descriptor nobody knows, and there may be.
        return asked.fd < 0 or poll(&asked, 1, 0) != 0

    cdef int64_t next_time_us(self) noexcept nogil:
        return -1

    def read(self, int limit, double now):
        """Take in at most `limit` packets, as the engine's `poll` does.

        :param limit: packets; no more than 1,024 are taken at once.
        :param now: seconds of the clock that drives the link (CLOCK_MONOTONIC).
        :returns: the packets, in order; an empty list when none waits.  From a link with offload they
            may be longer than the MTU; their checksums are complete.
        :raises LinkError: the link is gone.
        """
        cdef int room = min(limit, <int>READ_AT_ONCE)
        cdef int i, count
        cdef frame_t *frames = NULL
        cdef uint8_t *data = NULL
        if room <= 0:
            return []
        try:
            frames = <frame_t *>calloc(room, sizeof(frame_t))
            # Large, but only the pages that a packet touches are ever committed.
            data = <uint8_t *>malloc(<size_t>room * LARGEST_PACKET)
            if frames == NULL or data == NULL:
                raise MemoryError()
            for i in range(room):
                frames[i].data = data + <size_t>i * LARGEST_PACKET
                frames[i].length = LARGEST_PACKET
            count = self.read_frames(frames, room, microseconds(now))
            for i in range(count):
                if frames[i].checksum_state == CHECKSUM_PARTIAL:
                    complete_checksum(
                        frames[i].data,
                        frames[i].length,
                        frames[i].checksum_start,
                        frames[i].checksum_offset,
                    )
            return [
                PyBytes_FromStringAndSize(<char *>frames[i].data, frames[i].length)
                for i in range(count)
            ]
        finally:
            free(frames)
            free(data)

    def write(self, packets, double now):
        """Send `packets`, as the engine's `flush` does.

        :param packets: the IP packets, bytes-like; each at most 65,535 bytes.
        :param now: seconds of the clock that drives the link (CLOCK_MONOTONIC).
        :returns: how many the other side took; the rest is counted in `dropped`.
        :raises LocalError: a packet is too long; nothing was sent.
        """
        cdef list held = [packet_bytes(packet) for packet in packets]
        cdef int i, count = len(held)
        cdef frame_t *frames
        if count == 0:
            return 0
        frames = <frame_t *>calloc(count, sizeof(frame_t))
        if frames == NULL:
            raise MemoryError()
        try:
            for i in range(count):
                frames[i].data = <uint8_t *>PyBytes_AS_STRING(held[i])
                frames[i].length = len(<bytes>held[i])
            return self.write_frames(frames, count, microseconds(now))
        finally:
            free(frames)

    def fileno(self):
        """A descriptor that is readable while packets wait, or -1 when there is none."""
        return -1

    def next_time(self):
        """When the link delivers by itself, seconds, or None."""
        cdef int64_t due = self.next_time_us()
        return None if due < 0 else due / 1e6

    def close(self):
        """Let go of what the link holds; may be called twice."""


cdef int64_t microseconds(double seconds) noexcept nogil:
    # Rounded, so that a time that `next_time` gave comes back as the same one.
    return llround(seconds * 1e6)


cdef bytes packet_bytes(packet, Py_ssize_t header=0):
    cdef bytes data = packet if type(packet) is bytes else bytes(memoryview(packet))
    if len(data) > LARGEST_PACKET + header:
        raise LocalError(
            f"a packet of {len(data) - header:,} bytes is not an IP packet;"
            f" the largest has {LARGEST_PACKET:,}"
        )
    return data
