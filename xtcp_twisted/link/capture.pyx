"""A link that writes every packet, of both directions, to a pcapng file that Wireshark opens.

Packets carry the engine's time, moved to the wall clock by a fixed offset.  A
packet from the engine is written before it is sent on, so what the other side
refuses is in the file too.  A file that cannot be written to (a full disk) ends
the capture and never the traffic.

On a link with offload a packet is captured as the engine handles it, as on any host
with such a card: many segments may be one packet of up to 65,535 bytes.  A checksum
that was left to the other side is completed in the file.
"""

from os import PathLike, fspath
from time import monotonic_ns, time_ns

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint32_t

from xtcp_twisted.link.base cimport CHECKSUM_PARTIAL, LARGEST_PACKET, Link, frame_t, microseconds
from xtcp_twisted.link.wrapper cimport Wrapper
from xtcp_twisted.wire.segmentation cimport complete_checksum

from xtcp_twisted.errors import ConfigurationError, LinkError
from xtcp_twisted.link import pcapng

cdef int INBOUND = pcapng.INBOUND
cdef int OUTBOUND = pcapng.OUTBOUND


cdef class CaptureLink(Wrapper):
    """Writes what passes to a pcapng file.

    :param link: the link to wrap.
    :param file: a path, or a binary file open for writing, which stays the caller's to close.
    :param snaplen: bytes kept of each packet (1 to 65,535).
    :param clock_offset: wall-clock time minus the engine's time, seconds; taken from
        CLOCK_REALTIME and CLOCK_MONOTONIC when not given.
    :param name: of the interface, in the file.
    :ivar captured: packets written.
    :ivar error: the exception of the file that ended the capture, or None.
    :raises LinkError: the file cannot be made or written.
    :raises ConfigurationError: `snaplen` is out of range.
    """

    def __init__(self, Link link not None, file, *, snaplen=LARGEST_PACKET, clock_offset=None, name="xtcp"):
        Wrapper.__init__(self, link)
        if isinstance(snaplen, bool) or not isinstance(snaplen, int) or not 1 <= snaplen <= LARGEST_PACKET:
            raise ConfigurationError(f"snaplen: {snaplen!r} is not allowed; give an integer from 1 to 65,535")
        self._snaplen = snaplen
        if clock_offset is None:
            self._offset_us = (time_ns() - monotonic_ns()) // 1000
        else:
            self._offset_us = microseconds(clock_offset)
        self._owns_file = isinstance(file, (str, PathLike))
        try:
            self._file = open(file, "wb") if self._owns_file else file
            self._writer = pcapng.PcapngWriter(self._file, snaplen=snaplen, interface=name)
        except OSError as error:
            where = fspath(file) if self._owns_file else "the file"
            raise LinkError(f"capture: {where} cannot be written: {error.strerror}") from error

    def flush(self):
        """Hand what is buffered to the operating system.

        A failure ends the capture and is kept in `error`.
        """
        if self._writer is not None:
            try:
                self._file.flush()
            except OSError as error:
                self._fail(error)

    def close(self):
        """End the capture and close the inner link; may be called twice.

        A file given by path is closed, one given open is flushed.
        """
        self.flush()
        self._writer = None
        if self._owns_file and not self._file.closed:
            self._file.close()
        Wrapper.close(self)

    cdef int read_frames(self, frame_t *frames, int limit, int64_t now_us) except -1 nogil:
        cdef int count = self.take_over(frames, limit, now_us)
        self.received += count
        if count:
            with gil:
                self._record(frames, count, now_us, INBOUND)
        return count

    cdef int write_frames(self, frame_t *frames, int count, int64_t now_us) except -1 nogil:
        self.sent += count
        with gil:
            self._record(frames, count, now_us, OUTBOUND)
        return self.pass_on(frames, count, now_us)

    cdef int _record(self, frame_t *frames, int count, int64_t now_us, int direction) except -1:
        cdef int i
        if self._writer is None:
            return 0
        time_us = now_us + self._offset_us
        try:
            for i in range(count):
                packet = captured_bytes(&frames[i], self._snaplen)
                self._writer.write(packet, frames[i].length, time_us, direction)
                self.captured += 1
        except (OSError, ValueError) as error:
            # ValueError is what a closed file object raises.
            self._fail(error)
        return 0

    def _fail(self, error):
        self.error = error
        self._writer = None
        if self._owns_file:
            try:
                self._file.close()
            except OSError:
                # The buffered rest cannot be written either; the first error is the one to tell.
                pass


cdef bytes captured_bytes(const frame_t *frame, uint32_t snaplen):
    """The packet's first `snaplen` bytes; its checksum, if there is one, is complete."""
    cdef bytes packet
    if frame.checksum_state != CHECKSUM_PARTIAL:
        return PyBytes_FromStringAndSize(<char *>frame.data, min(frame.length, snaplen))
    packet = PyBytes_FromStringAndSize(<char *>frame.data, frame.length)
    complete_checksum(
        <uint8_t *>PyBytes_AS_STRING(packet), frame.length, frame.checksum_start, frame.checksum_offset
    )
    return packet[:snaplen]
