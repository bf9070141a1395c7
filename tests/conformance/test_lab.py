"""Suites of Twisted in processes of their own in the lab, where the stack has a device."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from conformance.conftest import CONFIG

from xtcp_twisted.lab import Lab

HERE = Path(__file__).parent
#: Whole modules that hardly wait for anything; docs/twisted.md has what others do.
SUITES = (
    "twisted.test.test_tcp",
    "twisted.test.test_ssl",
    "twisted.test.test_ftp",
    "twisted.test.test_amp",
    "twisted.test.test_policies",
    "twisted.web.test.test_newclient",
    "twisted.web.test.test_webclient",
    "twisted.protocols.test.test_tls",
)
#: What is skipped where clients are the kernel's, for the reasons that `groups` gives.
NOT_OF_KERNEL_CLIENTS = {
    "test_buildProtocolIPv4Address",
    "test_buildProtocolIPv6Address",
    "test_buildProtocolIPv6AddressScopeID",
    "test_closePeerOnEMFILE",
    "test_portGetHostOnIPv6ScopeID",
    "test_resumeProducing",
    "test_serverAddressTCP6",
    "test_serverGetHostOnIPv4",
    "test_serverGetHostOnIPv6",
    "test_serverGetHostOnIPv6ScopeID",
    "test_serverGetPeerOnIPv4",
    "test_serverGetPeerOnIPv6",
    "test_serverGetPeerOnIPv6ScopeID",
    "test_stopStartReading",
}
DEVICE = 'addresses = ["10.77.0.1/16", "fd77::1/64"]'
LONGEST_S = 300


def run(lab: Lab, folder: Path, reactor: str, *names: str) -> dict[str, Any]:
    """What `outcomes` writes down of a run in the lab."""
    config = folder / "tun.toml"
    config.write_text(CONFIG.replace('kind = "memory"', DEVICE), "utf-8")
    paths = [str(HERE.parents[1]), str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    file, log = folder / "outcomes.json", folder / "outcomes.log"
    with log.open("wb") as output:
        process = lab.popen(
            [sys.executable, str(HERE / "outcomes.py"), reactor, str(file), *names],
            cwd=folder,
            env={**os.environ, "XTCP_CONFIG": str(config), "PYTHONPATH": os.pathsep.join(paths)},
            stdout=output,
            stderr=output,
        )
        status = process.wait(LONGEST_S)
    assert status == 0, log.read_text("utf-8")[-4_000:]
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return found


def others(found: dict[str, Any]) -> dict[str, str]:
    """The tests that did not pass."""
    return {test: outcome for test, outcome in found["tests"].items() if outcome != "ok"}


@pytest.mark.timeout(LONGEST_S + 30)
def test_suites_of_twisted(lab: Lab, tmp_path: Path) -> None:
    found = run(lab, tmp_path, "xtcp", *SUITES)
    assert others(found) == {}
    assert len(found["tests"]) > 600
    assert found["accepted"] > 200, "the tests have not gone through XTCP"


@pytest.mark.timeout(LONGEST_S + 30)
def test_clients_of_the_kernel(lab: Lab, tmp_path: Path) -> None:
    found = run(lab, tmp_path, "epoll", "conformance.kernel_clients")
    assert {(test.rpartition(".")[2], outcome) for test, outcome in others(found).items()} == {
        (test, "skipped") for test in NOT_OF_KERNEL_CLIENTS
    }
    assert len(found["tests"]) == 50
