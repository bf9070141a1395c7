"""A console behind Flask's test client, with visitors."""

from __future__ import annotations

import pytest
from support.door import Console, Visitor


@pytest.fixture
def console() -> Console:
    return Console()


@pytest.fixture
def visitor(console: Console) -> Visitor:
    return console.visitor()


@pytest.fixture
def viewer(console: Console) -> Visitor:
    return console.viewer()
