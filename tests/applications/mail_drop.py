"""An SMTP server of twisted.mail that takes any letter, after STARTTLS; each becomes a file of the folder.

python tests/applications/mail_drop.py xtcp:25 certificates/xtcp.pem letters
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from twisted.internet import endpoints, task
from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Factory
from twisted.internet.ssl import PrivateCertificate
from twisted.mail.interfaces import IMessageDelivery, IMessageSMTP
from twisted.mail.smtp import ESMTP, User
from zope.interface import implementer


@implementer(IMessageSMTP)
class Letter:
    """One letter on its way into a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: list[bytes] = []

    def lineReceived(self, line: bytes) -> None:
        self._lines.append(line)

    def eomReceived(self) -> Deferred[None]:
        self._path.write_bytes(b"\n".join(self._lines))
        return succeed(None)

    def connectionLost(self) -> None:
        """It is lost with the connection."""


@implementer(IMessageDelivery)
class Drop:
    """Takes letters for everybody."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def receivedHeader(self, helo: Any, origin: Any, recipients: Any) -> bytes:
        return b""

    def validateFrom(self, helo: Any, origin: Any) -> Any:
        return origin

    def validateTo(self, user: User) -> Any:
        return lambda: Letter(self._folder / user.dest.local.decode())


async def main(reactor: Any, string: str, pem: str, folder: str) -> None:
    options = PrivateCertificate.loadPEM(Path(pem).read_bytes()).options()

    def serve() -> ESMTP:
        made = ESMTP(contextFactory=options)
        made.delivery = Drop(Path(folder))
        made.host = b"xtcp.example"
        return made

    await endpoints.serverFromString(reactor, string).listen(Factory.forProtocol(serve))  # type: ignore[arg-type]
    await Deferred()


if __name__ == "__main__":
    task.react(main, sys.argv[1:])
