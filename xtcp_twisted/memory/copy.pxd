"""Copies into chunks.

Where the compiler can tell that a copy is short it makes a string instruction of it (``rep
movs``), which takes longer to begin than the library takes for all of a chunk.  So
the length is hidden from it.
"""

cdef extern from *:
    """
    #ifndef XTCP_COPY
    #define XTCP_COPY
    #include <string.h>
    static inline void xtcp_copy(void *to, const void *from, size_t length)
    {
        __asm__("" : "+r"(length));
        memcpy(to, from, length);
    }
    #endif
    """
    void copy_piece "xtcp_copy"(void *to, const void *source, size_t length) noexcept nogil
