"""Up to when all that came to the link has been read: the time that silence is judged by.

A process that got no processor for a while finds in its link what came meanwhile,
acknowledgements among it.  By the clock, timers would run out although what they wait
for is there: answers would be sent again, their copies be acknowledged, and a server
that has fallen behind falls behind further.  So who is sent something again, or given
up, because nothing was heard of him, is judged by `heard_us`; what is owed to others,
such as held acknowledgements, by the clock.

It is the time of the last poll that left nothing in the link, or of a flush when nothing
has come since.  While polls leave something it moves on with what is read, since packets
wait in their order: when what left at a time is acknowledged, all that came before that
time has been read; and no queue is longer than MOST_WAITING.  So with packets waiting for
ever losses are repaired, too, later by as long as packets wait.

Knows times and counts; must not know links or connections.
"""

from libc.stdint cimport int64_t, uint32_t

from xtcp_twisted.tcp.layout cimport stack_t

cdef enum:
    MOST_WAITING = 262_144     # packets
    # A turn that took no longer was not held up: nobody repeats within it what it had read at its beginning
    # (the least timeout of a sender is four times that).
    WHOLE_TURN_US = 50_000


cdef inline void heard_until(stack_t *s, int64_t us) noexcept nogil:
    """What had come by then has been read."""
    if us > s.heard_us:
        s.heard_us = us
        s.heard_ms = <uint32_t>(us // 1000)


cdef inline void heard_poll(stack_t *s, uint32_t taken, bint everything) noexcept nogil:
    """A poll has taken in so many packets; `everything`: none is left in the link."""
    if everything:
        s.behind = 0
        heard_until(s, s.now_us)
        return
    if s.behind == 0:
        s.behind_us = s.now_us
    s.behind += taken
    if s.behind > MOST_WAITING:
        heard_until(s, s.behind_us)
        s.behind_us = s.now_us
        s.behind = taken


cdef inline bint heard_late(const stack_t *s) noexcept nogil:
    """Whether what is there may be more than a turn's: the last poll was long ago."""
    return s.now_us - s.heard_us > WHOLE_TURN_US
