"""Opening the tables of one engine, moving its packets, and the time of its next turn."""

from libc.math cimport floor
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from collections import deque
import ipaddress

from xtcp_twisted.config import SYN_COOKIES
from xtcp_twisted.engine.demux cimport IN_FRAMES, take_in
from xtcp_twisted.engine.loop cimport loop_close, loop_divert, loop_open, loop_take
from xtcp_twisted.errors import ConfigurationError, EngineClosed, LocalError
from xtcp_twisted.link.base cimport frame_plain
from xtcp_twisted.engine.members cimport group_swept, members_sweep
from xtcp_twisted.memory.arena cimport (
    arena_close,
    arena_open,
    arena_return,
    arena_spread,
    arena_t,
    arena_take,
)
from xtcp_twisted.memory.index cimport index_open
from xtcp_twisted.memory.links cimport END, list_clear, list_remove
from xtcp_twisted.memory.slab cimport NONE, QUARANTINE, slab_fetch_row, slab_open, slab_t
from xtcp_twisted.memory.wheel cimport wheel_open
from xtcp_twisted.tcp.bucket cimport bucket_fill
from xtcp_twisted.tcp.connection cimport conn_load, conn_t
from xtcp_twisted.tcp.counters cimport C_LINK_DROPS, C_LINK_REFUSED
from xtcp_twisted.tcp.disorder cimport recovery_t
from xtcp_twisted.tcp.fastcookies cimport fast_key_rotate
from xtcp_twisted.tcp.fastopens cimport SYN_TEXTS, syn_text_t
from xtcp_twisted.tcp.groups cimport (
    MAX_GROUPS,
    MAX_POOLS,
    PRIORITIES,
    group_row_t,
    pool_row_t,
)
from xtcp_twisted.tcp.holders cimport stall_t
from xtcp_twisted.tcp.heard cimport heard_late, heard_poll, heard_until
from xtcp_twisted.tcp.icmp cimport icmp_output
from xtcp_twisted.tcp.layout cimport (
    LOCALS,
    REPLIES,
    TRAY_BYTES,
    active_at,
    active_t,
    chunk_t,
    extent_t,
    half_open_t,
    local_row_t,
    record_t,
    time_wait_t,
)
from xtcp_twisted.tcp.output cimport OUT_FRAMES, output_connection, output_replies
from xtcp_twisted.tcp.paths cimport NARROWED, PATHS, narrowed_t, path_t
from xtcp_twisted.tcp.pressure cimport pressure_open, pressure_set, pressure_start
from xtcp_twisted.tcp.readiness cimport group_return, holding_due_us
from xtcp_twisted.tcp.throttle cimport throttle_due
from xtcp_twisted.tcp.timers cimport timers_due
from xtcp_twisted.wire.codec cimport pack_address
from xtcp_twisted.wire.segment cimport segment_t

cdef enum:
    FRAME_ROOM = 65_536
    # No power of two: else the beginnings of all frames share a few lines of the processor's caches.
    FRAME_STRIDE = FRAME_ROOM + 1_664
    SLOT_BYTES = 8
    LOCAL_SLOTS = 131_072      # a power of two, twice LOCALS
    SENT_AT_ONCE = 4_096       # packets after which a flush leaves the rest to the next turn

cdef int64_t A_DAY_US = 86_400_000_000

# How an address of IPv4 stands in a record (RFC 4291 section 2.5.5.2).
_IPV4_MAPPED = ipaddress.ip_network("::ffff:0:0/96")
#: Every host has these, and no packet with them leaves it or comes to it (RFC 1122 section 3.2.1.3).
_LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


cdef uint32_t _power_of_two(unsigned long long n) noexcept:
    cdef unsigned long long power = 16
    while power < n:
        power *= 2
    return <uint32_t>power


def _host_of(text):
    """The address that a configured prefix names, or its first host: the one before stands for the subnet."""
    interface = ipaddress.ip_interface(text)
    if interface.ip == interface.network.network_address and interface.network.num_addresses > 2:
        return interface.ip + 1
    return interface.ip


