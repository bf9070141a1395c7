"""A deterministic bad network around a link: loss, delay, reordering, duplicates, damage, marks, a slow line.

Both directions, on the engine's own time.  What happens to the k-th packet of a
direction is a function of (seed, direction, k) and of the parameters: each
packet has the same nine random numbers whatever the parameters are, so raising
the loss from 1 % to 2 % keeps every loss that was there and adds some.

On a link with offload, what travels together is cut into packets and what was left
of checksums is done before anything happens to a packet: the bad network, like a
real one, knows packets only.

Order is kept, also under jitter, but for the packets that `reorder` names.  A
packet that waits here is announced by `next_time`; the descriptor is the inner
link's.
"""

from heapq import heappop, heappush

from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from xtcp_twisted.link.base cimport CHECKSUM_PARTIAL, LARGEST_PACKET, Link, frame_plain, frame_t
from xtcp_twisted.link.wrapper cimport Wrapper
from xtcp_twisted.wire.bytes cimport get16, put16
from xtcp_twisted.wire.segment cimport CE, NOT_ECT
from xtcp_twisted.wire.segmentation cimport complete_checksum, cut_begin, cut_packet, cut_t

from xtcp_twisted.errors import ConfigurationError

cdef enum:
    BATCH = 32           # frames moved through the inner link at once
    DRAWS = 8            # random numbers per packet

cdef enum:
    # Which of its random numbers decides what.
    LOSS, BURST, JITTER, REORDER, DUPLICATE, CORRUPT, TRUNCATE, PLACE

DIRECTIONS = ("both", "in", "out")


