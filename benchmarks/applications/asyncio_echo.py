"""The same echo on asyncio: ``asyncio_echo.py asyncio|uvloop PORT``.

By protocol and transport: streams take several times as long, and a `BufferedProtocol`, which has to copy
into `bytes` what it sends back, is no faster.  Both loops set TCP_NODELAY by themselves.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast


class Echo(asyncio.Protocol):
    """Sends back what it receives."""

    __slots__ = ("transport",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, as Twisted does for its protocols."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer at once."""
        self.transport.write(data)


async def serve(port: int) -> None:
    """Listen on all addresses, for ever."""
    server = await asyncio.get_running_loop().create_server(Echo, "0.0.0.0", port, backlog=65_535)
    await server.serve_forever()


if __name__ == "__main__":
    if sys.argv[1] == "uvloop":
        import uvloop

        uvloop.run(serve(int(sys.argv[2])))
    else:
        asyncio.run(serve(int(sys.argv[2])))
