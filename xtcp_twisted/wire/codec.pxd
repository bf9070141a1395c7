from libc.stdint cimport uint8_t


cdef str host(const uint8_t *address)
cpdef bytes pack_address(str text)
cpdef str unpack_address(bytes address)
