"""The how-to pages: their programs and commands, run as a reader would run them."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import pages
from support.patience import PATIENCE_S
from twisted.internet import interfaces, task
from zope.interface.verify import verifyObject

from xtcp_twisted.lab import Lab

from .conftest import Application


def blocks(page: str, words: str) -> list[str]:
    """Of a how-to page; see `support.pages`."""
    return pages.blocks(f"docs/howto/{page}", words)


@pytest.mark.parametrize("page", ["http.md", "tls.md"])
def test_commands(lab: Lab, tmp_path: Path, page: str) -> None:
    (prepare,), (server,), (client,) = (blocks(page, kind) for kind in ("sh", "sh server", "sh client"))
    lab.run(["sh", "-euc", prepare], cwd=tmp_path, timeout=PATIENCE_S, check=True, capture_output=True)
    application = Application(lab, tmp_path, *server.split(), configuration=blocks(page, "toml")[0])
    seen = application.run("sh", "-euc", client, text=True)
    assert seen.stdout == blocks(page, "text")[0]
    application.stop()


def test_the_program_of_a_site(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "hello.txt").write_text("hello")
    (tmp_path / "program.py").write_text(blocks("http.md", "python")[0])
    application = Application(lab, tmp_path, "program.py", configuration=blocks("http.md", "toml")[0])
    assert application.run("curl", "-sS", "http://10.77.0.2/hello.txt").stdout == b"hello"
    application.stop()


@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL .* is deprecated:DeprecationWarning")
def test_the_program_of_tls_endpoints(
    certificates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (certificates / "xtcp.pem").rename(tmp_path / "site.pem")
    monkeypatch.chdir(tmp_path)
    names = {"reactor": task.Clock()}
    exec(blocks("tls.md", "python")[0], names)
    verifyObject(interfaces.IStreamServerEndpoint, names["server"])
    verifyObject(interfaces.IStreamClientEndpoint, names["client"])
