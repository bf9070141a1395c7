"""STARTTLS: the SMTP server of twisted.mail, and the client of Python's own library."""

from __future__ import annotations

import smtplib
import ssl
from pathlib import Path

import pytest
from support.patience import PATIENCE_S

from . import mail_drop
from .conftest import HOST, Application, Start

pytestmark = pytest.mark.feature("P33")


def started(start: Start, folder: Path, certificates: Path) -> Application:
    letters = folder / "letters"
    letters.mkdir()
    pem = str(certificates / "xtcp.pem")
    return start(mail_drop.__file__, "xtcp:25", pem, str(letters), capture=True)


def secured(server: Application) -> smtplib.SMTP:
    """A client that has asked for TLS and trusts whom it speaks to."""
    client: smtplib.SMTP = server.lab.call(smtplib.SMTP, HOST, 25, timeout=PATIENCE_S)
    client.starttls(context=ssl.create_default_context(cafile=str(server.folder / "ca.pem")))
    return client


def test_letters_after_starttls(start: Start, tmp_path: Path, certificates: Path) -> None:
    """Two on one connection, the second of two megabytes."""
    server = started(start, tmp_path, certificates)
    with secured(server) as client:
        assert client.sock.version().startswith("TLS")  # type: ignore[union-attr]
        client.sendmail("bob@example", "alice@example", "Subject: one\r\n\r\nshort")
        long = "Subject: two\r\n\r\n" + "\r\n".join(f"line {n} " + "x" * 60 for n in range(30_000))
        client.sendmail("bob@example", "carol@example", long)
    assert (tmp_path / "letters" / "alice").read_text() == "Subject: one\n\nshort"
    assert (tmp_path / "letters" / "carol").read_text() == long.replace("\r\n", "\n")
    server.stop()


def test_clients_that_die(start: Start, tmp_path: Path, certificates: Path) -> None:
    """One in its handshake, one in a letter; the next letter arrives."""
    server = started(start, tmp_path, certificates)
    rude = server.connect(25)
    rude.sendall(b"EHLO rude\r\nSTARTTLS\r\n")
    heard = b""
    while b"Begin TLS" not in heard:
        heard += rude.recv(1_000)
    rude.sendall(bytes.fromhex("1603010200010001fc"))
    server.reset(rude)
    torn = secured(server)
    torn.mail("bob@example")
    torn.rcpt("alice@example")
    torn.docmd("DATA")
    torn.send(b"half a let")
    assert torn.sock is not None
    assert torn.file is not None
    torn.file.close()
    server.reset(torn.sock)
    assert not (tmp_path / "letters" / "alice").exists()
    with secured(server) as client:
        client.sendmail("bob@example", "alice@example", "Subject: three\r\n\r\nwhole")
    assert (tmp_path / "letters" / "alice").read_text() == "Subject: three\n\nwhole"
    server.stop()
