"""The table ``[reactor]`` of the configuration: what ``--reactor=xtcp`` does with TCP.

Knows `xtcp_twisted.checks` only.
"""

from __future__ import annotations

from typing import Final

import attrs

from xtcp_twisted.checks import check, one_of

#: Who listens at loopback addresses.
LOOPBACKS: Final = ("kernel", "engine")


@attrs.frozen(kw_only=True)
class ReactorSettings:
    """``[reactor]``: what the installed reactor (``--reactor=xtcp``) gives to this stack."""

    #: Who listens where `listenTCP` names a loopback address: `kernel`, so that other processes of the
    #: machine can connect, or `engine`, which then only this process can.  In both cases a connection to a
    #: loopback address goes to a port of the engine, if this process has one there, else to the kernel.
    loopback: str = attrs.field(default="kernel", validator=one_of(*LOOPBACKS))
    #: The pool of its ports and connections; the first without it.
    pool: str | None = attrs.field(
        default=None,
        validator=check("a pool's name", lambda v: v is None or (isinstance(v, str) and v != "")),
    )
