from libc.stdint cimport int64_t


cdef int new_eventfd() except -1


cdef class Waiting:
    cdef int epoll_fd
    cdef int work_fd
    cdef int timer_fd
    cdef int link_fd
    cdef int64_t coalesce_us   # 0: the link's descriptor is watched always
    cdef bint resting          # it is not watched now
    cdef bint signalled
    cdef int64_t armed_us      # -1: not armed

    cdef int watch(self, int fd) except -1
    cdef int64_t rest(self, bint more, int64_t due_us, int64_t begun_us) except -2
    cdef int signal(self) except -1
    cdef int clear(self, int64_t now_us) except -1
    cdef int arm(self, int64_t due_us, int64_t now_us) except -1
