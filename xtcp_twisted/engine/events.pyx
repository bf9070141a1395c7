"""What happened since the last call: collected from the engine's lists for `Engine.events`."""

from libc.stdint cimport uint32_t

from xtcp_twisted.engine.group cimport Group
from xtcp_twisted.engine.ids cimport make_id
from xtcp_twisted.engine.kinds import EventKind
from xtcp_twisted.memory.links cimport END
from xtcp_twisted.tcp.close cimport conn_free
from xtcp_twisted.tcp.connection cimport conn_load, conn_reported, conn_settle, conn_t
from xtcp_twisted.tcp.flags cimport HALF_REPORTED
from xtcp_twisted.tcp.groups cimport MAX_GROUPS, PRIORITIES, group_row_t
from xtcp_twisted.tcp.layout cimport active_at, active_t, half_open_at, half_open_t, stack_t
from xtcp_twisted.tcp.sharing cimport request_seen, sharer_first, sharer_next
from xtcp_twisted.tcp.urgent cimport urgent_left

cdef enum:
    PENDING = 0                # EventKind.PENDING
    DATA = 2                   # EventKind.DATA
    URGENT = 3                 # EventKind.URGENT
    SOFT_ERROR = 7             # EventKind.SOFT_ERROR: from here on the kinds have a detail
    FIRST_END = 8              # EventKind.CLOSED: from here on they end a connection
    EVENT_KINDS = 11

cdef tuple KINDS = tuple(EventKind)


cdef class Events:
    """The events of one engine; `told` counts those of the present call.

    :param state: the engine's.
    """

    def __cinit__(self, State state not None):
        self.state = state

    cdef bint due(self) noexcept:
        cdef stack_t *s = &self.state.stack
        return s.reports.count != 0 or s.unreported != 0 or len(self.state.offers) != 0

    cdef void begin(self) noexcept:
        self.told = 0
        self.data_of = MAX_GROUPS

    cdef int tell(self, object found, int kind, gd, cd, detail) except -1:
        cdef list told
        self.told += 1
        if type(found) is list:
            (<list>found).append((KINDS[kind], gd, cd, detail))
            return 0
        told = (<dict>found).get(gd)
        if told is None:
            told = (<dict>found)[gd] = []
        if kind != DATA:
            told.append((KINDS[kind], cd, detail))
        return 0

    cdef int collect(self, object found, int limit) except -1:
        if self.state.stack.unreported:
            self._requests(found, limit)
        if self.state.offers:
            self._offers(found, limit)
        while self.state.stack.reports.count and self.told < limit:
            self._connection(found, self.state.stack.reports.head)
        return 0

    cdef int _requests(self, object found, int limit) except -1:
        cdef stack_t *s = &self.state.stack
        cdef group_row_t *g
        cdef half_open_t *h
        cdef uint32_t row
        cdef int priority
        for priority in range(PRIORITIES):
            row = s.waiting[priority].head
            while row != END:
                g = &s.groups[row]
                while g.unreported != END and self.told < limit:
                    h = half_open_at(s, g.unreported)
                    if not h.flags & HALF_REPORTED:
                        self._request(found, row, g.unreported)
                        h.flags |= HALF_REPORTED
                        s.unreported -= 1
                    g.unreported = h.link.next
                row = g.waiting.next
        return 0

    cdef int _request(self, object found, uint32_t holder, uint32_t half_open_row) except -1:
        cdef half_open_t *h = half_open_at(&self.state.stack, half_open_row)
        cdef uint32_t row = sharer_first(&self.state.stack, holder)
        cdef list told = []
        cdef Group group
        while row != MAX_GROUPS:
            if request_seen(&self.state.stack, row, h):
                group = self.state.group_objects[row]
                told.append(group._descriptor())
            row = sharer_next(&self.state.stack, holder, row)
        # All of them hear of it, or (for lack of a descriptor) none does yet.
        for gd in told:
            self.tell(found, PENDING, gd, make_id(h.generation, half_open_row), 0)
        return 0

    cdef int _offers(self, object found, int limit) except -1:
        cdef Group group
        while self.state.offers and self.told < limit:
            row, pending_id = self.state.offers[0]
            group = self.state.group_objects.get(row)
            if group is not None and not group.closed and group._sees(pending_id):
                self.tell(found, PENDING, group._descriptor(), pending_id, 0)
            self.state.offers.popleft()
        return 0

    cdef int _connection(self, object found, uint32_t active_row) except -1:
        cdef active_t *a = active_at(&self.state.stack, active_row)
        cdef uint32_t events = a.events
        cdef int kind, detail
        cdef uint32_t urgent, told
        cdef conn_t c
        cdef Group group
        conn_load(&c, &self.state.stack, a.slot)
        if events == 1 << DATA and c.r.group_row == self.data_of:  # `found` tells already
            self.told += 1
            conn_reported(&c)
            conn_settle(&c)
            return 0
        if events >> FIRST_END:
            # The detail is that of the end, which says it all.
            events &= ~<uint32_t>(1 << SOFT_ERROR)
        detail = a.detail
        urgent = urgent_left(&c)
        group = self.state.group_objects[c.r.group_row]
        gd = 0 if group.closed else group._descriptor()
        conn_reported(&c)
        if events == 1 << DATA and not group.closed and type(found) is dict:
            self.tell(found, DATA, gd, None, 0)
            self.data_of = c.r.group_row
        elif not group.closed:
            cd = make_id(c.r.generation, c.slot)
            for kind in range(EVENT_KINDS):
                if events >> kind & 1:
                    told = detail if kind >= SOFT_ERROR else urgent if kind == URGENT else 0
                    self.tell(found, kind, gd, cd, told)
        if events >> FIRST_END:
            conn_free(&c)
        else:
            conn_settle(&c)
        return 0
