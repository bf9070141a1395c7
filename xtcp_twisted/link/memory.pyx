"""A link without a device: two lists of packets, for tests and for programs that move packets themselves.

With offload, each packet has the virtio header before it, in both lists, as it is
read from and written to a TUN device that has this header (`virtio`).

Time is the engine's: each packet that the engine sends is kept with the `now`
that it was sent at.  The descriptor is a real eventfd, so a reactor can wait
for this link as it does for a device.
"""

from collections import deque
from os import strerror

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.errno cimport errno
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy
from posix.unistd cimport close, read, write

from xtcp_twisted.link.base cimport LARGEST_PACKET, Link, frame_plain, frame_t, packet_bytes
from xtcp_twisted.link.virtio cimport VIRTIO_BYTES, virtio_read, virtio_write

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
    :param offload: packets come and go with a virtio header of 10 bytes before them.
    :raises ConfigurationError: `mtu` is out of range.
    :raises LinkError: the process may open no more descriptors.
    """

    def __cinit__(self):
        self._descriptor = -1

    def __init__(self, int mtu=1500, *, bint offload=False):
        if not 68 <= mtu <= LARGEST_PACKET:
            raise ConfigurationError(f"mtu: {mtu!r} is not allowed; give an integer from 68 to 65,535")
        self.mtu = mtu
        self.offload = offload
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

        :param packet: an IP packet, bytes-like; at most 65,535 bytes.  With offload, behind its header.
        :raises LocalError: it is longer; nothing was queued.
        :raises LinkError: the link is closed.
        """
        data = packet_bytes(packet, VIRTIO_BYTES if self.offload else 0)
        self._check_open()
        self._arrived.append(data)
        if len(self._arrived) == 1:
            self._signal(True)

    def take(self):
        """What the engine sent since the last call: a list of (time in seconds, packet).

        With offload, the packet is behind its header.
        """
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
        cdef bint waited = len(self._arrived) > 0
        self._check_open()
        while count < limit and self._arrived:
            if self._fill(self._arrived.popleft(), &frames[count]):
                count += 1
            else:
                self.refused += 1
        if waited and not self._arrived:
            self._signal(False)
        self.received += count
        return count

    cdef bint _fill(self, bytes packet, frame_t *frame) noexcept:
        """One delivered packet into the engine's room; false: its header is impossible."""
        cdef const uint8_t *data = <const uint8_t *>PyBytes_AS_STRING(packet)
        cdef uint32_t header = VIRTIO_BYTES if self.offload else 0, size = <uint32_t>len(packet)
        cdef uint32_t room = frame.length
        if size < header:
            return False
        frame.length = min(frame.length, size - header)
        memcpy(frame.data, data + header, frame.length)
        if header == 0:
            frame_plain(frame)
        elif not virtio_read(data, frame):
            frame.length = room
            return False
        return True

    cdef int _keep(self, frame_t *frames, int count, int64_t now_us) except -1:
        cdef uint8_t[VIRTIO_BYTES] header
        cdef int i
        self.sent += count
        if self._descriptor < 0:
            self.dropped += count
            return 0
        now = now_us / 1e6
        for i in range(count):
            packet = PyBytes_FromStringAndSize(<char *>frames[i].data, frames[i].length)
            if self.offload:
                virtio_write(header, &frames[i])
                packet = header[:VIRTIO_BYTES] + packet
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
