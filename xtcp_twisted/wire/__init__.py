"""Wire formats: bytes to fields and back.  Knows no connection, no clock and no link."""
