"""The overview page: its figures come from the `View` and from nowhere else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest
from flask import render_template
from support import views

from xtcp_console import charts, formats, page
from xtcp_console.app import create_app
from xtcp_console.derive import derive
from xtcp_console.figures import PRESSURES, Event, Series, Span, Thresholds, View
from xtcp_console.links import Links
from xtcp_console.losses import LOSSES
from xtcp_console.sessions import Sessions
from xtcp_console.ticks import PRESSURE_COUNTERS
from xtcp_console.words import COUNTERS, VERDICTS

VOID = {"meta", "link", "input", "br"}
HOSTILE = "</script><img src=x onerror=alert(1)>"
MIB = 1 << 20


class Element:
    """An element of a page: its attributes and the text in it that is not hidden."""

    def __init__(self, tag: str, attributes: dict[str, str], parents: list[Element]) -> None:
        self.tag = tag
        self.attributes = attributes
        self.parents = parents
        self.pieces: list[str] = []

    @property
    def text(self) -> str:
        return " ".join("".join(self.pieces).replace("\u00a0", " ").split())

    @property
    def hidden(self) -> bool:
        return any("hidden" in each.attributes for each in [self, *self.parents])


class Document(HTMLParser):
    """A page as its elements."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(html)
        assert self._open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self._open.append(self.elements[-1])

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.elements.append(Element(tag, attributes, list(self._open)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        for element in reversed(self._open):
            element.pieces.append(data)
            if "hidden" in element.attributes:
                break

    def all(self, tag: str | None = None, **attributes: str) -> list[Element]:
        wanted = {name.strip("_").replace("_", "-"): value for name, value in attributes.items()}
        return [
            element
            for element in self.elements
            if (tag is None or element.tag == tag) and wanted.items() <= element.attributes.items()
        ]

    def one(self, tag: str | None = None, **attributes: str) -> Element:
        (element,) = self.all(tag, **attributes)
        return element

    def bound(self, binding: str) -> list[Element]:
        """The elements that one of whose bindings is this."""
        return [each for each in self.elements if binding in each.attributes.get("data-bind", "").split()]

    def figures(self, binding: str) -> set[str]:
        return {element.text for element in self.bound(f"text:{binding}")}

    @property
    def banners(self) -> list[str]:
        """The verdicts that can be seen."""
        sections = self.all("section", aria_label="Current condition")
        return [section.text for section in sections if not section.hidden]


Render = Callable[[View], Document]


@pytest.fixture(scope="module")
def show() -> Render:
    app = create_app(
        SimpleNamespace(view=None),
        Sessions(),
        Links("a-token-of-no-importance-0123456789"),
        SimpleNamespace(address="127.0.0.1", port=8088, hosts=()),
    )

    def render(view: View) -> Document:
        with app.test_request_context("/", base_url="http://127.0.0.1:8088"):
            return Document(render_template("overview.html", **page.context(view)))

    return render


@pytest.fixture
def plain(show: Render) -> Document:
    return show(views.view())


def with_tick(**changes: object) -> View:
    view = views.view()
    return replace(view, tick=replace(view.tick, **changes))


def pressed(receive: str = "open", transmit: str = "open", **figures: float) -> View:
    """A pool and a transmit buffer in these states; `figures` are the receive buffer's."""
    tick = views.view(state=receive).tick
    pool = replace(tick.pools["0"], receive=replace(tick.pools["0"].receive, **figures))
    sent = replace(tick.transmit, buffer=views.buffer(state=transmit))
    return with_tick(pools={"0": pool}, transmit=sent)


# --- Each figure from the view ----------------------------------------------------

FIGURES = {
    # Top bar, lede and key figures
    "engine.uptime_s:duration": "1:00:00",
    "engine.connections:integer": "1,000",
    "engine.max_connections:integer": "1,000,000",
    "now.connections:percent": "0.1 %",
    "engine.descriptors:integer": "12",
    "rates.requests_per_s:short": "120",
    "rates.in_bytes_per_s:byterate": "11.7 KiB/s",
    "rates.acks_piggybacked:percent": "98.7 %",
    "rates.acks_saved_per_s:short": "118",
    "transmit.unacked_bytes:octets": "2.00 KiB",
    "transmit.queued_bytes:octets": "1.00 KiB",
    "transmit.connections:short": "7",
    "rates.resends_per_s:short": "0",
    "rates.answers_per_s:short": "120",
    "engine.rss_bytes:octets": "100.0 MiB",
    "engine.bytes_per_connection:octets": "164 B",
    # Buffers
    "pools.0.receive.used:percent": "25.0 %",
    "pools.0.receive.used_bytes:octets": "16.0 MiB",
    "pools.0.receive.size_bytes:octets": "64.0 MiB",
    "pools.0.receive.pressure.state:word": "open",
    "pools.0.connections:integer": "1,000",
    "pools.0:largest": "largest group chat, 100 %",
    "now.thresholds.frozen:limit": "50 %",
    "now.thresholds.withholding:limit": "75 %",
    "now.thresholds.discarding:limit": "87.5 %",
    # Pressure, engine
    "now.worst.for_s:duration": "1 m 00 s",
    "now.worst.buffer.pressure.durations_s.open:duration": "1 m 00 s",
    "now.worst.buffer.pressure.entries.open:returns": "once again",
    "now.worst.buffer.pressure.entries.frozen:times": "never",
    "engine.cpu:percent0": "10 %",
    "engine.loop_delay_ms:milliseconds": "0.3 ms",
    "rates.opened_per_s:short": "1",
    "rates.closed_per_s:short": "1",
    "engine.active:short": "5",
    "engine.half_open:short": "1",
    "engine.time_wait:short": "2",
    "census.total:integer": "1,000",
    # Groups
    "groups.0.connections:integer": "1,000",
    "groups.0.pending:integer": "2",
    "groups.0.readable:integer": "3",
    "groups.0.requests_per_s:short": "120",
    "groups.0.acks_piggybacked:percent": "98.7 %",
    "groups.0.share:percent": "1.0 %",
    "groups.0.priority:word": "normal",
    "groups.0.pressure:word": "open",
    "pending:integer": "2",
    "readable:integer": "3",
}


@pytest.mark.parametrize("binding", FIGURES)
def test_a_figure_of_the_view(binding: str, plain: Document) -> None:
    assert plain.figures(binding) == {FIGURES[binding]}


def test_every_binding_leads_to_a_figure_in_a_known_format(plain: Document) -> None:
    live = page.Live({**views.tick().plain, "now": derive(views.tick().plain)})
    unknown = {"engine.reason", "now.verdict", "now.pressed", "now.counted"}
    specs = {spec for each in plain.elements for spec in each.attributes.get("data-bind", "").split()}
    assert len(specs) > 100
    for spec in specs:
        target, _, source = spec.partition(":")
        path, _, kind = source.partition(":")
        if target in page.CONDITIONAL:
            path, kind = path.partition("=")[0], "word"
        assert kind in formats.FORMATS
        assert (live.value(path) is None) is (path in unknown), path


def test_static_facts(plain: Document) -> None:
    assert plain.one("p", class_="node").text == "testhost 192.0.2.1 · up 1:00:00"
    assert "process 4711" in plain.one("h2", id="engine-title").parents[-1].text
    (pending,) = plain.bound("text:groups.0.pending:integer")
    cells = " ".join(pending.parents[-2].text.split())
    assert cells.startswith("chat :7 main defer normal 1,000 2 3 120")


@pytest.mark.feature("P31")
def test_a_unix_socket_has_a_path_and_no_port(show: Render) -> None:
    local = replace(views.group(), address="/run/im.sock", port=0)
    (pending,) = show(with_tick(groups={"0": local})).bound("text:groups.0.pending:integer")
    assert " ".join(pending.parents[-2].text.split()).startswith("chat /run/im.sock main")


def test_the_unknown_is_a_dash_or_left_out(show: Render) -> None:
    tick = views.tick()
    view = with_tick(
        rates=replace(tick.rates, acks_piggybacked=None),
        engine=replace(tick.engine, bytes_per_connection=None),
        groups={"0": replace(views.group(), acks_piggybacked=None)},
        pools={"0": replace(tick.pools["0"], largest=None, largest_share=None)},
        counters={"LinkDrops": 0},
    )
    document = show(view)
    for binding in (
        "rates.acks_piggybacked:percent",
        "engine.bytes_per_connection:octets",
        "groups.0.acks_piggybacked:percent",
    ):
        assert document.figures(binding) == {"–"}
    for binding in ("pools.0:largest", "pools.0.receive:growth", "pools.0.receive:forecast"):
        assert document.figures(binding) == {""}
    (counter,) = document.bound("if:now.counts.LinkDrops")
    assert counter.hidden
    (none,) = document.bound("unless:now.counted")
    assert not none.hidden


def test_only_counters_that_counted_are_shown(show: Render) -> None:
    document = show(with_tick(counters={"LinkDrops": 12, "TCPOFODrop": 0}))
    (counter,) = document.bound("if:now.counts.LinkDrops")
    assert counter.text == "Packets the link refused12"
    assert not counter.hidden
    assert document.bound("if:now.counts.TCPOFODrop")[0].hidden
    assert document.bound("unless:now.counted")[0].hidden


# --- Empty ------------------------------------------------------------------------


def test_an_engine_without_anything_has_a_sentence_for_each_lack(show: Render) -> None:
    view = with_tick(pools={}, groups={}, group_count=0, pending=0, readable=0, census=None)
    nothing = Series((), {})
    document = show(replace(view, occupancy=nothing, sparks=nothing, ribbon=(), events=()))
    empty = [each.text for each in document.all("p", class_="empty") if not each.hidden]
    assert [text.partition(":")[0] for text in empty] == [
        "No pools yet",
        "Not counted yet",
        "No groups yet",
        "No events yet",
    ]
    assert [path.attributes["d"] for path in document.all("path", class_="spark-line")] == [""] * 6
    assert document.banners == []


def test_there_is_no_such_sentence_when_there_is_something(plain: Document) -> None:
    assert all(each.hidden for each in plain.all("p", class_="empty"))


# --- Names are text -----------------------------------------------------------------


def test_names_are_text_and_no_markup(show: Render) -> None:
    view = views.view(HOSTILE, HOSTILE)
    view = replace(
        view,
        tick=replace(view.tick, engine=replace(view.tick.engine, host=HOSTILE)),
        events=(Event(1, views.THEN, "info", "group", None, HOSTILE, HOSTILE),),
    )
    document = show(view)
    assert document.all("img") == []
    scripts = document.all("script")
    assert [each.attributes["type"] for each in scripts] == ["module", "application/json"]
    seed = json.loads("".join(scripts[1].pieces))
    assert seed["tick"]["groups"]["0"]["name"] == HOSTILE
    assert document.one("title").text.startswith(f"Overview · {HOSTILE}")
    texts = [each.text for each in document.all("p", class_="text")]
    assert texts == [HOSTILE, ""]
    assert document.one("div", role="meter", aria_label=f"Receive buffer of pool {HOSTILE}")


def test_the_scripts_start_from_the_same_figures(plain: Document) -> None:
    seed = json.loads("".join(plain.one("script", id="seed").pieces))
    view = views.view()
    assert seed["tick"] == view.tick.plain
    assert seed["occupancy"]["columns"]["pools.0.receive.used"] == [0.2, 0.25]
    assert seed["ribbon"] == [[views.THEN - 60, views.THEN, "open"]]
    assert seed["event"] == 1


# --- Buffers and pressure -----------------------------------------------------------


@pytest.mark.parametrize("state", PRESSURES)
def test_a_gauge_tells_by_word_colour_and_number(state: str, show: Render) -> None:
    document = show(pressed(state, used=0.84375))
    gauge = document.one("div", role="meter", aria_label="Receive buffer of pool main")
    assert gauge.attributes["aria-valuenow"] == "84.4"
    assert gauge.attributes["aria-valuetext"].replace("\u00a0", " ") == f"84.4 % used, {state}"
    assert gauge.parents[-1].attributes["data-state"] == state
    assert document.figures("pools.0.receive.pressure.state:word") == {state}
    (fill,) = [each for each in document.all("rect", width="84.38%") if "fill" in each.attributes["class"]]
    assert gauge in fill.parents
    lines = [each for each in document.all("line") if gauge in each.parents]
    assert [line.attributes["x1"] for line in lines] == ["50.00%", "75.00%", "87.50%"]


def test_the_transmit_gauge_has_what_was_sent_before_what_is_queued(plain: Document) -> None:
    gauge = plain.one("div", role="meter", aria_label="Transmit buffer")
    sent, queued = (plain.one("rect", class_=f"fill {name}") for name in ("sent", "queued"))
    assert gauge in sent.parents
    assert sent.attributes["width"] == queued.attributes["x"] == "20.00%"
    assert queued.attributes["width"] == "5.00%"


def test_a_growing_buffer_says_when_its_next_state_comes(show: Render) -> None:
    document = show(pressed("frozen", delta_bytes_per_s=1.25 * MIB, next_state_s=134.0))
    assert document.figures("pools.0.receive:growth") == {"growing by 1.25 MiB/s"}
    assert document.figures("pools.0.receive:forecast") == {"withholding in 2 m 14 s"}
    (banner,) = document.banners
    assert banner.endswith("At this rate: withholding in 2 m 14 s.")


def test_an_emptying_buffer_has_no_forecast(show: Render) -> None:
    document = show(pressed("frozen", delta_bytes_per_s=-2.0 * MIB))
    assert document.figures("pools.0.receive:growth") == {"emptying by 2.00 MiB/s"}
    assert document.figures("pools.0.receive:forecast") == {""}


def test_no_verdict_while_all_is_open(plain: Document) -> None:
    assert plain.banners == []
    assert plain.bound("if:now.pressed")[0].hidden


@pytest.mark.parametrize("state", PRESSURES[1:])
def test_the_verdict_names_the_pool_and_its_state(state: str, show: Render) -> None:
    document = show(pressed(state, used=0.8))
    (banner,) = document.banners
    outcome = VERDICTS["receive"].outcomes[state]
    assert banner == f"Pool main is under pressure: {state} — its receive buffer is 80.0 % full. {outcome}"
    step = document.one("li", aria_current="step")
    assert step.attributes["data-state"] == state
    assert document.figures("now.pressed:word") == {"1"}


def test_the_verdict_is_on_the_highest_state_and_then_on_the_fuller_buffer(show: Render) -> None:
    (banner,) = show(pressed("frozen", "withholding", used=0.9)).banners
    assert banner.startswith("The transmit buffer is under pressure: withholding — it is 25.0 % full.")
    (banner,) = show(pressed("frozen", "frozen", used=0.6)).banners
    assert banner.startswith("Pool main")
    (banner,) = show(pressed("frozen", "frozen", used=0.1)).banners
    assert banner.startswith("The transmit buffer")


def test_a_stopped_engine_is_the_only_verdict(show: Render) -> None:
    tick = pressed("discarding").tick
    engine = replace(tick.engine, state="stopped", reason="the device is gone")
    (banner,) = show(with_tick(engine=engine, pools=tick.pools)).banners
    assert banner.startswith("The engine has stopped: the device is gone.")


def test_thresholds_that_differ_are_shown_at_each_buffer_only(show: Render, plain: Document) -> None:
    view = pressed()
    buffer = view.tick.transmit.buffer
    other = replace(buffer, pressure=replace(buffer.pressure, thresholds=Thresholds(0.4, 0.6, 0.8, 0.05)))
    document = show(with_tick(transmit=replace(view.tick.transmit, buffer=other)))
    for each in (document, plain):
        shared = each.bound("if:now.thresholds")
        assert len(shared) == 4
        assert all(found.hidden is (each is document) for found in shared)
    gauge = document.one("div", role="meter", aria_label="Transmit buffer")
    lines = [each for each in document.all("line") if gauge in each.parents]
    assert [line.attributes["x1"] for line in lines] == ["40.00%", "60.00%", "80.00%"]


# --- Connections, groups, events ------------------------------------------------------


def test_the_census_is_a_table_with_shades(plain: Document) -> None:
    table = plain.one("table", class_="heat")
    assert table.text.replace("\u2060", "") == "State< 1 s1–60 s1–10 min> 10 min ESTABLISHED123994"
    shades = [each.attributes["data-shade"] for each in plain.all("td") if "data-shade" in each.attributes]
    assert shades == ["1", "1", "1", "4"]
    assert plain.one("span", id="census-at").text == "07:59:59"


def test_groups_that_are_not_shown_are_told(show: Render, plain: Document) -> None:
    note = "1 of 7, those with most connections"
    assert [
        each.text for each in show(with_tick(group_count=7)).all("p", class_="note") if "of 7" in each.text
    ] == [note]
    assert not [each for each in plain.all("p", class_="note") if "those with most" in each.text]


def test_events_come_newest_first_and_only_the_last_ones(show: Render) -> None:
    events = tuple(
        Event(number, views.THEN - 100 + number, "warn", "loss", None, f"Event {number}", "")
        for number in range(1, 13)
    )
    document = show(replace(views.view(), events=events))
    shown = [each for each in document.all("li") if "data-id" in each.attributes]
    assert [each.attributes["data-id"] for each in shown] == ["12", "11", "10", "9", "8", "7", "6", "5"]
    assert shown[0].text == "Event 12 07:58:32"
    (time,) = [each for each in document.all("time") if shown[0] in each.parents]
    assert time.attributes["datetime"] == "2027-01-15T07:58:32+00:00"


def test_the_navigation_leads_to_sections_that_exist(plain: Document) -> None:
    links = [each.attributes["href"] for each in plain.all("a") if "data-section" in each.attributes]
    assert links == ["/#overview", "/#buffers", "/#connections", "/#groups", "/#events"]
    for link in links:
        assert plain.one(id=link.removeprefix("/#"))


# --- Charts ------------------------------------------------------------------------------


def test_the_occupancy_chart_has_a_line_per_buffer(plain: Document) -> None:
    lines = {
        each.attributes["data-line"]: each.attributes["d"]
        for each in plain.all("path")
        if "data-line" in each.attributes
    }
    assert lines == {
        "pools.0.receive.used": "M119.0,80.00 120.0,75.00",
        "transmit.buffer.used": "M119.0,90.00 120.0,75.00",
    }


def test_a_line_breaks_where_nothing_is_known() -> None:
    nan = float("nan")
    shape = charts.occupancy((0, 1, 2, 3, 4, 20, 21), (0.1, 0.1, nan, 0.2, 0.2, 0.3, 0.3), 21, 120)
    assert shape.line.count("M") == 3
    assert shape.area.count("Z") == 3
    assert re.match(r"M99\.0,90\.00 100\.0,90\.00 M102\.0,80\.00", shape.line)


@pytest.mark.parametrize("known_s, span_s", [(0, 120), (120, 120), (121, 300), (301, 600), (9_999, 600)])
def test_the_chart_spans_the_history_that_there_is(known_s: int, span_s: int) -> None:
    assert charts.span(1_000_000 - known_s, 1_000_000, charts.OCCUPANCY_SPANS_S) == span_s


def test_marks_stand_at_round_times() -> None:
    marks = charts.time_marks(views.THEN + 10, 600)
    assert [mark.text for mark in marks] == ["07:52", "07:54", "07:56", "07:58", "08:00"]
    assert marks[-1].x == "98.33%"
    assert [mark.shown for mark in charts.time_marks(views.THEN - 1, 120)] == [True] * 4 + [False]


def test_the_ribbon_is_cut_at_its_left_edge() -> None:
    spans = (Span(0, 100, "open"), Span(100, 900, "frozen"), Span(900, 1_000, "open"))
    assert charts.ribbon(spans, 1_000, 600) == [
        charts.Stretch("0.00%", "83.33%", "frozen"),
        charts.Stretch("83.33%", "16.67%", "open"),
    ]


def test_a_spark_ends_at_the_right_edge_and_rests_on_the_ground() -> None:
    assert charts.spark([0.0, 0.0]).line == "M58.0,22.00 59.0,22.00"
    assert charts.spark([0.0, 5.0]).line == "M58.0,22.00 59.0,2.00"
    assert charts.spark([1_000.0, 1_000.0]).line == "M58.0,12.00 59.0,12.00"
    assert charts.spark([7.0]).line == ""


def test_every_counter_of_a_tick_has_a_name_for_people() -> None:
    assert set(COUNTERS) == {*PRESSURE_COUNTERS, *LOSSES}
