"""A complete echo server without Twisted: the calls of the patent's Fig. 4 and a plain loop.

python -m examples.select_loop        # as root: it makes the TUN device xtcp0; then: nc 10.77.0.2 7
"""

from __future__ import annotations

from xtcp_twisted.api import PF_INET, SOCK_STREAM, ApplicationServer, xtcp_cd, xtcp_set
from xtcp_twisted.config import EngineConfig, MiB
from xtcp_twisted.engine import Engine
from xtcp_twisted.link import TunLink


def serve(server: ApplicationServer, port: int) -> int:
    """Echo until something fails; the errno, negative."""
    server.xtcp_initialize(16 * MiB)
    if (gd := server.xtcp_open_group(PF_INET, SOCK_STREAM, 0, port)) < 0:
        return gd
    cd, buf = xtcp_cd(), bytearray(MiB)  # more than one connection may hold of the pool
    full: set[int] = set()  # clients that do not read: a rest of what they said is to be echoed
    ended: set[int] = set()  # clients that have said all they will
    while True:
        readgds, acceptgds, writegds = xtcp_set([gd]), xtcp_set([gd]), xtcp_set([gd])
        if (ready := server.xtcp_select(3, readgds, acceptgds, writegds=writegds)) < 0:
            return ready
        while gd in acceptgds and server.xtcp_accept(gd) > 0:
            pass
        while gd in writegds and server.xtcp_writable(gd, cd) == 0:
            server.xtcp_need(gd, cd.value, 1)  # what found no room is to be received again
        while gd in readgds and (size := server.xtcp_recv(gd, cd, buf)) >= 0:
            taken = max(server.xtcp_send(gd, cd.value, 0, buf, size), 0)
            server.xtcp_send(gd, cd.value, taken, None, 0)  # acknowledged is what has been echoed
            if size == 0:
                ended.add(cd.value)
            else:
                (full.add if taken < size else full.discard)(cd.value)
            if cd.value in ended - full:
                server.xtcp_close(gd, cd.value)
                ended.discard(cd.value)
        ended.discard(cd.value)  # a connection that has failed, or 0
        full.discard(cd.value)


if __name__ == "__main__":
    config = EngineConfig(addresses=("10.77.0.2",))  # type: ignore[arg-type]
    server = ApplicationServer(Engine(TunLink("xtcp0", addresses=["10.77.0.1/16"]), config))
    serve(server, 7)
    print(server.error)
