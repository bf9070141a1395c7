"""The timing wheel; see wheel.pxd.

A row far ahead sits in a coarse slot and falls to finer ones as its time comes
near, so arming and disarming cost the same whatever the number of rows.
"""

from libc.stdint cimport int32_t, uint32_t, uint64_t

from xtcp_twisted.memory.links cimport END, UNLINKED

cdef extern from *:
    int __builtin_ctzll(uint64_t value) noexcept nogil


cdef void wheel_open(wheel_t *wheel, char *nodes, uint32_t stride, uint32_t now) noexcept nogil:
    cdef int i
    wheel.nodes = nodes
    wheel.stride = stride
    wheel.tick = now
    wheel.count = 0
    for i in range(WHEEL_LEVELS * WHEEL_SLOTS):
        wheel.heads[i] = END
    for i in range(WHEEL_LEVELS * 4):
        wheel.filled[i] = 0


cdef uint32_t _slot_of(const wheel_t *wheel, uint32_t deadline) noexcept nogil:
    """Level and slot for a deadline, as an index of `heads`."""
    cdef uint32_t ahead = deadline - wheel.tick
    if ahead < 1 << 8:
        return deadline & 255
    if ahead < 1 << 16:
        return 256 + ((deadline >> 8) & 255)
    if ahead < 1 << 24:
        return 512 + ((deadline >> 16) & 255)
    return 768 + (deadline >> 24)


cdef void _link(wheel_t *wheel, uint32_t row) noexcept nogil:
    cdef node_t *node = wheel_node(wheel, row)
    cdef uint32_t when = node.deadline
    if <int32_t>(when - wheel.tick) < 0:
        when = wheel.tick
    cdef uint32_t slot = _slot_of(wheel, when)
    node.next = wheel.heads[slot]
    node.previous = END
    if node.next != END:
        wheel_node(wheel, node.next).previous = row
    wheel.heads[slot] = row
    wheel.filled[slot >> 6] |= 1ULL << (slot & 63)


cdef void _unlink(wheel_t *wheel, uint32_t row) noexcept nogil:
    cdef node_t *node = wheel_node(wheel, row)
    cdef uint32_t slot
    if node.next != END:
        wheel_node(wheel, node.next).previous = node.previous
    if node.previous != END:
        wheel_node(wheel, node.previous).next = node.next
    else:
        slot = _head_slot(wheel, row, node.deadline)
        wheel.heads[slot] = node.next
        if node.next == END:
            wheel.filled[slot >> 6] &= ~(1ULL << (slot & 63))
    node.next = UNLINKED


cdef uint32_t _head_slot(const wheel_t *wheel, uint32_t row, uint32_t deadline) noexcept nogil:
    """The slot whose first row this is: one of four, since rows fall from level to level."""
    if wheel.heads[deadline & 255] == row:
        return deadline & 255
    if wheel.heads[256 + ((deadline >> 8) & 255)] == row:
        return 256 + ((deadline >> 8) & 255)
    if wheel.heads[512 + ((deadline >> 16) & 255)] == row:
        return 512 + ((deadline >> 16) & 255)
    if wheel.heads[768 + (deadline >> 24)] == row:
        return 768 + (deadline >> 24)
    # Armed when already overdue: it lies at the tick of that moment, not later than now.
    return wheel.tick & 255


cdef void wheel_arm(wheel_t *wheel, uint32_t row, uint32_t deadline) noexcept nogil:
    cdef node_t *node = wheel_node(wheel, row)
    if <int32_t>(deadline - wheel.tick) < 0:
        # An overdue deadline is one of the present tick, so that its slot can be found again.
        deadline = wheel.tick
    if node.next != UNLINKED:
        if <int32_t>(deadline - node.deadline) >= 0:
            return
        _unlink(wheel, row)
        wheel.count -= 1
    node.deadline = deadline
    wheel.count += 1
    _link(wheel, row)


cdef void wheel_disarm(wheel_t *wheel, uint32_t row) noexcept nogil:
    if wheel_node(wheel, row).next != UNLINKED:
        _unlink(wheel, row)
        wheel.count -= 1


cdef void _fall(wheel_t *wheel, uint32_t slot) noexcept nogil:
    """Every row of a coarse slot finds its place anew."""
    cdef uint32_t row = wheel.heads[slot], following
    wheel.heads[slot] = END
    wheel.filled[slot >> 6] &= ~(1ULL << (slot & 63))
    while row != END:
        following = wheel_node(wheel, row).next
        _link(wheel, row)
        row = following


cdef void _enter(wheel_t *wheel, uint32_t tick) noexcept nogil:
    """Move to `tick`; at the edge of a coarse slot, its rows fall."""
    wheel.tick = tick
    if tick & 255:
        return
    if not tick & 0xFFFF:
        if not tick & 0xFFFFFF:
            _fall(wheel, 768 + (tick >> 24))
        _fall(wheel, 512 + ((tick >> 16) & 255))
    _fall(wheel, 256 + ((tick >> 8) & 255))


cdef int _first_filled(const wheel_t *wheel, int level, uint32_t start, bint wrap) noexcept nogil:
    """Distance from `start` to the first filled slot of a level; -1: none (before the wrap)."""
    cdef uint32_t distance = 0, at = start, word_index
    cdef uint64_t word
    while distance < 256:
        if not wrap and distance and not at:
            return -1
        word_index = level * 4 + (at >> 6)
        word = wheel.filled[word_index] >> (at & 63)
        if word:
            distance += __builtin_ctzll(word)
            return <int>distance if distance < 256 else -1
        distance += 64 - (at & 63)
        at = (at + 64 - (at & 63)) & 255
    return -1


cdef uint32_t wheel_pop(wheel_t *wheel, uint32_t now) noexcept nogil:
    cdef uint32_t row, tick
    cdef int distance
    while <int32_t>(now - wheel.tick) >= 0:
        if wheel.count == 0:
            wheel.tick = now + 1
            return END
        row = wheel.heads[wheel.tick & 255]
        if row != END:
            _unlink(wheel, row)
            wheel.count -= 1
            return row
        distance = _first_filled(wheel, 0, wheel.tick & 255, False)
        tick = wheel.tick + <uint32_t>distance if distance > 0 else (wheel.tick | 255) + 1
        if <int32_t>(tick - now) > 1:
            tick = now + 1
        _enter(wheel, tick)
    return END


cdef bint wheel_next(const wheel_t *wheel, uint32_t *when) noexcept nogil:
    cdef int level, distance
    cdef uint32_t at, candidate
    cdef bint found = False
    if wheel.count == 0:
        return False
    for level in range(WHEEL_LEVELS):
        at = wheel.tick >> (8 * level)
        # The present coarse slot has fallen already: what is in it is a whole turn away.
        distance = _first_filled(wheel, level, (at + (1 if level else 0)) & 255, True)
        if distance < 0:
            continue
        candidate = (at + <uint32_t>distance + (1 if level else 0)) << (8 * level)
        if not found or <int32_t>(candidate - when[0]) < 0:
            when[0] = candidate
            found = True
    return found
