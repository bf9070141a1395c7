"""Connection pools: a shared receive buffer and the groups that use it (P01, P02, P12)."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset

import socket

from xtcp_twisted.config import GroupOptions, PressureThresholds
from xtcp_twisted.config import THROTTLINGS
from xtcp_twisted.engine.demux cimport is_own
from xtcp_twisted.engine.group cimport Group
from xtcp_twisted.engine.listening cimport free_port, listening_start
from xtcp_twisted.engine.options cimport options_open
from xtcp_twisted.engine.state cimport pressure_configure
from xtcp_twisted.engine.unix_group import UnixGroup
from xtcp_twisted.errors import AddressNotAvailable, LocalError, PoolClosed, PoolExhausted
from xtcp_twisted.memory.arena cimport arena_take
from xtcp_twisted.memory.links cimport list_clear
from xtcp_twisted.memory.slab cimport NONE, slab_open, slab_take
from xtcp_twisted.tcp.groups cimport (
    GROUP_ANY_ADDRESS,
    GROUP_SHARE,
    GROUP_V4,
    GROUP_V6,
    VARIANT_DISCARD,
    VARIANT_WITHHOLD,
    group_row_t,
    pool_row_t,
)
from xtcp_twisted.tcp.layout cimport chunk_t
from xtcp_twisted.tcp.pressure cimport pressure_open
from xtcp_twisted.tcp.readiness cimport group_return
from xtcp_twisted.wire.codec cimport pack_address
from xtcp_twisted.wire.segment cimport is_mapped

cdef enum:
    LEAST_POOL = 65_536        # bytes
    SWEPT_NOW = 4_096          # records that closing a pool visits at once

_DOMAINS = {socket.AF_INET: GROUP_V4, socket.AF_INET6: GROUP_V6, socket.AF_UNSPEC: GROUP_V4 | GROUP_V6}
_DEFAULTS = GroupOptions()
_VARIANTS = {
    "both": VARIANT_WITHHOLD | VARIANT_DISCARD,
    "withhold": VARIANT_WITHHOLD,
    "discard": VARIANT_DISCARD,
}
if tuple(_VARIANTS) != THROTTLINGS:
    raise AssertionError("config.py and pool.pyx disagree")


def check_thresholds(thresholds):
    """LocalError unless they are `PressureThresholds`, which check themselves."""
    if not isinstance(thresholds, PressureThresholds):
        raise LocalError(f"thresholds: {thresholds!r} is not allowed; give PressureThresholds(...)")


def check_throttling(throttling):
    """LocalError unless it is one of `config.THROTTLINGS`."""
    if not isinstance(throttling, str) or throttling not in _VARIANTS:
        raise LocalError(
            f"throttling: {throttling!r} is not allowed; give one of " + ", ".join(map(repr, _VARIANTS))
        )


cdef int open_buffer(State state, uint32_t row, object size) except -1:
    """Takes the extent of a pool's receive buffer."""
    cdef pool_row_t *p = &state.stack.pools[row]
    cdef uint32_t chunks = size // sizeof(chunk_t)
    memset(p, 0, sizeof(pool_row_t))
    slab_open(
        &p.chunks,
        arena_take(&state.stack.arena, <size_t>chunks * sizeof(chunk_t)),
        sizeof(chunk_t),
        chunks,
        0,
        NULL,
    )
    pressure_open(&p.pressure, state.stack.now_us)
    list_clear(&p.throttled)
    p.size = size
    p.references = 1
    return 0


