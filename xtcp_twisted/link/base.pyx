"""The base of all links, and what a wrapper of a link inherits."""

from libc.stdint cimport int64_t


cdef class Link:
    """Moves IP packets between the engine and something else.

    :ivar mtu: largest IP packet, bytes.
    :ivar received: packets handed to the engine.
    :ivar sent: packets taken from the engine.
    :ivar dropped: packets that the other side refused to take.
    """

    cdef int read_frames(self, frame_t *frames, int limit, int64_t now_us) except -1 nogil:
        with gil:
            raise NotImplementedError("a link implements read_frames")

    cdef int write_frames(self, frame_t *frames, int count, int64_t now_us) except -1 nogil:
        with gil:
            raise NotImplementedError("a link implements write_frames")

    cdef int64_t next_time_us(self) noexcept nogil:
        return -1

    def fileno(self):
        """A descriptor that is readable while packets wait, or -1 when there is none."""
        return -1

    def next_time(self):
        """When the link delivers by itself, seconds, or None."""
        cdef int64_t due = self.next_time_us()
        return None if due < 0 else due / 1e6

    def close(self):
        """Let go of what the link holds; may be called twice."""