cdef class State:
    """Everything of one engine that is not policy."""

    def __cinit__(self):
        memset(&self.stack, 0, sizeof(stack_t))
        self.group_objects = {}
        self.shown = {}
        self.sweeps = deque()
        self.ending = []
        self.offers = deque()
        self.changing = {}
        self.sources = []

    def __init__(self, Link link not None, config):
        cdef stack_t *s = &self.stack
        self.link = link
        _open_arena(s, config)
        self.quarantine = <uint32_t *>malloc(QUARANTINE * sizeof(uint32_t))
        s.records.quarantine = self.quarantine
        self._set_limits(config)
        self._set_keys(config.entropy)
        self._set_addresses(config.addresses)
        self._open_buffers()

    def _set_limits(self, config):
        cdef stack_t *s = &self.stack
        s.limits.mtu = config.mtu or self.link.mtu
        if s.limits.mtu < 576:
            raise ConfigurationError(f"mtu: the link's {s.limits.mtu} is too small; give 576 or more")
        s.limits.offload = self.link.offload
        s.limits.accept_timeout_ms = config.accept_timeout_ms
        s.limits.syn_ack_tries = config.syn_ack_tries
        s.limits.syn_cookies = SYN_COOKIES.index(config.syn_cookies)
        s.limits.time_wait_ms = int(config.time_wait_s * 1000)
        s.limits.first_port, s.limits.last_port = config.ephemeral_ports
        s.fast_opens.lifetime_us = int(config.fast_open_key_s * 1e6)
        bucket_fill(&s.resets, config.resets_per_second, 0)
        bucket_fill(&s.icmp_answers, config.icmp_per_second, 0)
        bucket_fill(&s.replays, config.replays_per_second, 0)

    def _set_keys(self, entropy):
        self._fill(&self.stack.keys, sizeof(self.stack.keys), entropy)
        self._fill(self.stack.port_counters, sizeof(self.stack.port_counters), entropy)
        fast_key_rotate(&self.stack)
        fast_key_rotate(&self.stack)

    cdef int _fill(self, void *place, size_t size, entropy) except -1:
        """Puts random bytes there."""
        cdef bytes secret = entropy(size)
        if len(secret) != size:
            raise ConfigurationError("entropy: it must return as many bytes as it is asked for")
        memcpy(place, <const char *>secret, size)
        return 0

    def _set_addresses(self, addresses):
        self.own.prefixes = <prefix_t *>calloc(len(addresses) + len(_LOOPBACK), sizeof(prefix_t))
        for text in addresses:
            try:
                network = ipaddress.ip_network(text, strict=False)
            except ValueError as error:
                raise ConfigurationError(
                    f"addresses: {text!r} is neither an IP address nor a prefix ({error});"
                    " give for example '192.0.2.1' or '2001:db8::/64'"
                ) from None
            if network.version == 6 and network.supernet_of(_IPV4_MAPPED):
                raise ConfigurationError(
                    f"addresses: {text!r} holds all of IPv4 as well (::ffff:0:0/96); give a prefix of hosts"
                )
            self._answer_for(network)
            self.sources.append(pack_address(str(_host_of(text))))
        for network in _LOOPBACK:
            self._answer_for(network)

    def _answer_for(self, network):
        """Answer for one more prefix."""
        cdef prefix_t *prefix = &self.own.prefixes[self.own.count]
        cdef bytes packed = pack_address(str(network.network_address))
        memcpy(prefix.address, <const uint8_t *>packed, 16)
        prefix.bits = network.prefixlen + (96 if network.version == 4 else 0)
        self.own.count += 1

    def _open_buffers(self):
        """Frames in and out; pages are committed as packets touch them."""
        cdef int i
        cdef size_t stride = FRAME_STRIDE
        self.buffers = <uint8_t *>malloc((IN_FRAMES + OUT_FRAMES) * stride)
        if self.buffers == NULL:
            raise MemoryError()
        memset(self.frames_in, 0, sizeof(self.frames_in))
        memset(&self.out, 0, sizeof(self.out))
        for i in range(IN_FRAMES):
            self.frames_in[i].data = self.buffers + i * stride
        for i in range(OUT_FRAMES):
            self.out.frames[i].data = self.buffers + (IN_FRAMES + i) * stride

    def __dealloc__(self):
        arena_close(&self.stack.arena)
        free(self.buffers)
        free(self.own.prefixes)
        loop_close(&self.loop)
        free(self.quarantine)

    cdef int check_open(self) except -1:
        if self.closed:
            raise EngineClosed("the engine is closed")
        return 0

    cdef int set_now(self, double now) except -1:
        cdef stack_t *s = &self.stack
        cdef int64_t us
        cdef bint slept
        if not now >= 0:
            raise LocalError(f"now: {now!r} is not allowed; give the seconds of CLOCK_MONOTONIC")
        us = <int64_t>floor(now * 1e6 + 0.5)
        if not s.started:
            s.started = True
            s.now_us = us
            s.fast_opens.rotate_at_us = us + s.fast_opens.lifetime_us
            s.resets.at_us = us
            s.icmp_answers.at_us = us
            s.replays.at_us = us
            s.now_ms = <uint32_t>(us // 1000)
            s.hand_at = s.now_ms
            heard_until(s, us)
            self._start_pressure()
            s.wheel.tick = s.now_ms
        elif us > s.now_us:
            slept = us - s.now_us > A_DAY_US
            s.now_us = us
            s.now_ms = <uint32_t>(us // 1000)
            if slept and s.wheel.count == 0:
                # With nothing to wait for no turn is due, for longer than 32 bits of ms can tell apart.
                s.wheel.tick = s.now_ms
                s.hand_at = s.now_ms
        return 0

    cdef int _start_pressure(self) except -1:
        """Pools may be older than the first known time."""
        cdef uint32_t row
        pressure_start(&self.stack.pressure, self.stack.now_us)
        for row in range(self.stack.pool_count):
            pressure_start(&self.stack.pools[row].pressure, self.stack.now_us)
        return 0

    cdef int note_work(self) except -1:
        if self.waiting is not None and not self.turn_open:
            self.waiting.signal()
        return 0

    cdef int connect_self(self) except -1:
        """From now on there may be connections between the engine's own addresses."""
        loop_open(&self.loop)
        self.own.self_connected = True
        return 0

    cdef int _take_looped(self, int limit) except -1:
        """What the engine has sent to itself."""
        cdef int taken = 0, n
        while taken < limit and self.loop.count:
            n = loop_take(&self.loop, self.frames_in, min(limit - taken, <int>IN_FRAMES))
            with nogil:
                take_in(&self.stack, &self.own, self.frames_in, n, True)
            taken += n
        return taken

    cdef int take_packets(self, int limit) except -1:
        # The engine's own packets have half of a turn at most: others are not to wait for them.
        cdef int looped = self._take_looped((limit + 1) // 2), linked = self.take_linked(limit - looped)
        heard_poll(&self.stack, looped + linked, linked < limit - looped and self.loop.count == 0)
        return looped + linked

    cdef int take_linked(self, int limit) except -1:
        cdef int taken = 0, n, want, i
        while taken < limit:
            want = limit - taken if limit - taken < IN_FRAMES else IN_FRAMES
            for i in range(want):
                self.frames_in[i].length = FRAME_ROOM
            with nogil:
                n = self.link.read_frames(self.frames_in, want, self.stack.now_us)
                take_in(&self.stack, &self.own, self.frames_in, n, False)
            taken += n
            if n < want:
                break
        self.stack.counters[C_LINK_REFUSED] = self.link.refused
        return taken

    cdef int send_packets(self, bint all_of_it) except -1:
        cdef int sent = 0, accepted, used, i
        cdef uint32_t lost = 0
        cdef bint more = True
        # What leaves now leaves after all that was read; after a while only the link knows if that is all.
        if self.stack.behind == 0 and not (heard_late(&self.stack) and self.link.waiting()):
            heard_until(&self.stack, self.stack.now_us)
        while more and (all_of_it or sent < SENT_AT_ONCE):
            with nogil:
                more = not _fill(&self.stack, &self.out)
                used = self.out.count
                if self.own.self_connected:
                    sent += loop_divert(&self.loop, &self.own, &self.out, &lost)
                accepted = self.link.write_frames(self.out.frames, self.out.count, self.stack.now_us)
            self.stack.counters[C_LINK_DROPS] += self.out.count - accepted
            sent += self.out.count
            for i in range(used if self.link.offload else 0):
                frame_plain(&self.out.frames[i])
            self.out.count = 0
            self.out.bytes = 0
        self.stack.counters[C_LINK_DROPS] += lost
        return sent

    cdef int64_t due_us(self) except -2:
        """When the next turn is due; -1: never.  The past: at once."""
        cdef stack_t *s = &self.stack
        cdef int64_t due = self.link.next_time_us(), timer
        cdef uint32_t when = 0
        if s.falls_seen != s.pressure.falls or s.relief.walking or self.loop.count:
            return s.now_us
        if s.output.count or s.reply_count or s.tray_used or s.sweeping or s.to_wake or throttle_due(s):
            return s.now_us
        if s.started and timers_due(s, &when):
            # Millisecond ticks: due when the tick begins.
            timer = (s.now_us // 1000 + <int>(when - s.now_ms)) * 1000
            if due < 0 or timer < due:
                due = timer
        timer = holding_due_us(s)
        return timer if 0 <= timer and (due < 0 or timer < due) else due

    cdef int sweep(self, uint32_t rows) except -1:
        with nogil:
            members_sweep(&self.stack, rows)
        while self.sweeps and group_swept(&self.stack, self.sweeps[0]):
            self.sweeps.popleft()
        if self.ending:
            self.ending = [row for row in self.ending if not self._return_buffer(row)]
        return 0

    cdef int _return_buffer(self, uint32_t row) except -1:
        """The receive buffer of a closed pool, when its last connection has been ended: they hold nothing."""
        cdef pool_row_t *p = &self.stack.pools[row]
        if p.sweeping:
            return False
        arena_return(&self.stack.arena, p.chunks.rows, <size_t>p.chunks.capacity * sizeof(chunk_t))
        p.chunks.capacity = p.chunks.used = p.chunks.fresh = 0
        p.chunks.free = NONE
        p.references -= 1
        return True

    cdef int reap(self) except -1:
        cdef stack_t *s = &self.stack
        cdef uint32_t row
        while s.ended.count:
            row = s.ended.head
            list_remove(&s.ended, <char *>&s.groups[0].waiting, sizeof(group_row_t), row)
            s.pools[s.groups[row].pool_row].references -= 1
            group_return(s, row)
        return 0


cdef inline void _fetch_following(const stack_t *s) noexcept nogil:
    """Asks the processor for the connection after the next that has something to send."""
    cdef uint32_t row = active_at(s, s.output.head).output.next
    if row == END:
        return
    slab_fetch_row(&s.records, active_at(s, row).slot)
    row = active_at(s, row).output.next
    if row != END:
        slab_fetch_row(&s.actives, row)


cdef bint _fill(stack_t *s, out_t *out) noexcept nogil:
    """Fills frames from replies, then from connections; True when nothing is left to send."""
    cdef conn_t c
    if not output_replies(s, out) or not icmp_output(s, out):
        return False
    while s.output.count:
        _fetch_following(s)
        conn_load(&c, s, active_at(s, s.output.head).slot)
        if not output_connection(&c, out):
            return False
    return True


cdef int pressure_configure(pressure_t *p, const slab_t *chunks, object thresholds, int64_t now_us) except -1:
    cdef double[3] shares
    shares[0] = thresholds.frozen
    shares[1] = thresholds.withholding
    shares[2] = thresholds.discarding
    pressure_set(p, chunks.capacity, shares, thresholds.hysteresis, chunks.used, now_us)
    return 0


cdef int _open_table(
    arena_t *arena, slab_t *slab, uint32_t stride, uint32_t rows, uint32_t generation_at
) except -1:
    """A table of rows in an extent of its own."""
    slab_open(slab, arena_take(arena, <size_t>rows * stride), stride, rows, generation_at, NULL)
    return 0


cdef int _open_arena(stack_t *s, config) except -1:
    """Every table of the engine, as extents of one reservation."""
    cdef uint32_t rows = config.max_connections, half = config.max_half_open, wait = config.max_time_wait
    cdef uint32_t chunks = config.transmit_buffer // sizeof(chunk_t)
    cdef uint32_t slots = _power_of_two(max(2 * <uint64_t>rows, (<uint64_t>rows + half + wait) * 4 // 3))
    cdef arena_t *arena = &s.arena
    cdef void *slots_at
    arena_open(arena, config.arena_limit)
    _open_table(arena, &s.records, sizeof(record_t), rows, 24)
    arena_spread(s.records.rows, <size_t>rows * sizeof(record_t))
    # Behind the records, where as a rule a huge page begins; spread before it is cleared, which commits it.
    slots_at = arena_take(arena, <size_t>slots * SLOT_BYTES)
    arena_spread(slots_at, <size_t>slots * SLOT_BYTES)
    index_open(&s.index, slots_at, slots)
    s.user_timeouts = <uint32_t *>arena_take(arena, <size_t>rows * sizeof(uint32_t))
    s.relief.stalls = <stall_t *>arena_take(arena, <size_t>rows * sizeof(stall_t))
    _open_table(arena, &s.actives, sizeof(active_t), rows, 0)
    _open_table(arena, &s.recoveries, sizeof(recovery_t), rows, 0)
    # No timer runs before a first `now` is known, but blocks are leased: `connect` needs one.
    wheel_open(&s.wheel, <char *>&active_at(s, 0).timer, sizeof(active_t), 0)
    _open_table(arena, &s.half_opens, sizeof(half_open_t), half, 24)
    _open_table(arena, &s.payloads, sizeof(chunk_t), chunks, 0)
    pressure_open(&s.pressure, 0)
    pressure_configure(&s.pressure, &s.payloads, config.pressure, 0)
    # A broadcast needs an extent a connection and hardly any payload.
    _open_table(arena, &s.extents, sizeof(extent_t), chunks + rows, 0)
    _open_table(arena, &s.locals, sizeof(local_row_t), LOCALS, 0)
    index_open(&s.local_index, arena_take(arena, LOCAL_SLOTS * SLOT_BYTES), LOCAL_SLOTS)
    s.time_waits = <time_wait_t *>arena_take(arena, <size_t>wait * sizeof(time_wait_t))
    s.time_wait_capacity = wait
    s.groups = <group_row_t *>arena_take(arena, MAX_GROUPS * sizeof(group_row_t))
    slab_open(&s.group_rows, s.groups, sizeof(group_row_t), MAX_GROUPS, 0, NULL)
    s.pools = <pool_row_t *>arena_take(arena, MAX_POOLS * sizeof(pool_row_t))
    s.listeners = <uint16_t *>arena_take(arena, 65_536 * sizeof(uint16_t))
    memset(s.listeners, 0xFF, 65_536 * sizeof(uint16_t))
    s.replies = <segment_t *>arena_take(arena, REPLIES * sizeof(segment_t))
    s.tray = <uint8_t *>arena_take(arena, TRAY_BYTES)
    s.paths.rows = <path_t *>arena_take(arena, PATHS * sizeof(path_t))
    s.paths.narrowed = <narrowed_t *>arena_take(arena, NARROWED * sizeof(narrowed_t))
    _open_table(arena, &s.fast_opens.texts, sizeof(syn_text_t), SYN_TEXTS, 0)
    list_clear(&s.output)
    list_clear(&s.reports)
    list_clear(&s.holding)
    list_clear(&s.signals)
    list_clear(&s.ended)
    for i in range(11):
        list_clear(&s.answered[i])
    for i in range(PRIORITIES):
        list_clear(&s.waiting[i])
    return 0
