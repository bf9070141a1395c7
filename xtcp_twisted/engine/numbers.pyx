"""The numbers that whoever serves one connection keeps of it, without an object for each.

A million connections have a million owners, and an integer of Python takes 32 bytes.
Here the id, the peer, a session number and the owner's flags take 32 together.  The
peer is kept because the engine's row is another connection's as soon as this one has ended.
"""

from cpython.object cimport PyObject
from cpython.ref cimport Py_CLEAR
from libc.stdint cimport uint16_t, uint32_t, uint64_t, uint8_t
from libc.string cimport memcpy, memset

from xtcp_twisted.engine.report cimport host_and_port
from xtcp_twisted.wire.codec cimport pack_address

cdef extern from *:
    PyObject **_PyObject_GetDictPtr(object) noexcept


cdef class Numbers:
    """Base class of those who own a connection; a subclass has slots of its own.

    :param cd: the connection's id.
    :param peer: ``(host, port)`` of its other end; None where that has no address.
    :param flags: 16 bits of the owner's.
    :param sessionno: 32 bits of the owner's.
    :ivar _peer: ``(host, port)``, made anew each time.
    """

    # For attributes that are not declared, as some applications set them.
    cdef dict __dict__
    cdef object __weakref__
    cdef uint8_t[16] address
    cdef readonly uint64_t cd
    cdef readonly uint32_t sessionno
    cdef public uint16_t _flags
    cdef uint16_t port

    def __cinit__(self):
        # Cython has made an empty dictionary (80 bytes); Python makes one when it is needed.
        cdef PyObject **place = _PyObject_GetDictPtr(self)
        Py_CLEAR(place[0])

    def __init__(self, uint64_t cd, tuple peer, uint16_t flags, uint32_t sessionno):
        cdef bytes packed
        self.cd = cd
        self._flags = flags
        self.sessionno = sessionno
        if peer is None:
            memset(self.address, 0, 16)
            self.port = 0
        else:
            packed = pack_address(peer[0])
            memcpy(self.address, <const uint8_t *>packed, 16)
            self.port = peer[1]

    @property
    def _peer(self):
        return host_and_port(self.address, self.port)
