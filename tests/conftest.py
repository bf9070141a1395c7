"""Fixtures and settings of the whole suite.

`net` is an engine on virtual time with its scripted peers (`support.net`); the
ladder of its packets is printed when a test fails.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent))

if TYPE_CHECKING:
    from support.net import Net

    from xtcp_twisted.lab import Lab

_COMMON: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
}
settings.register_profile("dev", max_examples=30, **_COMMON)
settings.register_profile("ci", max_examples=60, derandomize=True, print_blob=True, **_COMMON)
settings.register_profile("soak", max_examples=2_000, **_COMMON)
settings.load_profile("dev")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--debug-build", action="store_true", help="fail if the package is not the debug build")
    parser.addoption("--offload", action="store_true", help="links of `net` leave segmentation to a card")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--offload"):
        from support.net import Net

        Net.offload = True
    config.addinivalue_line("markers", "feature(*ids): rows of the feature matrix that the test proves")
    if config.getoption("--debug-build"):
        from xtcp_twisted.tcp import layout

        if not layout.DEBUG:
            raise pytest.UsageError("--debug-build: this is the release build; build with XTCP_DEBUG=1")


def _running() -> list[Net]:
    module = sys.modules.get("support.net")
    return module.Net.running if module is not None else []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report: Any = yield
    if report.when == "call" and report.failed and _running():
        report.sections.append(("packet ladder", str(_running()[-1].ladder)))
    return report


@pytest.fixture(autouse=True)
def _forget_nets() -> Iterator[None]:
    _running().clear()
    yield
    _running().clear()


@pytest.fixture
def make_net() -> Iterator[Callable[..., Net]]:
    """A maker of nets that are closed, and found without leaks, at the end of the test."""
    from support.leaks import assert_no_leaks
    from support.net import Net

    made: list[Net] = []

    def make(**config: Any) -> Net:
        made.append(Net(**config))
        return made[-1]

    yield make
    for net in made:
        assert_no_leaks(net)
        net.close()


@pytest.fixture
def net(make_net: Callable[..., Net]) -> Net:
    """The usual net: 192.0.2.1 and 2001:db8::1, MTU 1500."""
    return make_net()


@pytest.fixture
def lab() -> Iterator[Lab]:
    """An open lab; the test is skipped where the rights for one are missing."""
    from xtcp_twisted.errors import ResourceError
    from xtcp_twisted.lab import Lab

    with ExitStack() as open_lab:
        try:
            made = open_lab.enter_context(Lab())
        except ResourceError as error:
            pytest.skip(str(error))
        yield made
