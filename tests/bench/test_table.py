"""The comparison says what was measured, and does not hide what went wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import attrs
import pytest

from benchmarks import plot, table
from benchmarks.layout import Table
from benchmarks.loadgen import Latency, Outcome
from benchmarks.rounds import Memory, Plan, Sample, problems
from benchmarks.servers import SERVERS
from benchmarks.targets import CONNECTIONS, verdicts

PLAN = Plan(connections=(100, 10_000), loads=("random", "sticky", "churn"))
QUIET = Latency(count=100, p50=150.0, p99=900.0)


def outcome(**more: object) -> Outcome:
    good = Outcome(
        step="echo", open=1_000, failed=0, wrong=0, broken=0, unanswered=0, seconds=1.0, note="",
        connect_us=Latency(0), answer_us=QUIET, messages=50_000, per_second=50_000.0, server_cpu_seconds=0.5,
        client_cpu_seconds=0.4,
    )  # fmt: skip
    return attrs.evolve(good, **more)


def served(us: float) -> Outcome:
    """The server is the bottleneck: its rate is what its CPU time allows."""
    return outcome(per_second=1e6 / us, messages=round(1e6 / us), server_cpu_seconds=1.0)


def sample(server: str, *, load: Outcome | None = None, memory: dict[str, object] | None = None) -> Sample:
    return Sample(
        server=server,
        memory=attrs.evolve(
            Memory(connections=10_000, process_bytes=1_500.0, slab_bytes=8_400.0), **(memory or {})
        ),
        resident_before=30 << 20,
        resident_after=50 << 20,
        descriptors=10_010,
        opened_per_second=9_000.0,
        loads={size: dict.fromkeys(PLAN.loads_at(size), load or outcome()) for size in PLAN.connections},
        problems=(),
    )


def measured(server: str, *microseconds: float) -> list[Sample]:
    return [sample(server, load=served(us)) for us in microseconds]


def row(table: Table, label: str) -> dict[str, str]:
    """The cells of one server by the column's name; of two columns with one name, the first."""
    (cells,) = (cells for cells in table.rows if cells[0] == label)
    return dict(reversed(list(zip(table.columns, cells, strict=True))))


def loaded(samples: table.Samples, server: str, connections: int = 10_000) -> dict[str, str]:
    return row(table.load_table(samples, PLAN, connections, "random"), SERVERS[server].label)


def idle(samples: table.Samples, server: str) -> dict[str, str]:
    return row(table.memory_table(samples, PLAN), SERVERS[server].label)


def test_medians_ranges_and_ratios_round_by_round():
    samples = {"twisted": measured("twisted", 20, 40, 25), "uvloop": measured("uvloop", 10, 10, 12.5)}
    cells = loaded(samples, "uvloop")
    assert (cells["messages/s"], cells["range"]) == ("100,000", "80,000 .. 100,000")
    assert cells["CPU us each"] == "10.00"
    assert (cells["to Twisted"], cells["by CPU"]) == ("2.00", "2.00")
    assert loaded(samples, "twisted")["to Twisted"] == ""
    assert "to ceiling" not in cells


def test_shares_of_the_ceiling():
    samples = {"xtcp-group": measured("xtcp-group", 8, 16), "responder": measured("responder", 6, 12)}
    assert loaded(samples, "xtcp-group")["to ceiling"] == "0.75"
    assert loaded(samples, "responder")["to ceiling"] == ""


def test_cpu_is_compared_where_the_rate_is_not_the_servers():
    idle_half = outcome(per_second=50_000.0, messages=50_000, server_cpu_seconds=0.5)
    samples = {"twisted": measured("twisted", 20), "uvloop": [sample("uvloop", load=idle_half)]}
    cells = loaded(samples, "uvloop")
    assert (cells["to Twisted"], cells["by CPU"], cells["server CPU"]) == ("1.00", "2.00", "50%")


@pytest.mark.parametrize(
    "client, server, marked", [(0.97, 0.8, True), (0.97, 0.99, False), (0.5, 0.4, False)]
)
def test_a_rate_that_is_the_clients_is_marked(client: float, server: float, marked: bool):
    load = outcome(client_cpu_seconds=client, server_cpu_seconds=server)
    samples = {"epoll": [sample("epoll", load=load)]}
    assert loaded(samples, "epoll")["messages/s"].endswith(table.MARK) == marked
    assert any(line.startswith(f"({table.MARK.strip()})") for line in table.remarks(samples, PLAN)) == marked


