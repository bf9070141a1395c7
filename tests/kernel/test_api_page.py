"""The program of docs/api.md, run as a reader would run it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

import pytest
from support.pages import ROOT, block

from xtcp_twisted.lab import Lab

pytestmark = pytest.mark.feature("P25", "P26")

PROGRAM = block("docs/api.md", "python")


def start(lab: Lab, program: str) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return lab.popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_it_waits_for_a_client(lab: Lab) -> None:
    """Told of the request of a kernel client it ends, and the group is in the set."""
    patient = PROGRAM.replace(" 10.0)", " 600.0)")
    program = start(lab, f"{patient}    print(list(acceptgds) == [gd])\n")
    deadline = time.monotonic() + 60
    while program.poll() is None:
        assert time.monotonic() < deadline
        with lab.call(socket.socket) as client:
            client.settimeout(1)
            client.connect_ex(("10.77.0.2", 5222))
    said, errors = program.communicate()
    assert (said.split(), program.returncode) == (["True"], 0), errors


def test_it_says_what_is_wrong(lab: Lab) -> None:
    """A port that is none: the sentence, and nothing is waited for."""
    program = start(lab, PROGRAM.replace("5222", "-1"))
    said, errors = program.communicate(timeout=60)
    assert (said, program.returncode) == ("", 1)
    assert errors.strip() == "port: -1 is not allowed; give an integer from 0 to 65535"
