"""A private network for tests, benchmarks and demonstrations: see `xtcp_twisted.lab.lab`.

``python -m xtcp_twisted.lab --help`` runs any program in a lab, next to an engine.
"""

from xtcp_twisted.lab.lab import CLIENT_ADDRESSES, ENGINE_ADDRESSES, ENGINE_V4, ENGINE_V6, Lab

__all__ = ["CLIENT_ADDRESSES", "ENGINE_ADDRESSES", "ENGINE_V4", "ENGINE_V6", "Lab"]
