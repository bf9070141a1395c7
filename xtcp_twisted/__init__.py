"""A million mostly quiet TCP connections in one Twisted process (WO 02/091709)."""

__version__ = "0.1.0"
