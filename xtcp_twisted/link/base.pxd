"""A link moves IP packets; it knows no TCP and keeps no time of its own."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

cdef enum:
    # What is known of a frame's transport checksum (virtio's flags).
    CHECKSUM_UNKNOWN = 0   # in: verify it;  out: it is complete
    CHECKSUM_PARTIAL = 1   # the field holds the pseudo-header sum; the other side completes it
    CHECKSUM_VALID = 2     # in only: verified by the sender of the frame

cdef enum:
    # How a frame that is longer than a packet is cut into segments (virtio's names and values).
    GSO_NONE = 0
    GSO_TCP4 = 1
    GSO_TCP6 = 4
    GSO_ECN = 0x80         # beside one of them: CWR goes with the first segment only

cdef enum:
    LARGEST_PACKET = 65535   # bytes; what the length field of an IPv4 header can say

cdef struct frame_t:
    uint8_t *data          # the IP packet
    uint32_t length        # bytes; before read_frames: room at `data`
    uint16_t gso_size      # payload bytes per segment, 0: one segment
    uint16_t headers       # bytes before the payload, when there is a gso_size
    uint16_t checksum_start    # where the sum begins, with CHECKSUM_PARTIAL
    uint16_t checksum_offset   # from there to its field
    uint8_t gso_type       # GSO_*
    uint8_t checksum_state  # CHECKSUM_*

cdef class Link:
    cdef readonly int mtu
    cdef readonly bint offload    # frames may be super-segments, and their checksums partial
    cdef readonly unsigned long long received, sent, dropped, refused

    # Take in at most `limit` frames; frames[i].data points to frames[i].length
    # bytes of room.  Returns how many; -1 with an exception when the link is gone.
    cdef int read_frames(self, frame_t *frames, int limit, int64_t now_us) except -1 nogil
    # Send `count` frames; what the link cannot take is dropped and counted.
    # Returns how many the other side took.
    cdef int write_frames(self, frame_t *frames, int count, int64_t now_us) except -1 nogil
    # Whether packets wait to be read.
    cdef bint waiting(self) except -1
    # When the link itself has something to deliver, microseconds; -1: it cannot tell.
    cdef int64_t next_time_us(self) noexcept nogil

# Forgets all but `data` and `length`: one packet whose checksum is complete.
cdef inline void frame_plain(frame_t *frame) noexcept nogil:
    frame.gso_size = 0
    frame.headers = 0
    frame.checksum_start = 0
    frame.checksum_offset = 0
    frame.gso_type = GSO_NONE
    frame.checksum_state = CHECKSUM_UNKNOWN


# Seconds as a Python caller gives them, and a packet that one gives (LocalError when too long).
cdef int64_t microseconds(double seconds) noexcept nogil
# `header`: bytes before it that do not count.
cdef bytes packet_bytes(packet, Py_ssize_t header=?)
