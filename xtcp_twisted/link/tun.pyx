"""A link over a TUN device: the kernel routes IP packets to a device, this process reads them.

The packet path is system calls and nothing else, for packets that leave one for many
of them where io_uring is to be had (`ring`); finding, making and
configuring the device is `xtcp_twisted.link.tunsetup`'s.  One frame is one
packet with its checksum complete; with offload, each has a virtio header before it
(`virtio`), checksums are left to whoever looks at them last, and segments of one
connection travel together.
"""

from os import strerror

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from posix.unistd cimport close, read, write

from xtcp_twisted.link.base cimport Link, frame_plain, frame_t
from xtcp_twisted.link.ring cimport RING_ENTRIES, iovec, ring_close, ring_open, ring_write
from xtcp_twisted.link.virtio cimport VIRTIO_BYTES, virtio_read, virtio_write

from xtcp_twisted.errors import LinkError
from xtcp_twisted.link import tunsetup

cdef extern from "<sys/uio.h>" nogil:
    ssize_t readv(int fd, const iovec *pieces, int count)
    ssize_t writev(int fd, const iovec *pieces, int count)


cdef class TunLink(Link):
    """A TUN device, made for this link or there before.

    A device that does not exist is made and configured, which takes root or
    CAP_NET_ADMIN; it goes when the link is closed, unless it shall persist.  A
    device that exists (``ip tuntap add dev xt0 mode tun user NAME``) is
    attached to, which its owner may do without any privilege; nothing about it
    is changed, and its MTU becomes the link's.

    The addresses are those of the kernel's end.  The engine's own addresses must
    not be among them, else the kernel answers in the engine's place; the caller
    checks that with `host_addresses`.

    :param name: of the device, 1 to 15 characters.
    :param addresses: of the host on a new device, with prefix: ``"10.77.0.1/24"``.
    :param mtu: of a new device, bytes (576 to 65,535).
    :param namespace: the network namespace the device is in: a name (as ``ip netns``
        has it), a path, or a descriptor of one; None is the caller's own.  The link
        works from outside.
    :param owner: user name or number that may attach to a new device later.
    :param queue_length: packets that wait for this process on a new device; in a
        burst of connects, a short queue drops SYNs.
    :param persist: keep a new device when the link is closed.
    :param offload: leave checksums and segmentation to the kernel, both ways (virtio header).
    :param io_uring: let several packets leave by one system call, where the kernel allows it to this process.
    :ivar name: of the device.
    :ivar created: whether this link made the device.
    :ivar io_uring: whether packets leave so.
    :raises PrivilegeError: a right is missing; the text says what to type.
    :raises LinkError: no TUN driver, device busy, bad name, unknown namespace or owner, no offload.
    :raises ConfigurationError: an address, the MTU or the queue length is not allowed.
    """

    def __cinit__(self):
        self._descriptor = -1
        self._namespace = -1

    def __init__(self, name, *, addresses=(), mtu=1500, namespace=None, owner=None,
                 queue_length=10_000, persist=False, offload=False,
                 io_uring=True):
        request = tunsetup.TunRequest(
            name=name, addresses=addresses, mtu=mtu, namespace=namespace, owner=owner,
            queue_length=queue_length, persist=persist, offload=offload,
        )
        device = tunsetup.open_tun(request)
        self._descriptor = device.descriptor
        self._namespace = device.namespace
        self.name = name
        self.created = device.created
        self.mtu = device.mtu
        self.offload = offload
        self.io_uring = io_uring and ring_open(&self._ring, self._descriptor)

    def __dealloc__(self):
        self._release()

    def host_addresses(self):
        """The kernel's addresses on the device now, as ``ipaddress`` interfaces (address and prefix).

        :raises LinkError: the device is gone.
        :raises PrivilegeError: the device is in another namespace and the right to enter it was given up.
        """
        self._check_open()
        return tunsetup.host_addresses(self.name, self._namespace)

    def is_up(self):
        """Whether the device is up; a device that is down drops all that is sent.

        :raises LinkError: the device is gone.
        :raises PrivilegeError: as `host_addresses`.
        """
        self._check_open()
        return tunsetup.is_up(self.name, self._namespace)

    def fileno(self):
        """The device's descriptor, readable while packets wait; -1 when closed."""
        return self._descriptor

    def close(self):
        """Close the device; one that was made for this link goes, unless it persists."""
        self._release()

    cdef int read_frames(self, frame_t *frames, int limit, int64_t now_us) except -1 nogil:
        cdef int count = 0
        cdef ssize_t length
        while count < limit:
            if self.offload:
                length = self._read_frame(&frames[count])
            else:
                length = read(self._descriptor, frames[count].data, frames[count].length)
            if length < 0:
                if errno == EINTR:
                    continue
                if errno == EAGAIN:
                    break
                if count:
                    # What is there is handed over; the next call meets the error again.
                    break
                self._gone(errno)
            if not self.offload:
                frames[count].length = length
                frame_plain(&frames[count])
            elif length == 0:
                self.refused += 1
                continue
            count += 1
        self.received += count
        return count

    cdef int write_frames(self, frame_t *frames, int count, int64_t now_us) except -1 nogil:
        cdef int i = 0, n, taken = 0
        while i < count:
            # One packet alone goes sooner by a call of its own.
            n = self._write_batch(&frames[i], count - i, &taken) if self.io_uring and count - i > 1 else 0
            if n == 0:
                taken += self._write(&frames[i])
                n = 1
            i += n
        self.sent += count
        self.dropped += count - taken
        return taken

    cdef bint _write(self, const frame_t *frame) noexcept nogil:
        """Whether the kernel took it."""
        cdef ssize_t length
        while True:
            if self.offload:
                length = self._write_frame(frame)
            else:
                length = write(self._descriptor, frame.data, frame.length)
            if length >= 0:
                return True
            # Else the device is down (EIO), the kernel has no room (EAGAIN) or refuses the packet.
            if errno != EINTR:
                return False

    cdef int _write_batch(self, const frame_t *frames, int count, int *taken) noexcept nogil:
        """How many of them were dealt with; those that the kernel took are added to `taken`."""
        cdef uint8_t[RING_ENTRIES][VIRTIO_BYTES] headers
        cdef int32_t[RING_ENTRIES] results
        cdef int i, done, n = min(count, <int>RING_ENTRIES)
        cdef iovec *piece
        for i in range(n):
            piece = self._ring.pieces[i]
            if self.offload:
                virtio_write(headers[i], &frames[i])
                piece.iov_base = headers[i]
                piece.iov_len = VIRTIO_BYTES
                piece += 1
            piece.iov_base = frames[i].data
            piece.iov_len = frames[i].length
        done = ring_write(&self._ring, n, 2 if self.offload else 1, results)
        for i in range(done):
            taken[0] += results[i] >= 0
        return done

    cdef ssize_t _read_frame(self, frame_t *frame) noexcept nogil:
        """One frame with its header; 0: the header is impossible; negative as `readv`."""
        cdef uint8_t[VIRTIO_BYTES] header
        cdef iovec[2] pieces
        cdef ssize_t length
        cdef uint32_t room
        pieces[0].iov_base = header
        pieces[0].iov_len = VIRTIO_BYTES
        pieces[1].iov_base = frame.data
        pieces[1].iov_len = frame.length
        length = readv(self._descriptor, pieces, 2)
        if length < VIRTIO_BYTES:
            return length if length < 0 else 0
        room = frame.length
        frame.length = length - VIRTIO_BYTES
        if virtio_read(header, frame):
            return length
        frame.length = room
        return 0

    cdef ssize_t _write_frame(self, const frame_t *frame) noexcept nogil:
        cdef uint8_t[VIRTIO_BYTES] header
        cdef iovec[2] pieces
        virtio_write(header, frame)
        pieces[0].iov_base = header
        pieces[0].iov_len = VIRTIO_BYTES
        pieces[1].iov_base = frame.data
        pieces[1].iov_len = frame.length
        return writev(self._descriptor, pieces, 2)

    cdef int _gone(self, int code) except -1 nogil:
        with gil:
            self._check_open()
            raise LinkError(
                f"{self.name}: the device has gone away ({strerror(code)}); open the link again"
            )

    def _check_open(self):
        if self._descriptor < 0:
            raise LinkError(f"{self.name}: the link is closed")

    cdef void _release(self) noexcept:
        ring_close(&self._ring)
        self.io_uring = False
        if self._descriptor >= 0:
            close(self._descriptor)
            self._descriptor = -1
        if self._namespace >= 0:
            close(self._namespace)
            self._namespace = -1