def test_connections_of_churn_are_measured_with_the_most_open_alone():
    titles = [each.title for each in table.tables({"twisted": measured("twisted", 20)}, PLAN)]
    assert [title for title in titles if "connect" in title and "close" in title] == [
        "10,000 connections open: connect, ask once, close; 100 at a time beside those that stay"
    ]
    assert sum("each on any" in title for title in titles) == 2


class TestMemory:
    def test_half_of_both_ends_is_called_so(self):
        samples = {"twisted": [sample("twisted")]}
        assert idle(samples, "twisted")["kernel, bytes each"] == "4,200"
        assert any("half of both ends'" in line for line in table.remarks(samples, PLAN))

    def test_the_client_of_a_server_without_sockets_tells_the_kernel_side_of_the_others(self):
        samples = {
            "xtcp-group": [
                sample("xtcp-group", memory={"slab_bytes": n}) for n in (4_120.0, 4_100.0, 4_900.0)
            ],
            "twisted": [sample("twisted")],
        }
        assert idle(samples, "twisted")["kernel, bytes each"] == "4,280"
        assert idle(samples, "twisted")["both"] == "5,780"
        assert idle(samples, "xtcp-group")["kernel, bytes each"] == "0"
        assert idle(samples, "xtcp-group")["both"] == "1,500"
        assert any("both ends of a kernel connection 8,400, the client's own 4,120" in line
                   for line in table.remarks(samples, PLAN))  # fmt: skip

    def test_the_bare_responder_tells_best_what_the_client_takes(self):
        samples = {
            "xtcp-group": [sample("xtcp-group", memory={"slab_bytes": 4_500.0})],
            "responder": [sample("responder", memory={"slab_bytes": 4_000.0, "process_bytes": 0.0})],
        }
        assert idle(samples, "xtcp-group")["kernel, bytes each"] == "500"
        assert idle(samples, "responder")["both"] == "0"

    def test_without_the_right_to_read_slabinfo_there_is_no_kernel_figure(self):
        samples = {"twisted": [sample("twisted", memory={"slab_bytes": None})]}
        assert idle(samples, "twisted")["kernel, bytes each"] == "-"
        assert idle(samples, "twisted")["both"] == "-"
        assert any("may be read by root alone" in line for line in table.remarks(samples, PLAN))

    def test_how_many_times_as_much_twisted_takes(self):
        samples = {
            "xtcp-group": [sample("xtcp-group", memory={"process_bytes": 200.0, "slab_bytes": 4_000.0})],
            "twisted": [sample("twisted", memory={"process_bytes": 1_600.0, "slab_bytes": 8_400.0})],
            "responder": [sample("responder", memory={"process_bytes": 0.0, "slab_bytes": 4_000.0})],
        }
        assert idle(samples, "xtcp-group")["Twisted's to it"] == "30.0"
        assert idle(samples, "twisted")["Twisted's to it"] == ""
        assert idle(samples, "responder")["Twisted's to it"] == ""


