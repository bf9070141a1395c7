"""RFC 9293 and its companions, one file per mechanism.  No I/O and no clock."""
