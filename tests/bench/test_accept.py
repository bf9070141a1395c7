"""What a connection takes, counted; and the benchmarks of it, which only have to work here."""

from __future__ import annotations

import gc
import json
import tracemalloc

import pytest

from benchmarks import accept, messages
from xtcp_twisted.reactor.transport import XTCPTransport

#: All told, of an ordinary protocol with slots.
MOST_BYTES = 500
FEW, MANY = 500, 4_500


def counted(name: str) -> float:
    """Bytes of Python objects and of the engine's tables that one more connection takes."""
    server = accept.Server(accept.APPLICATIONS[name], MANY)
    server.open(0, FEW)
    gc.collect()
    tracemalloc.start()
    try:
        server.open(FEW, MANY)
        gc.collect()
        objects = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    rows = server.stack.engine.snapshot().connection_bytes
    server.stack.stop()
    return objects / (MANY - FEW) + rows / MANY


@pytest.mark.feature("P35")
def test_an_ordinary_protocol_stays_within_its_bytes():
    assert counted("ordinary protocol") <= MOST_BYTES


@pytest.mark.feature("P35")
def test_a_group_protocol_has_no_object_for_a_connection():
    # Growth of a list, or of what the test itself keeps, is less than a byte for each.
    engine_alone = 128 + 2 * 8
    assert counted("group protocol") <= engine_alone + 16


def test_a_transport_has_no_object_for_its_numbers():
    server = accept.Server(accept.APPLICATIONS["ordinary protocol"], 16)
    server.open(0, 1)
    transport = next(iter(filter(None, server.stack.stage.table.rows)))
    kinds = {type(held) for held in gc.get_referents(transport)}
    assert isinstance(transport, XTCPTransport)
    assert not {int, str, tuple, dict, list} & kinds, kinds
    server.stack.stop()


def test_the_table(capsys: pytest.CaptureFixture[str]):
    assert accept.main(["--connections", "600"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:27].split() for line in lines[1:]] == [
        ["ordinary", "protocol", "frozen"],
        ["ordinary", "protocol", "default"],
        ["group", "protocol", "frozen"],
    ]


def test_one_of_them(capsys: pytest.CaptureFixture[str]):
    assert accept.main(["--connections", "600", "--only", "ordinary protocol", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["connections"] == 600
    assert found["collections"][2] == 0
    assert found["cpu_us_per_connection"] > 0
    assert gc.get_freeze_count() == 0


def test_too_few(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        accept.main(["--connections", "1"])
    assert "--connections: 1 is not allowed; give 2 to" in capsys.readouterr().err


def test_the_cost_of_a_message_inside_the_process(capsys: pytest.CaptureFixture[str]):
    assert messages.main(["--connections", "300", "--inflight", "20", "--repeat", "1"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [row[0] for row in rows] == ["group", "ordinary"]
    assert all(int(row[-1].replace(",", "")) > 0 for row in rows)
