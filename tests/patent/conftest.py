"""Where the patent's claims are carried out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.calls import Calls
from support.net import Net
from support.peer import Client
from support.worlds import Machine, Scripted, World

from xtcp_twisted.lab import Lab


@pytest.fixture
def method(net: Net) -> World:
    """Where a claimed method is carried out."""
    return Scripted(net)


@pytest.fixture
def apparatus(lab: Lab) -> Iterator[World]:
    """A machine that was enabled to."""
    made = Machine(lab)
    yield made
    made.close()


@pytest.fixture
def calls(net: Net) -> Calls:
    """An application server with one pool."""
    return Calls(net)


@pytest.fixture(params=["bounded", "application"])
def gd(request: pytest.FixtureRequest, calls: Calls) -> int:
    """A group of either policy that leaves the acknowledgement to the application."""
    return calls.open(7, ack_policy=request.param)


@pytest.fixture
def client(calls: Calls, gd: int) -> Client:
    """One open connection of it."""
    return calls.connect(gd)