cdef class Pool:
    """A connection pool, made by `Engine.create_pool`.

    :ivar name: as it was given.
    :ivar row: of the engine's table of pools.
    :ivar serial: the engine counts its pools and groups: a row used anew has another one.
    :ivar size: bytes of its receive buffer.
    :ivar thresholds: where its pressure states begin, `PressureThresholds`.
    :ivar throttling: what they do to received packets, one of `config.THROTTLINGS`.
    :ivar closed: whether it was torn down.
    :ivar engine: the `Engine` that it is of.
    """

    def __init__(self, engine, State state, uint32_t row, size, name, thresholds, throttling):
        if not isinstance(size, int) or not LEAST_POOL <= size <= 1 << 39:
            raise LocalError(f"size: {size!r} is not allowed; give an integer from {LEAST_POOL:,} to 2**39")
        check_thresholds(thresholds)
        check_throttling(throttling)
        self.engine = engine
        self.state = state
        self.row = row
        self.size = size
        self.name = name
        self.members = {}
        open_buffer(state, row, size)
        self._use_thresholds(thresholds)
        self._use_throttling(throttling)
        state.serial += 1
        self.serial = state.serial

    def __repr__(self):
        return f"<Pool {self.name!r} of {self.size:,} bytes{' closed' if self.closed else ''}>"

    cdef pool_row_t *_open_row(self) except NULL:
        if self.closed:
            raise PoolClosed(f"pool {self.name!r} is closed")
        self.state.check_open()
        return &self.state.stack.pools[self.row]

    # --- pressure (P27 to P30) -----------------------------------------------

    cdef int _use_thresholds(self, thresholds) except -1:
        cdef pool_row_t *p = &self.state.stack.pools[self.row]
        self.thresholds = thresholds
        pressure_configure(&p.pressure, &p.chunks, thresholds, self.state.stack.now_us)
        return 0

    def set_thresholds(self, thresholds):
        """Change where the pressure states of the receive buffer begin and end, from now on.

        The state goes on from the present one: it rises at the new thresholds, and ends the new
        hysteresis below the one where it begins.

        :param thresholds: `PressureThresholds`.
        """
        self._open_row()
        check_thresholds(thresholds)
        self._use_thresholds(thresholds)
        self.state.note_work()

    cdef int _use_throttling(self, throttling) except -1:
        cdef pool_row_t *p = &self.state.stack.pools[self.row]
        self.throttling = throttling
        p.variants = _VARIANTS[throttling]
        return 0

    def set_throttling(self, throttling):
        """Change what pressure does to received packets, from now on; who was held back is looked at again.

        :param throttling: "withhold" (variant 1: acknowledgements wait), "discard" (variant 2:
            payload is discarded unseen) or "both".  That acknowledgements are processed in any
            case (variant 3) cannot be changed.
        """
        cdef pool_row_t *p = self._open_row()
        check_throttling(throttling)
        self._use_throttling(throttling)
        p.to_visit = p.throttled.count
        self.state.note_work()

    def groups(self):
        """The open groups of this pool, in the order in which they were opened."""
        return tuple(self.members)

    def _forget(self, Group group):
        del self.members[group]
        self.state.shown.pop(group.serial, None)
        self.state.group_objects.pop(group.row, None)
        self.state.group_objects[group.row] = group

    def open_group(
        self,
        port,
        *,
        address=None,
        domain=socket.AF_INET,
        name=None,
        share=False,
        path=None,
        mode=0o600,
        options=_DEFAULTS,
    ):
        """Open a connection group on a port (P03, Fig. 6b), or on the path of a Unix socket (P31).

        :param port: 1 to 65535, or 0 for a free one; 0 for a Unix socket.
        :param address: one of the engine's addresses; None is all of the domain.
        :param domain: AF_INET, AF_INET6, AF_UNSPEC for both, or AF_UNIX.
        :param name: its name in snapshots; None makes one.
        :param share: other groups that say so, too, of any pool, may listen there as well; each sees the
            requests, the first to accept one takes it (P06).
        :param path: where the Unix socket is; one that begins with a NUL is a name without a file.
        :param mode: permissions of its file: who may write to it may connect.
        :param options: preferences of its connections (`GroupOptions`).
        :raises AddressInUse: another group listens there, and it or this one does not share.
        :raises AddressNotAvailable: the address is not the engine's; no socket can be made at the path.
        :raises PoolExhausted: there are too many groups, or the process may open no more descriptors.
        """
        cdef uint32_t row
        self._open_row()
        if domain == socket.AF_UNIX:
            return self._open_unix(port, address, share, path, mode, name, options)
        if path is not None:
            raise LocalError(f"path: {path!r} is for Unix sockets; give domain=AF_UNIX with it, or a port")
        domain, packed = self._check_binding(port, address, domain, share, options)
        row = slab_take(&self.state.stack.group_rows)
        if row == NONE:
            raise PoolExhausted("there are 65,535 groups already; close one")
        options_open(&self.state.stack.groups[row], options)
        if share:
            self.state.stack.groups[row].flags |= GROUP_SHARE
        return self._open(row, port, address, packed, domain, name, options)

    def _check_binding(self, port, address, domain, share, options):
        """The domain and the packed address; everything that may be wrong with them is."""
        if not isinstance(port, int) or not 0 <= port <= 65535:
            raise LocalError(f"port: {port!r} is not allowed; give an integer from 0 to 65535")
        if domain not in _DOMAINS:
            raise LocalError(
                f"domain: {domain!r} is not allowed; give AF_INET, AF_INET6, AF_UNSPEC or AF_UNIX"
            )
        if not isinstance(share, bool):
            raise LocalError(f"share: {share!r} is not allowed; give True or False")
        if not isinstance(options, GroupOptions):
            raise LocalError(f"options: {options!r} is not allowed; give GroupOptions(...)")
        if address is None:
            return domain, None
        try:
            packed = pack_address(address)
        except ValueError:
            raise AddressNotAvailable(f"address: {address!r} is no IP address") from None
        if not is_own(&self.state.own, <const uint8_t *>(<bytes>packed)):
            raise AddressNotAvailable(
                f"address: {address} is not one of this engine's; they are set in EngineConfig.addresses"
            )
        # One of IPv4 may be written as an address of IPv6 (RFC 4291 section 2.5.5.2).
        return socket.AF_INET if is_mapped(<const uint8_t *>(<bytes>packed)) else socket.AF_INET6, packed

    def _open(self, uint32_t row, port, address, packed, domain, name, options):
        """The rest of open_group once everything is known to be allowed."""
        cdef group_row_t *g = &self.state.stack.groups[row]
        cdef Group group = Group.__new__(Group)
        g.pool_row = <uint16_t>self.row
        g.flags |= _DOMAINS[domain]
        if packed is None:
            g.flags |= GROUP_ANY_ADDRESS
        else:
            memcpy(g.address, <const uint8_t *>(<bytes>packed), 16)
        g.tokens_at_us = self.state.stack.now_us
        try:
            g.port = <uint16_t>(port or free_port(self.state))
            listening_start(self.state, row)
        except LocalError:
            group_return(&self.state.stack, row)
            raise
        group.state = self.state
        group.row = row
        self.state.serial += 1
        group.serial = self.state.serial
        group.pool = self
        group.name = name if name is not None else f"{self.name or 'pool'}:{g.port}"
        group.address = address
        group.domain = domain
        group.options = options
        self.state.stack.pools[self.row].references += 1
        self.state.group_objects[row] = group
        self.members[group] = None
        return group

    def _open_unix(self, port, address, share, path, mode, name, options):
        """The same for a Unix socket."""
        if port != 0 or address is not None or share:
            raise LocalError("port, address and share are not for Unix sockets; give port 0 and a path")
        if not isinstance(options, GroupOptions):
            raise LocalError(f"options: {options!r} is not allowed; give GroupOptions(...)")
        domain = self.engine._unix_sockets()
        group = UnixGroup(domain, self, path, mode, name, options, self.state.serial + 1)
        self.state.serial += 1
        self.members[group] = None
        self.engine._know_descriptor(group.fileno(), group)
        return group

    def forget_unix(self, group):
        """A Unix-socket group is closing."""
        del self.members[group]
        self.engine._forget_descriptor(group.fileno())

    def close(self):
        """Tear the pool down (P02): its groups and connections are closed, its buffer freed.

        Of a large pool the connections are ended in slices, the rest in the polls that follow; the
        buffer is freed with the last.
        """
        if self.closed:
            return
        self.state.check_open()
        for group in list(self.members):
            close_group(group, False)
        # What those of groups that were closed before hold has to go as well.
        self.engine._end_unix()
        self.closed = True
        self.engine._forget_pool(self)
        self.state.ending.append(self.row)
        self.state.sweep(SWEPT_NOW)
        self.state.reap()
        self.state.note_work()


cdef int close_group(object group, bint abort) except -1:
    if isinstance(group, Group):
        (<Group>group)._close(abort)
    else:
        group.close(abort)
    return 0
