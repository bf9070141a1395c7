"""One descriptor that is readable when `poll` is due.

An epoll instance over the link's descriptor, an eventfd for work that was
queued outside of a turn, and a timerfd for the next deadline.  Made when
`Engine.fileno` is first asked for; a program that drives the engine by hand
pays nothing.

While packets come one by one, a turn for each costs more than the packets do.  So the
link's descriptor may rest after a turn that had some, for a time that is counted
from the turn's beginning (as cards do with their interrupts, ethtool's rx-usecs):
the timer makes the next turn then.  A turn without packets ends that, so what comes
to an engine that is idle is taken in at once.
"""

from libc.errno cimport errno
from libc.stdint cimport int64_t, uint32_t, uint64_t
from posix.fcntl cimport F_DUPFD_CLOEXEC, fcntl
from posix.time cimport CLOCK_MONOTONIC, itimerspec, timespec
from posix.unistd cimport close, read, write

import os

cdef extern from "<sys/eventfd.h>" nogil:
    int eventfd(unsigned int initial, int flags)
    int EFD_NONBLOCK
    int EFD_CLOEXEC

cdef extern from "<sys/timerfd.h>" nogil:
    int timerfd_create(int clock, int flags)
    int timerfd_settime(int fd, int flags, const itimerspec *new, itimerspec *old)
    int TFD_NONBLOCK
    int TFD_TIMER_ABSTIME
    int TFD_CLOEXEC

cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        int fd
    cdef struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_create1(int flags)
    int epoll_ctl(int epoll, int operation, int fd, epoll_event *event)
    int EPOLL_CLOEXEC
    int EPOLL_CTL_ADD
    int EPOLL_CTL_MOD
    uint32_t EPOLLIN


cdef int new_eventfd() except -1:
    """A non-blocking eventfd, at zero; never 0, since the ids of groups are positive (Fig. 4)."""
    cdef int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), zero
    if fd == 0:
        # A process may run without a standard input.
        zero = fd
        fd = fcntl(zero, F_DUPFD_CLOEXEC, 1)
        close(zero)
    if fd < 0:
        raise OSError(errno, os.strerror(errno))
    return fd


cdef class Waiting:
    """The engine's descriptor and what it waits for."""

    def __cinit__(self, int link_fd, int64_t coalesce_us=0):
        self.link_fd = link_fd
        self.coalesce_us = coalesce_us
        self.work_fd = self.timer_fd = self.epoll_fd = -1
        self.armed_us = -1
        self.work_fd = new_eventfd()
        self.timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)
        self.epoll_fd = epoll_create1(EPOLL_CLOEXEC)
        if self.timer_fd < 0 or self.epoll_fd < 0:
            raise OSError(errno, os.strerror(errno))
        for fd in (self.work_fd, self.timer_fd, link_fd):
            if fd >= 0:
                self.watch(fd)

    cdef int watch(self, int fd) except -1:
        """Become readable while `fd` is, too."""
        cdef epoll_event event
        event.events = EPOLLIN
        event.data.fd = fd
        if epoll_ctl(self.epoll_fd, EPOLL_CTL_ADD, fd, &event):
            raise OSError(errno, os.strerror(errno))
        return 0

    cdef int64_t rest(self, bint more, int64_t due_us, int64_t begun_us) except -2:
        """A turn ends: let the link's descriptor rest, or watch it again.

        :param more: whether the turn found packets, so that others may follow.
        :param due_us: when the next turn is due for other reasons; -1: never.
        :param begun_us: when this turn began.
        :returns: when the next turn is due, with this one.
        """
        cdef epoll_event event
        cdef int64_t until = begun_us + self.coalesce_us
        if self.coalesce_us == 0 or self.link_fd < 0:
            return due_us
        if more != self.resting:
            event.events = 0 if more else EPOLLIN
            event.data.fd = self.link_fd
            if epoll_ctl(self.epoll_fd, EPOLL_CTL_MOD, self.link_fd, &event):
                raise OSError(errno, os.strerror(errno))
            self.resting = more
        return until if more and (due_us < 0 or until < due_us) else due_us

    def __dealloc__(self):
        for fd in (self.epoll_fd, self.timer_fd, self.work_fd):
            if fd >= 0:
                close(fd)

    cdef int signal(self) except -1:
        """Make the descriptor readable at once."""
        cdef uint64_t one = 1
        if not self.signalled:
            self.signalled = True
            write(self.work_fd, &one, 8)
        return 0

    cdef int clear(self, int64_t now_us) except -1:
        """A turn begins: what was signalled, and what was due by now, is being dealt with."""
        cdef uint64_t count
        if self.signalled:
            self.signalled = False
            read(self.work_fd, &count, 8)
        # Should the kernel be late with it, a later turn reads it.
        if 0 <= self.armed_us <= now_us and read(self.timer_fd, &count, 8) == 8:
            self.armed_us = -1
        return 0

    cdef int arm(self, int64_t due_us, int64_t now_us) except -1:
        """Become readable at `due_us` of CLOCK_MONOTONIC, at once if it is not after `now_us`; -1: never.

        The timer is moved only to an earlier time, as the nodes of the wheel are: most deadlines (of
        held acknowledgements, of retransmissions) are gone before they are due, and a turn that finds
        nothing to do is cheaper than a system call in each.
        """
        cdef itimerspec when
        if 0 <= due_us <= now_us:
            self.signal()
            return 0
        if due_us < 0 or now_us < self.armed_us <= due_us:
            return 0
        when.it_interval = timespec(0, 0)
        when.it_value = timespec(due_us // 1_000_000, due_us % 1_000_000 * 1000)
        timerfd_settime(self.timer_fd, TFD_TIMER_ABSTIME, &when, NULL)
        self.armed_us = due_us
        return 0
