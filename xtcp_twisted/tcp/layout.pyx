"""What tests and tools may know of the arena's structures."""

#: Whether this is the debug build (``XTCP_DEBUG=1`` when it was compiled).
DEBUG = bool(XTCP_DEBUG)


def sizes():
    """Bytes of each structure that lives in the arena, by name."""
    return {
        "record": sizeof(record_t),
        "active": sizeof(active_t),
        "half_open": sizeof(half_open_t),
        "time_wait": sizeof(time_wait_t),
        "extent": sizeof(extent_t),
        "chunk": sizeof(chunk_t),
    }
