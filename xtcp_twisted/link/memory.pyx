"""A link without a device: two lists of packets, for tests and for programs that move packets themselves.

Time is the engine's: each packet that the engine sends is kept with the `now`
that it was sent at.  The descriptor is a real eventfd, so a reactor can wait
for this link as it does for a device.
"""

from collections import deque
from os import strerror

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.errno cimport errno
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset
from posix.unistd cimport close, read, write

from xtcp_twisted.link.base cimport LARGEST_PACKET, Link, frame_t, packet_bytes

from xtcp_twisted.errors import ConfigurationError, LinkError

cdef extern from "<sys/eventfd.h>" nogil:
    int eventfd(unsigned int count, int flags)
    int EFD_CLOEXEC
    int EFD_NONBLOCK


cdef class MemoryLink(Link):
    """Keeps packets in lists.

    :param mtu: largest IP packet that the engine shall send, bytes (68 to 65,535).
        What is delivered may be longer; of that the engine gets what it has room
        for, as from a device.
    :raises ConfigurationError: `mtu` is out of range.
    :raises LinkError: the process may open no more descriptors.
    """

    def __cinit__(self):
        self._descriptor = -1

    def __init__(self, int mtu=1500):
        if not 68 <= mtu <= LARGEST_PACKET:
            raise ConfigurationError(f"mtu: {mtu!r} is not allowed; give an integer from 68 to 65,535")
        self.mtu = mtu
        self._arrived = deque()
        self._sent = []
        self._descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
        if self._descriptor < 0:
            raise LinkError(f"no eventfd: {_reason()}")

    def __dealloc__(self):
        if self._descriptor >= 0:
            close(self._descriptor)

    def deliver(self, packet):
        """Queue one packet for the engine.

        :param packet: an IP packet, bytes-like; at most 65,535 bytes.
        :raises LocalError: it is longer; nothing was queued.
        :raises LinkError: the link is closed.
        """
        data = packet_bytes(packet)
        self._check_open()
        self._arrived.append(data)
        if len(self._arrived) == 1:
            self._signal(True)

    def take(self):
        """What the engine sent since the last call: a list of (time in seconds, packet)."""
        taken, self._sent = self._sent, []
        return taken

    @property
    def pending(self):
        """Packets delivered and not yet read by the engine."""
        return len(self._arrived)

    def fileno(self):
        """An eventfd that is readable exactly while delivered packets wait; -1 when closed."""
        return self._descriptor

    def close(self):
        """Forget the delivered packets and close the descriptor; may be called twice.

        What the engine sent can still be taken.
        """
        self._arrived.clear()
        if self._descriptor >= 0:
            close(self._descriptor)
            self._descriptor = -1

    cdef int read_frames(self, frame_t *frames, int limit, int64_t now_us) except -1 nogil:
        with gil:
            return self._hand_over(frames, limit)

    cdef int write_frames(self, frame_t *frames, int count, int64_t now_us) except -1 nogil:
        with gil:
            return self._keep(frames, count, now_us)

    cdef int _hand_over(self, frame_t *frames, int limit) except -1:
        cdef int count = 0
        cdef uint32_t size
        cdef uint8_t *data
        self._check_open()
        while count < limit and self._arrived:
            packet = self._arrived.popleft()
            data = frames[count].data
            size = min(frames[count].length, <uint32_t>len(<bytes>packet))
            memcpy(data, PyBytes_AS_STRING(packet), size)
            memset(&frames[count], 0, sizeof(frame_t))
            frames[count].data = data
            frames[count].length = size
            count += 1
        if count and not self._arrived:
            self._signal(False)
        self.received += count
        return count

    cdef int _keep(self, frame_t *frames, int count, int64_t now_us) except -1:
        cdef int i
        self.sent += count
        if self._descriptor < 0:
            self.dropped += count
            return 0
        now = now_us / 1e6
        for i in range(count):
            packet = PyBytes_FromStringAndSize(<char *>frames[i].data, frames[i].length)
            self._sent.append((now, packet))
        return count

    def _check_open(self):
        if self._descriptor < 0:
            raise LinkError("the link is closed")

    cdef int _signal(self, bint waiting) except -1:
        # The count is 0 or 1: written when the first packet comes, read with the last.
        cdef uint64_t value = 1
        cdef ssize_t done
        if waiting:
            done = write(self._descriptor, &value, sizeof(value))
        else:
            done = read(self._descriptor, &value, sizeof(value))
        if done != sizeof(value):
            raise LinkError(f"eventfd: {_reason()}")
        return 0


def _reason():
    return strerror(errno)
