"""A link moves IP packets; it knows no TCP and keeps no time of its own."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

cdef enum:
    # What is known of a frame's transport checksum (virtio's flags).
    CHECKSUM_UNKNOWN = 0   # in: verify it;  out: it is complete
    CHECKSUM_PARTIAL = 1   # the field holds the pseudo-header sum; the other side completes it
    CHECKSUM_VALID = 2     # in only: verified by the sender of the frame

cdef enum:
    LARGEST_PACKET = 65535   # bytes; what the length field of an IPv4 header can say

cdef struct frame_t:
    uint8_t *data          # the IP packet
    uint32_t length        # bytes; before read_frames: room at `data`
    uint16_t gso_size      # payload bytes per segment, 0: one segment
    uint16_t checksum_start
    uint16_t checksum_offset
    uint8_t gso_type
    uint8_t checksum_state

cdef class Link:
    cdef readonly int mtu
    cdef readonly unsigned long long received, sent, dropped

    # Take in at most `limit` frames; frames[i].data points to frames[i].length
    # bytes of room.  Returns how many; -1 with an exception when the link is gone.
    cdef int read_frames(self, frame_t *frames, int limit, int64_t now_us) except -1 nogil
    # Send `count` frames; what the link cannot take is dropped and counted.
    # Returns how many the other side took.
    cdef int write_frames(self, frame_t *frames, int count, int64_t now_us) except -1 nogil
    # When the link itself has something to deliver, microseconds; -1: it cannot tell.
    cdef int64_t next_time_us(self) noexcept nogil

# Seconds as a Python caller gives them, and a packet that one gives (LocalError when too long).
cdef int64_t microseconds(double seconds) noexcept nogil
cdef bytes packet_bytes(packet)
