"""An open lab, and processes to try things out in."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import xtcp_twisted

ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(xtcp_twisted.__file__).parents[1])}


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start Python with arguments, in a session of its own; killed and reaped after the test."""
    started: list[subprocess.Popen[str]] = []

    def start_python(*arguments: str, **options: Any) -> subprocess.Popen[str]:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(
            [sys.executable, *arguments],
            text=True,
            env=ENVIRONMENT,
            start_new_session=True,
            **(pipes | options),
        )
        started.append(process)
        return process

    yield start_python
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
