"""The stack of a name: found if it runs, else started from a configuration, else an error that helps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.descriptors import open_descriptors
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import ClientFactory, Factory
from twisted.python import log
from twisted.python.log import textFromEventDict

from tests.reactor.conftest import Logged
from tests.reactor.located import CONFIG, configured
from tests.reactor.world import HandReactor, World
from xtcp_twisted.errors import ConfigurationError
from xtcp_twisted.reactor.loading import load
from xtcp_twisted.reactor.locate import LocatedStack, locate
from xtcp_twisted.reactor.port import Binding
from xtcp_twisted.reactor.service import XTCPService
from xtcp_twisted.reactor.stack import running, stackFor


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current one; no configuration is anywhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XTCP_CONFIG", raising=False)
    monkeypatch.setattr("xtcp_twisted.reactor.locate.PLACES", ("xtcp.toml", str(tmp_path / "etc/xtcp.toml")))
    (tmp_path / "etc").mkdir()
    return tmp_path


@pytest.fixture
def reactor(logged: Logged) -> Iterator[HandReactor]:
    made = HandReactor()
    yield made
    made.fireShutdown()


def test_one_that_runs_is_found(world: World, folder: Path) -> None:
    assert locate(world.reactor) is world.stack


def test_one_that_does_not_is_started_once(reactor: HandReactor, folder: Path) -> None:
    configured(folder)
    stack = locate(reactor)
    assert stack is locate(reactor) is stackFor(reactor)
    assert stack.engine.config.addresses == ("192.0.2.1", "2001:db8::1")
    assert [pool.name for pool in (stack.pool(), stack.pool("web"))] == ["main", "web"]


def test_the_port_that_starts_it_is_logged_first(reactor: HandReactor, folder: Path) -> None:
    """Who watches what a port that opens logs finds what every port logs; the stack tells of itself next."""
    configured(folder)
    events: list[dict[str, Any]] = []
    log.addObserver(events.append)
    try:
        LocatedStack(reactor).listen(Factory(), Binding(port=7))
        reactor.turn()
    finally:
        log.removeObserver(events.append)
    texts = [textFromEventDict(event) for event in events]
    assert texts[0] == "Factory starting on 7"
    assert texts[-1] == (
        "XTCP stack 'default' runs as xtcp.toml says, without its groups and console; it answers for"
        " 192.0.2.1, 2001:db8::1"
    )


@pytest.mark.parametrize("place", ["named.toml", "xtcp.toml", "etc/xtcp.toml"])
def test_the_configuration_may_be_in_three_places(
    reactor: HandReactor, folder: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured(folder, place)
    if place == "named.toml":
        monkeypatch.setenv("XTCP_CONFIG", str(folder / place))
    assert locate(reactor).pool("web") is not None


def test_each_place_comes_before_those_behind_it(
    reactor: HandReactor, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, address in (("named.toml", 1), ("xtcp.toml", 2), ("etc/xtcp.toml", 3)):
        configured(folder, place, CONFIG.replace("192.0.2.1", f"192.0.2.{address}"))
    monkeypatch.setenv("XTCP_CONFIG", str(folder / "named.toml"))
    for address, gone in ((1, None), (2, None), (3, "xtcp.toml")):
        if gone:
            (folder / gone).unlink()
        stack = locate(reactor)
        assert stack.engine.config.addresses[0] == f"192.0.2.{address}"
        stack.stop()
        monkeypatch.delenv("XTCP_CONFIG", raising=False)


def test_a_named_one_has_a_file_of_its_name(reactor: HandReactor, folder: Path) -> None:
    configured(folder, "xtcp-blue.toml", CONFIG.replace("192.0.2.1", "192.0.2.7"))
    configured(folder)
    blue, other = locate(reactor, "blue"), locate(reactor)
    assert blue is not other
    assert blue.engine.config.addresses[0] == "192.0.2.7"
    assert stackFor(reactor, "blue") is blue


def test_without_any_the_error_says_where_it_looked_and_what_to_write(
    reactor: HandReactor, folder: Path
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        locate(reactor)
    text = str(refused.value)
    assert f"$XTCP_CONFIG is not set; {folder}/xtcp.toml does not exist; {folder}/etc/xtcp.toml does" in text
    assert "'twistd xtcp'" in text
    example = text[text.index("    [link]") : text.index("where link.addresses")]
    configured(folder, text=example)
    assert load("xtcp.toml", groups=False).engine.addresses == ("10.77.0.2",)
    with pytest.raises(ConfigurationError, match=r"xtcp-blue\.toml does not exist"):
        locate(reactor, "blue")


def test_a_bad_one_is_refused_whole(reactor: HandReactor, folder: Path) -> None:
    configured(folder, text=CONFIG.replace("1024", "5").replace('"web"', '"main"'))
    with pytest.raises(ConfigurationError) as refused:
        locate(reactor)
    assert "'default' is refused:\n  engine.max_connections: 5 is not allowed" in str(refused.value)
    assert running(reactor) is None


@pytest.mark.parametrize("name", ["", "a b", "../etc", "a.b"])
def test_a_name_is_no_path(name: str) -> None:
    with pytest.raises(ConfigurationError, match="is not allowed; give a name of letters"):
        LocatedStack(HandReactor(), name)


def test_groups_and_console_are_left_to_twistd(reactor: HandReactor, folder: Path) -> None:
    """Their applications are not even imported, and nothing listens but what was asked for."""
    group = '[[group]]\nname = "gone"\nport = 7\nprotocol = "no.such.Thing"\n[console]\nport = 1\n'
    configured(folder, text=CONFIG + group)
    assert [pool.groups for pool in locate(reactor).engine.snapshot().pools] == [(), ()]


def test_nothing_is_looked_for_before_it_is_used(folder: Path) -> None:
    reactor = HandReactor()
    stack = LocatedStack(reactor)
    with pytest.raises(CannotListenError, match="no XTCP stack called 'default' runs"):
        stack.listen(Factory(), Binding(port=7))
    with pytest.raises(ConfigurationError, match="no XTCP stack called 'default' runs"):
        stack.connect("192.0.2.9", 7, ClientFactory())
    configured(folder)
    port = stack.listen(Factory(), Binding(port=7), "web")
    assert port.getHost().port == 7
    reactor.fireShutdown()


def test_what_does_not_exist_cannot_be_listened_on(reactor: HandReactor, folder: Path) -> None:
    configured(folder)
    with pytest.raises(CannotListenError, match="no pool is called 'wbe'; there are: 'main', 'web'"):
        LocatedStack(reactor).listen(Factory(), Binding(port=7), "wbe")


def test_a_link_that_cannot_be_opened_leaves_nothing_behind(folder: Path) -> None:
    reactor = HandReactor()
    configured(folder, text=CONFIG.replace('kind = "memory"', f'namespace = "{folder}/none"'))
    before = open_descriptors()
    with pytest.raises(CannotListenError, match="none"):
        LocatedStack(reactor).listen(Factory(), Binding(port=7))
    assert open_descriptors() == before
    assert running(reactor) is None and not reactor.triggers


def test_the_end_of_the_reactor_ends_it(folder: Path) -> None:
    """No descriptor is left, and one that is asked for afterwards is another."""
    reactor = HandReactor()
    configured(folder)
    before = open_descriptors()
    stack = locate(reactor)
    stack.listen(Factory(), Binding(port=7))
    reactor.fireShutdown()
    assert stack.stopped and stack.engine.closed and reactor.readers == []
    assert open_descriptors() == before
    again = locate(reactor)
    assert again is not stack
    again.stop()


def test_a_service_is_found_as_soon_as_it_has_its_link(reactor: HandReactor, folder: Path) -> None:
    """Strings of services beside it listen before any group does."""
    settings = load(str(configured(folder)), groups=False)
    service = XTCPService(settings, reactor=reactor, stackName="blue")
    assert running(reactor, "blue") is None
    service.privilegedStartService()
    assert locate(reactor, "blue") is service.stack


def test_its_end_waits_for_what_is_in_flight(folder: Path, recwarn: pytest.WarningsRecorder) -> None:
    """In a reactor of Twisted, which tells who has asked for it before it shuts down."""
    configured(folder)
    reactor = EPollReactor()
    stack = locate(reactor)
    seen: list[bool] = []
    reactor.addSystemEventTrigger("during", "shutdown", lambda: seen.append(stack.stopped))
    reactor.callWhenRunning(reactor.stop)
    reactor.run(installSignalHandlers=False)
    assert seen == [True]
    assert [str(warning.message) for warning in recwarn] == []
