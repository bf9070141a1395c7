"""A program of Twisted's as a daemon on the installed reactor: the stack starts after the fork."""

from __future__ import annotations

import os
import signal
import sys
import urllib.request
from pathlib import Path

from conformance.conftest import CONFIG
from conformance.test_lab import DEVICE
from support.patience import PATIENCE_S, until

from xtcp_twisted.lab import Lab


def test_a_web_server_as_a_daemon(lab: Lab, tmp_path: Path) -> None:
    config, pid, log = tmp_path / "xtcp.toml", tmp_path / "pid", tmp_path / "log"
    config.write_text(CONFIG.replace('kind = "memory"', DEVICE), "utf-8")
    (tmp_path / "page.txt").write_text("from user space", "utf-8")
    twistd = [str(Path(sys.executable).parent / "twistd"), "--reactor=xtcp"]
    files = [f"--pidfile={pid}", f"--logfile={log}"]
    process = lab.popen(
        [*twistd, *files, "web", "--listen=tcp:80", f"--path={tmp_path}"],
        cwd=tmp_path,
        env={**os.environ, "XTCP_CONFIG": str(config)},
    )
    assert process.wait(PATIENCE_S) == 0  # it has gone into the background
    until(lambda: log.exists() and "Site starting on 80" in log.read_text("utf-8"))
    try:
        with lab.call(urllib.request.urlopen, "http://10.77.0.2/page.txt", timeout=PATIENCE_S) as answer:
            assert answer.read() == b"from user space"
    finally:
        os.kill(int(pid.read_text("utf-8")), signal.SIGTERM)
    until(lambda: not pid.exists())
    text = log.read_text("utf-8")
    assert "reactor class: xtcp_twisted.reactor.installed.XTCPReactor" in text
    assert "Server Shut Down" in text
    assert "Unhandled" not in text
    assert "Traceback" not in text