class TestTargets:
    samples: Final = {
        "xtcp-group": measured("xtcp-group", 8, 8),
        "xtcp-protocol": measured("xtcp-protocol", 12, 12),
        "epoll": measured("epoll", 8, 8),
        "uvloop": measured("uvloop", 10, 10),
        "twisted": measured("twisted", 24, 28),
        "responder": measured("responder", 5.6, 5.6),
    }

    def test_each_is_said_to_be_met_or_missed(self):
        """3.25 times Twisted's, as many as epoll's, 1.25 times uvloop's, 70% of the ceiling's."""
        told = [str(verdict).partition(":")[0] for verdict in verdicts(self.samples, PLAN)]
        assert told[:6] == ["met", "MISSED", "MISSED", "met", "MISSED", "met"]

    def test_what_was_measured_is_beside_what_is_asked_for(self):
        (line,) = (str(v) for v in verdicts(self.samples, PLAN) if v.asked == 3.5)
        assert line == (
            "MISSED: XTCP, group protocol, messages per second to Twisted, epoll reactor: 3.25 (3.00 .. 3.50)"
            " times; by CPU time 3.25 (3.00 .. 3.50); at least 3.5 is asked for"
        )

    def test_nothing_is_said_of_what_was_not_measured(self):
        two = {name: self.samples[name] for name in ("xtcp-group", "uvloop")}
        assert [verdict.asked for verdict in verdicts(two, PLAN)] == [1.3]
        elsewhere = attrs.evolve(PLAN, connections=(100,))
        assert CONNECTIONS not in elsewhere.connections
        assert list(verdicts(two, elsewhere)) == []

    def test_a_few_connections_say_nothing_of_memory(self):
        for connections, said in (((100, 10_000), True), ((100, 2_000), False)):
            plan = attrs.evolve(PLAN, connections=connections, loads=("sticky",))
            told = [verdict.text for verdict in verdicts(self.samples, plan)]
            assert any(text.startswith("memory per connection") for text in told) == said


def test_the_summary_has_every_figure():
    medians = table.summary({"twisted": [sample("twisted")]}, PLAN)["twisted"]
    assert medians["bytes_per_connection"] == 1_500 + 4_200
    assert medians["sticky_100_per_second"] == 50_000
    assert medians["churn_10000_server_cpu_us"] == 10.0
    assert {
        f"{name}_{size}_{figure}"
        for size in PLAN.connections
        for name in PLAN.loads_at(size)
        for figure in ("per_second", "p50_us", "p99_us", "server_cpu_us")
    } <= set(medians)


def test_a_step_that_went_wrong_is_a_problem():
    steps = {"sticky": outcome(), "random": outcome(wrong=2, broken=1, note="why")}
    assert problems(steps) == (
        "random: 0 connections failed, 1 broke, 2 answers wrong, 0 requests unanswered, first: why",
    )


def test_problems_are_told():
    good = sample("twisted")
    samples = {"twisted": [good, attrs.evolve(good, problems=("random: 1 broke",))]}
    assert list(table.remarks(samples, PLAN))[-1] == "WRONG: Twisted, epoll reactor, round 2, random: 1 broke"


def test_a_load_without_an_answer_has_no_figure():
    nothing = outcome(messages=0, per_second=0.0, answer_us=Latency(0))
    cells = loaded({"twisted": [sample("twisted", load=nothing)]}, "twisted")
    assert (cells["messages/s"], cells["CPU us each"], cells["p50 us"]) == ("-", "-", "-")


def test_fewer_connections_than_asked_for_are_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("benchmarks.rounds.descriptor_limit", lambda: 4_096)
    told = list(table.remarks({name: [sample(name)] for name in ("twisted", "xtcp-group")}, PLAN))
    assert "Twisted, epoll reactor: 3,996 connections instead of 10,000, for want of descriptors." in told
    assert not any("XTCP" in line and "instead of" in line for line in told)


def test_noise_is_the_worst_moment():
    calm, noisy = outcome(other_user_seconds=0.1), outcome(other_user_seconds=0.8, seconds=2.0)
    one = attrs.evolve(sample("twisted"), loads={100: {"random": calm}, 10_000: {"random": noisy}})
    assert table.noise({"twisted": [one]}) == pytest.approx(0.4)


def test_the_picture_has_a_panel_for_each_figure(tmp_path: Path):
    file = tmp_path / "page.svg"
    samples = TestTargets.samples
    plot.draw(samples, PLAN, file)
    picture = file.read_text()
    assert len(list(plot.panels(samples, PLAN))) == 8
    for number in range(1, 9):
        assert f'id="axes_{number}"' in picture


def test_a_table_is_the_same_as_text_and_as_markdown():
    small = Table("Ducks", ("name", "feet"), (("one", "2"), ("seven of them", "14")))
    text = ["Ducks", "  name           feet", "  one               2", "  seven of them    14"]
    markdown = ["| name | feet |", "| --- | --: |", "| one | 2 |", "| seven of them | 14 |"]
    assert list(small.text()) == text
    assert list(small.markdown()) == ["### Ducks", "", *markdown]