cdef class Path:
    """One direction: the packets on their way, and what has happened to those before.

    Always ``packets + duplicated == lost + overflowed + delivered + waiting``.

    :ivar packets: that entered.
    :ivar lost: taken away, alone or in a burst.
    :ivar overflowed: for which the queue of the slow line was full.
    :ivar duplicated: that left twice.
    :ivar reordered: held back so that others may overtake.
    :ivar marked: told of congestion (RFC 3168).
    :ivar corrupted: with one bit changed.
    :ivar truncated: cut short.
    :ivar delivered: that left.
    """

    def __cinit__(self):
        self._queue = []
        self.next_us = -1

    @property
    def waiting(self):
        """Packets on their way now."""
        return len(self._queue)

    def change(self, *, loss=None, delay=None):
        """From the next packet on, another loss or delay: an outage, a spike of delay, a new route.

        Order is kept: what enters when the delay has become shorter overtakes nothing.

        :param loss: probability that a packet is lost; None leaves it.
        :param delay: of every packet, seconds; None leaves it.
        :raises ConfigurationError: a value is out of range; the text names it.
        """
        if loss is not None:
            self._p.loss = probability("loss", loss)
        if delay is not None:
            self._p.delay_us = duration_us("delay", delay)

    cdef double _draw(self, int which) noexcept:
        # A counter-based generator.
        return share(mix(self._key + mix(self.packets * DRAWS + which)))

    cdef bint _is_lost(self) noexcept:
        cdef double turn = self._draw(BURST)
        if self._bad:
            self._bad = turn >= self._p.bad_ends
        else:
            self._bad = turn < self._p.bad_begins
        return self._bad or self._draw(LOSS) < self._p.loss

    cdef int64_t _leave_us(self, Py_ssize_t length, int64_t now_us) noexcept:
        """When the packet's last bit is on the line; -1 when the line's queue is full."""
        cdef int64_t begin_ns = now_us * 1000
        if self._p.rate <= 0:
            return now_us
        begin_ns = max(begin_ns, self._free_ns)
        if begin_ns - now_us * 1000 > self._p.queue_us * 1000:
            return -1
        self._free_ns = begin_ns + <int64_t>(length * 8e9 / self._p.rate)
        return (self._free_ns + 999) // 1000

    cdef bytes _mark(self, bytes packet):
        """RFC 3168 section 5: a congested router makes CE of ECT instead of dropping the packet."""
        # A generator of its own, so that marks leave the packet's other numbers as they are.
        if share(mix(mix(self._key) + mix(self.packets))) >= self._p.mark:
            return packet
        marked = with_ce(packet)
        self.marked += marked is not packet
        return marked

    cdef bytes _damage(self, bytes packet):
        cdef Py_ssize_t length = len(packet), header, place
        cdef double where = self._draw(PLACE)
        if self._draw(CORRUPT) < self._p.corrupt and length > 0:
            # Beyond the addresses: no damaged packet may leave for a stranger.
            header = 40 if packet[0] >> 4 == 6 else 20
            if length > header:
                place = <Py_ssize_t>(where * (length - header) * 8)
                damaged = bytearray(packet)
                damaged[header + place // 8] ^= 1 << (place % 8)
                packet = bytes(damaged)
                self.corrupted += 1
        if self._draw(TRUNCATE) < self._p.truncate and length > 1:
            packet = packet[:1 + <Py_ssize_t>(where * (length - 1))]
            self.truncated += 1
        return packet

    cdef int _push(self, int64_t due_us, bytes packet) except -1:
        heappush(self._queue, (due_us, self._order, packet))
        self._order += 1
        self.next_us = self._queue[0][0]
        return 0

    cdef int enter(self, bytes packet, int64_t now_us) except -1:
        """One packet enters at `now_us`: decide everything about it."""
        cdef int64_t due_us
        cdef bint lost, twice
        self.packets += 1
        lost = self._is_lost()
        twice = self._draw(DUPLICATE) < self._p.duplicate
        if lost:
            self.lost += 1
            return 0
        due_us = self._leave_us(len(packet), now_us)
        if due_us < 0:
            self.overflowed += 1
            return 0
        due_us += self._p.delay_us + <int64_t>(self._draw(JITTER) * self._p.jitter_us)
        due_us = max(due_us, self._last_us)
        if self._draw(REORDER) < self._p.reorder:
            due_us += self._p.reorder_us
            self.reordered += 1
        else:
            self._last_us = due_us
        packet = self._damage(self._mark(packet))
        self._push(due_us, packet)
        if twice:
            self._push(due_us, packet)
            self.duplicated += 1
        return 0

    cdef bytes leave(self):
        """The packet that is due first."""
        packet = heappop(self._queue)[2]
        self.next_us = self._queue[0][0] if self._queue else -1
        self.delivered += 1
        return packet


cdef class ImpairedLink(Wrapper):
    """A bad network between the engine and `link`.

    For unequal directions, wrap twice: ``ImpairedLink(ImpairedLink(link,
    direction="in", loss=0.01), direction="out", rate=1e6)``.

    :param link: the link to wrap.
    :param loss: probability that a packet is lost, each on its own.
    :param reorder: probability that a packet is held back by `reorder_by`.
    :param duplicate: probability that a packet arrives twice.
    :param delay: of every packet, seconds.
    :param mark: probability that a packet which is ECT arrives as CE (RFC 3168).
    :param rate: of the line, bits per second; 0 is no limit.
    :param corrupt: probability that one bit behind the addresses is changed.
    :param seed: of all decisions.
    :param jitter: additional delay, evenly from 0 to this, seconds; keeps order.
    :param burst: probabilities per packet that a burst of losses begins, and that it ends
        (the Gilbert-Elliott model).
    :param truncate: probability that a packet is cut short.
    :param reorder_by: additional delay of a packet that is held back, seconds.
    :param queue: longest wait for a line with a `rate`, seconds; a packet that would
        wait longer is dropped.
    :param direction: "in" (to the engine), "out" or "both".
    :ivar inbound: `Path` to the engine, with its counters.
    :ivar outbound: `Path` from the engine.
    :raises ConfigurationError: a value is out of range; the text names it.
    """

    def __cinit__(self):
        self._buffer = bytearray(0)
        self._frames = <frame_t *>calloc(BATCH, sizeof(frame_t))
        if self._frames == NULL:
            raise MemoryError()

    def __init__(self, Link link not None, *, loss=0.0, reorder=0.0, duplicate=0.0, delay=0.0, rate=0.0,
                 corrupt=0.0, seed=1, jitter=0.0, burst=(0.0, 1.0), truncate=0.0, reorder_by=0.01,
                 queue=1.0, mark=0.0, direction="both"):
        cdef impairments_t asked
        Wrapper.__init__(self, link)
        if direction not in DIRECTIONS:
            raise ConfigurationError(f"direction: {direction!r} is not allowed; give 'in', 'out' or 'both'")
        if not isinstance(seed, int):
            raise ConfigurationError(f"seed: {seed!r} is not allowed; give an integer")
        memset(&asked, 0, sizeof(asked))
        asked.loss = probability("loss", loss)
        asked.reorder = probability("reorder", reorder)
        asked.duplicate = probability("duplicate", duplicate)
        asked.corrupt = probability("corrupt", corrupt)
        asked.truncate = probability("truncate", truncate)
        asked.mark = probability("mark", mark)
        asked.bad_begins, asked.bad_ends = burst_probabilities(burst)
        asked.rate = within("rate", rate, 0, 1e12, "bits per second, from 0 (no limit) to 1e12")
        asked.delay_us = duration_us("delay", delay)
        asked.jitter_us = duration_us("jitter", jitter)
        asked.reorder_us = duration_us("reorder_by", reorder_by)
        asked.queue_us = duration_us("queue", queue)
        self.inbound = make_path(seed, b"in", asked, direction != "out")
        self.outbound = make_path(seed, b"out", asked, direction != "in")
        self._buffer = bytearray(BATCH * LARGEST_PACKET)

    def __dealloc__(self):
        free(self._frames)

    cdef int read_frames(self, frame_t *frames, int limit, int64_t now_us) except -1 nogil:
        with gil:
            self._release(now_us)
            self._take_in(limit, now_us)
            return self._hand_over(frames, limit, now_us)

    cdef int write_frames(self, frame_t *frames, int count, int64_t now_us) except -1 nogil:
        cdef int i
        self.sent += count
        with gil:
            for i in range(count):
                self._enter(self.outbound, &frames[i], now_us)
            self._release(now_us)
        return count

    cdef int64_t next_time_us(self) noexcept nogil:
        return earlier(self.inner.next_time_us(), earlier(self.inbound.next_us, self.outbound.next_us))

    cdef int _enter(self, Path path, frame_t *frame, int64_t now_us) except -1:
        """The packets of one frame, each on its way."""
        if frame.gso_size:
            return self._enter_cut(path, frame, now_us)
        packet = frame_bytes(frame)
        if frame.checksum_state == CHECKSUM_PARTIAL:
            complete_checksum(
                <uint8_t *>PyBytes_AS_STRING(packet),
                frame.length,
                frame.checksum_start,
                frame.checksum_offset,
            )
        return path.enter(packet, now_us)

    cdef int _enter_cut(self, Path path, frame_t *frame, int64_t now_us) except -1:
        cdef cut_t cut
        cdef bytearray room
        cdef uint32_t k, length
        if not cut_begin(frame.data, frame.length, frame.gso_size, &cut):
            self.refused += 1
            return 0
        room = bytearray(cut.headers + cut.size)
        for k in range(cut.count):
            length = cut_packet(frame.data, frame.length, &cut, k, <uint8_t *>PyByteArray_AS_STRING(room))
            path.enter(bytes(room[:length]), now_us)
        return 0

    cdef int _take_in(self, int limit, int64_t now_us) except -1:
        """Read at most `limit` packets from the inner link onto their way."""
        cdef int i, count, asked
        cdef uint8_t *room = <uint8_t *>PyByteArray_AS_STRING(self._buffer)
        while limit > 0:
            asked = min(limit, <int>BATCH)
            for i in range(asked):
                self._frames[i].data = room + <size_t>i * LARGEST_PACKET
                self._frames[i].length = LARGEST_PACKET
            count = self.take_over(self._frames, asked, now_us)
            for i in range(count):
                self._enter(self.inbound, &self._frames[i], now_us)
            if count < asked:
                break
            limit -= count
        return 0

    cdef int _hand_over(self, frame_t *frames, int limit, int64_t now_us) except -1:
        """Give the engine what is due, as far as `limit` goes."""
        cdef int count = 0
        cdef uint32_t length
        cdef uint8_t *data
        cdef bytes packet
        while count < limit and 0 <= self.inbound.next_us <= now_us:
            packet = self.inbound.leave()
            data = frames[count].data
            length = min(frames[count].length, <uint32_t>len(packet))
            memcpy(data, PyBytes_AS_STRING(packet), length)
            frame_plain(&frames[count])
            frames[count].length = length
            count += 1
        self.received += count
        return count

    cdef int _release(self, int64_t now_us) except -1:
        """Hand the inner link what the engine sent and what is due."""
        cdef int count
        cdef list held
        while 0 <= self.outbound.next_us <= now_us:
            held = []
            count = 0
            while count < BATCH and 0 <= self.outbound.next_us <= now_us:
                packet = self.outbound.leave()
                held.append(packet)
                frame_plain(&self._frames[count])
                self._frames[count].data = <uint8_t *>PyBytes_AS_STRING(packet)
                self._frames[count].length = len(<bytes>packet)
                count += 1
            self.pass_on(self._frames, count, now_us)
        return 0


cdef Path make_path(seed, bytes direction, impairments_t asked, bint impaired):
    cdef Path path = Path()
    if impaired:
        path._p = asked
    path._key = mix(<uint64_t>(seed & 0xFFFF_FFFF_FFFF_FFFF) + mix(direction[0]))
    return path


cdef double share(uint64_t number) noexcept:
    # Its upper 53 bits, in [0, 1).
    return <double>(number >> 11) / 9007199254740992.0


cdef bytes with_ce(bytes packet):
    """The packet with CE in its ECN field, if that says ECT(0) or ECT(1); else the packet itself."""
    cdef const uint8_t *old = <const uint8_t *>PyBytes_AS_STRING(packet)
    cdef int version = old[0] >> 4 if len(packet) >= 40 else 0, shift = 0 if version == 4 else 4
    cdef uint32_t field, total
    field = old[1] >> shift & CE if version == 4 or version == 6 else NOT_ECT
    if field == NOT_ECT or field == CE:
        return packet
    marked = bytearray(packet)
    marked[1] |= CE << shift
    if version == 4:
        # RFC 1624, equation 3: HC' = ~(~HC + ~m + m'); the word grew by CE - field.
        total = (~get16(old + 10) & 0xFFFF) + (CE - field)
        put16(<uint8_t *>PyByteArray_AS_STRING(marked) + 10, <uint16_t>~((total & 0xFFFF) + (total >> 16)))
    return bytes(marked)


cdef bytes frame_bytes(frame_t *frame):
    return PyBytes_FromStringAndSize(<char *>frame.data, frame.length)


cdef int64_t earlier(int64_t a, int64_t b) noexcept nogil:
    # Of two times of which a negative one means never.
    if a < 0:
        return b
    return a if b < 0 or a < b else b


cdef uint64_t mix(uint64_t value) noexcept nogil:
    # One step of SplitMix64 (Steele, Lea, Flood 2014): each bit of it depends on all bits of `value`.
    value += 0x9E3779B97F4A7C15ULL
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9ULL
    value = (value ^ (value >> 27)) * 0x94D049BB133111EBULL
    return value ^ (value >> 31)


cdef double within(str name, value, double low, double high, str allowed) except? -1:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ConfigurationError(f"{name}: {value!r} is not allowed; give {allowed}")
    return value


cdef double probability(str name, value) except? -1:
    return within(name, value, 0, 1, "a probability from 0 to 1")


cdef int64_t duration_us(str name, value) except? -1:
    return <int64_t>(within(name, value, 0, 3600, "seconds, from 0 to 3,600") * 1e6 + 0.5)


def burst_probabilities(burst):
    try:
        begins, ends = burst
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"burst: {burst!r} is not allowed; give two probabilities, that a burst begins and that it ends"
        ) from None
    return probability("burst", begins), probability("burst", ends)
