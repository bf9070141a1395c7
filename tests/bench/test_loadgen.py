"""The load generator counts rightly, and no wrong answer escapes it."""

from __future__ import annotations

import json
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import loadgen
from benchmarks.loadgen import LoadGenerator, LoadGeneratorError
from xtcp_twisted.lab import Lab

HOST = "127.0.0.1"

Generator = Callable[..., LoadGenerator]
ROOT = Path(__file__).parents[2]
#: A measured time that is long enough for some requests on any machine, seconds.
SHORT = {"seconds": 0.1, "warmup": 0, "size": 100}


def flipped(request: bytes, at: int) -> bytes:
    return request[:at] + bytes([request[at] ^ 0xFF]) + request[at + 1 :]


class TestOpen:
    @pytest.mark.parametrize("workers", [1, 3])
    def test_every_connection_is_opened_and_says_one_request(self, serve, generator: Generator, workers: int):
        peer = serve()
        with generator(peer.target, workers=workers) as client:
            first = client.step("open", total=20, size=100)
            then = client.step("open", total=50, size=100)
        assert (first.open, first.errors, then.open, then.errors) == (20, 0, 50, 0)
        assert first.connect_us.count == first.answer_us.count == 20
        assert then.connect_us.count == then.answer_us.count == 30
        assert [len(requests) for requests in peer.requests] == [1] * 50

    def test_connections_stay_open_between_steps_and_close_ends_them(self, serve, generator: Generator):
        peer = serve()
        with generator(peer.target) as client:
            client.step("open", total=10, size=100)
            assert client.step("close").open == 0
            again = client.step("open", total=5, size=100)
        assert (again.open, again.errors, len(peer.requests)) == (5, 0, 15)

    def test_no_two_requests_are_alike(self, serve, generator: Generator):
        peer = serve()
        with generator(peer.target, workers=2) as client:
            client.step("open", total=20, size=100)
            client.step("echo", inflight=20, **SHORT)
        requests = [request for connection in peer.requests for request in connection]
        assert len(set(requests)) == len(requests) > 20

    def test_a_port_without_a_server(self, serve, generator: Generator):
        peer = serve()
        peer.close()
        with generator(peer.target) as client:
            outcome = client.step("open", total=7, size=100)
        assert (outcome.open, outcome.failed, outcome.errors) == (0, 7, 7)
        assert outcome.note == "connect: Connection refused"

    def test_a_server_that_never_answers(self, serve, generator: Generator):
        peer = serve(lambda number, request: b"")
        with generator(peer.target) as client:
            outcome = client.step("open", total=5, window=3, size=100, seconds=0.2)
        assert (outcome.open, outcome.failed) == (0, 5)
        assert outcome.note == "time is up: 2 connections not tried, 3 without an answer"

    def test_requests_can_be_left_out(self, serve, generator: Generator):
        peer = serve()
        with generator(peer.target, workers=2) as client:
            outcome = client.step("open", total=20, ask="no")
            then = client.step("echo", inflight=4, pick="random", **SHORT)
        assert (outcome.open, outcome.errors, outcome.connect_us.count, outcome.answer_us.count) == (
            20,
            0,
            20,
            0,
        )
        assert then.errors == 0
        assert then.messages > 0

    def test_with_a_capacity_one_worker_is_filled_after_the_other(self, serve, generator: Generator):
        peer = serve()
        with generator(peer.target, workers=3, capacity=10) as client:
            opened = [client.step("open", total=total, size=100).open for total in (5, 15, 30)]
            with pytest.raises(LoadGeneratorError, match="total: 31 is not allowed; 3 workers hold 10 each"):
                client.step("open", total=31)
        assert opened == [5, 15, 30]
        # The first bytes of a request say whose it is.
        workers = [struct.unpack_from("<II", requests[0])[1] for requests in peer.requests]
        assert workers[:5] == [0] * 5
        assert sorted(workers[5:15]) == [0] * 5 + [1] * 5
        assert sorted(workers[15:]) == [1] * 5 + [2] * 10

    def test_addresses_and_ports_are_taken_in_turn(self, serve, generator: Generator):
        peer = serve()
        with generator(f"127.0.0.1-127.0.0.4:{peer.port}") as client:
            outcome = client.step("open", total=4, size=100)
        # The peer listens on the first address alone.
        assert (outcome.open, outcome.failed) == (1, 3)


class TestEcho:
    @pytest.mark.parametrize("pick", ["sticky", "random"])
    def test_messages_are_those_that_the_server_answered(self, serve, generator: Generator, pick: str):
        peer = serve()
        with generator(peer.target, workers=2) as client:
            client.step("open", total=30, size=100)
            outcome = client.step("echo", inflight=6, pick=pick, **SHORT)
        served = peer.served - 30
        assert outcome.errors == 0
        assert outcome.open == 30
        # When the time is over, each of the six has an answer that comes late, or two in one batch.
        assert 0 < outcome.messages <= served <= outcome.messages + 12
        assert outcome.answer_us.count == outcome.messages
        assert outcome.per_second == pytest.approx(outcome.messages / outcome.seconds, rel=0.01)

    def test_sticky_means_the_same_connections_evenly_spread(self, serve, generator: Generator):
        peer = serve()
        with generator(peer.target) as client:
            # One at a time, so that the server accepts them in their order.
            client.step("open", total=12, window=1, size=100)
            client.step("echo", inflight=4, pick="sticky", **SHORT)
        asked = [number for number, requests in enumerate(peer.requests) if len(requests) > 1]
        assert asked == [0, 3, 6, 9]

    def test_random_means_any_connection(self, serve, generator: Generator):
        peer = serve()
        with generator(peer.target) as client:
            client.step("open", total=8, size=100)
            client.step("echo", inflight=1, pick="random", seconds=0.5, warmup=0, size=100)
        assert all(len(requests) > 1 for requests in peer.requests)

    def test_open_loop_sends_what_is_due(self, serve, generator: Generator):
        peer = serve()
        with generator(peer.target) as client:
            client.step("open", total=50, size=100)
            outcome = client.step("echo", rate=500, seconds=0.4, warmup=0, size=100)
        assert outcome.errors == 0
        # 200 fall due, however slow the machine; those that nobody could take are counted too.
        assert peer.served - 50 + outcome.skipped == pytest.approx(200, abs=1)

    def test_only_some_workers_take_part(self, serve, generator: Generator):
        peer = serve()
        with generator(peer.target, workers=3, capacity=5) as client:
            client.step("open", total=15, size=100)
            closed = client.step("echo", workers=2, inflight=8, pick="random", **SHORT)
            paced = client.step("echo", workers=1, rate=200, seconds=0.2, warmup=0, size=100)
        assert closed.errors == paced.errors == 0
        asked = [struct.unpack_from("<II", requests[0])[1] for requests in peer.requests if len(requests) > 1]
        assert set(asked) == {0, 1}
        assert paced.messages + paced.skipped == pytest.approx(40, abs=2)

    def test_more_inflight_than_connections(self, serve, generator: Generator):
        peer = serve()
        with generator(peer.target) as client:
            client.step("open", total=3, size=100)
            outcome = client.step("echo", inflight=100, **SHORT)
        assert outcome.messages > 0
        assert outcome.errors == 0

    def test_an_answer_in_pieces_is_one_answer(self, serve, generator: Generator):
        peer = serve(size=200_000)
        with generator(peer.target) as client:
            opened = client.step("open", total=2, size=200_000)
            outcome = client.step("echo", inflight=2, seconds=0.2, warmup=0, size=200_000)
        assert (opened.open, opened.errors, outcome.errors) == (2, 0, 0)
        assert outcome.messages > 0


class TestFaults:
    """A good connection beside the bad one is not blamed for it."""

    @pytest.mark.parametrize("at", [0, 37, 99])
    def test_a_wrong_byte(self, serve, generator: Generator, at: int):
        peer = serve(lambda number, request: request if number else flipped(request, at))
        with generator(peer.target) as client:
            outcome = client.step("open", total=4, window=1, size=100)
        request = peer.requests[0][0]
        assert (outcome.open, outcome.wrong, outcome.failed) == (3, 1, 1)
        assert outcome.note == (
            f"connection 0, answer 1: byte {at} is 0x{request[at] ^ 0xFF:02x} instead of 0x{request[at]:02x}"
        )

    def test_the_answer_to_another_connection(self, serve, generator: Generator):
        held: list[bytes] = []

        def crossed(number: int, request: bytes) -> bytes:
            held.append(request)
            return held[0]

        peer = serve(crossed)
        with generator(peer.target) as client:
            outcome = client.step("open", total=3, window=1, size=100)
        assert (outcome.open, outcome.wrong) == (1, 2)

    def test_the_answer_to_an_earlier_request(self, serve, generator: Generator):
        peer = serve(lambda number, request: peer.requests[number][0])
        with generator(peer.target) as client:
            client.step("open", total=1, size=100)
            outcome = client.step("echo", inflight=1, **SHORT)
        assert (outcome.open, outcome.messages, outcome.wrong) == (0, 0, 1)

    def test_more_than_was_asked_for(self, serve, generator: Generator):
        peer = serve(lambda number, request: request + b"!")
        with generator(peer.target) as client:
            outcome = client.step("open", total=1, size=100)
        assert outcome.wrong == 1
        assert outcome.note == "connection 0: 1 bytes more than were asked for"

    def test_hanging_up_instead_of_answering(self, serve, generator: Generator):
        peer = serve(lambda number, request: None if len(peer.requests[number]) > 1 else request)
        with generator(peer.target) as client:
            client.step("open", total=5, size=100)
            outcome = client.step("echo", inflight=5, **SHORT)
        assert (outcome.open, outcome.broken, outcome.messages) == (0, 5, 0)
        assert outcome.note == "recv: Connection reset by peer"

    def test_requests_that_stay_unanswered(self, serve, generator: Generator):
        peer = serve(lambda number, request: b"" if len(peer.requests[number]) > 1 else request)
        with generator(peer.target) as client:
            client.step("open", total=4, size=100)
            outcome = client.step("echo", inflight=3, **SHORT)
        assert (outcome.open, outcome.unanswered, outcome.messages) == (4, 3, 0)

    def test_idle_connections_that_were_lost_are_found_at_the_end(self, serve, generator: Generator):
        peer = serve()
        with generator(peer.target) as client:
            client.step("open", total=6, size=100)
            peer.close()
            outcome = client.step("close")
        assert outcome.broken == 6


class TestChurn:
    def test_each_message_is_a_connection_of_its_own(self, serve, generator: Generator):
        peer = serve()
        with generator(peer.target) as client:
            client.step("open", total=5, size=100)
            outcome = client.step("churn", inflight=4, **SHORT)
        assert outcome.errors == 0
        assert outcome.open == 5
        served = peer.served - 5
        assert 0 < outcome.messages <= served <= outcome.messages + 8
        assert all(len(requests) <= 1 for requests in peer.requests)


class TestDrop:
    @pytest.mark.parametrize("how", ["reset", "fin"])
    def test_each_worker_drops_its_share_and_they_come_back(self, serve, generator: Generator, how: str):
        peer = serve()
        with generator(peer.target, workers=3, capacity=10) as client:
            client.step("open", total=25, size=100)
            dropped = client.step("drop", total=10, how=how)
            asked = client.step("echo", inflight=15, pick="sticky", **SHORT)
            back = client.step("open", total=25, size=100)
        assert (dropped.open, dropped.errors) == (15, 0)
        assert (asked.open, asked.errors) == (15, 0)
        assert (back.open, back.errors, back.answer_us.count) == (25, 0, 10)
        assert len(peer.requests) == 35

    def test_what_does_not_end_in_order_is_told_and_reset(self, lab: Lab, generator: Generator):
        with lab.call(socket.create_server, (HOST, 0), backlog=64) as deaf:
            target = f"{HOST}:{deaf.getsockname()[1]}"
            with generator(target, workers=2) as client:
                client.step("open", total=8, ask="no")
                closed = client.step("close", how="fin", seconds=0.2, window=6)
        assert (closed.open, closed.unanswered, closed.broken) == (0, 8, 0)
        assert closed.note == "time is up: 1 connections not closed, 3 without the other side's FIN"

    def test_an_orderly_close_of_all(self, serve, generator: Generator):
        peer = serve()
        with generator(peer.target, workers=2) as client:
            client.step("open", total=20, size=100)
            closed = client.step("close", how="fin", window=3)
        assert (closed.open, closed.errors) == (0, 0)

    def test_a_peer_that_resets_instead_is_told(self, serve, generator: Generator):
        peer = serve()
        with generator(peer.target) as client:
            client.step("open", total=6, size=100)
            peer.close()
            closed = client.step("close", how="fin")
        assert (closed.open, closed.broken, closed.unanswered) == (0, 6, 0)

    def test_more_than_there_are(self, serve, generator: Generator):
        with generator(serve().target) as client:
            client.step("open", total=4, size=100)
            assert client.step("drop", total=9).open == 0


class TestLimits:
    @pytest.mark.parametrize(
        "target, reason",
        [
            ("here:7", "target: here:7 is not allowed; give ADDRESS[-ADDRESS]:PORT[-PORT], IPv4"),
            ("127.0.0.1", "target: 127.0.0.1 is not allowed"),
            ("127.0.0.1:0", "target: 127.0.0.1:0 is not allowed"),
            ("127.0.0.2-127.0.0.1:7", "target: 127.0.0.2-127.0.0.1:7 is not allowed"),
            ("127.0.0.1:9-7", "target: 127.0.0.1:9-7 is not allowed"),
        ],
    )
    def test_a_target_that_makes_no_sense(self, generator: Generator, target: str, reason: str):
        with generator(target) as client, pytest.raises(LoadGeneratorError) as caught:
            client.step("open", total=1)
        assert str(caught.value).startswith(reason)

    @pytest.mark.parametrize(
        "options, reason",
        [
            ({"workers": 0}, "workers: 0 is not allowed; give a number from 1 to 256"),
            ({"core": 1_000}, "core: there is no such processor, or this process may not use it"),
            ({"watch": -4}, "watch: -4 is not allowed; give a process id, or 0"),
        ],
    )
    def test_options_that_make_no_sense(self, generator: Generator, options: dict[str, int], reason: str):
        with generator("127.0.0.1:7", **options) as client, pytest.raises(LoadGeneratorError, match=reason):
            client.step("open", total=1)

    @pytest.mark.parametrize(
        "verb, settings, reason",
        [
            ("shut", {}, "step: shut is not allowed; give open, echo, churn, drop or close"),
            ("open", {"size": 15}, "size: 15 is not allowed; give a number from 16 to 1048576"),
            ("echo", {"pick": "best"}, "pick: best is not allowed; give sticky or random"),
            ("echo", {"seconds": "long"}, "seconds: long is not allowed; give a number from 0"),
            ("echo", {"colour": 1}, "setting: colour is not allowed; give total, window"),
            ("open", {"total": 10**8}, "1 workers would need 100000032 descriptors each"),
        ],
    )
    def test_a_step_that_cannot_be_is_refused_and_the_next_is_carried_out(
        self, serve, generator: Generator, verb: str, settings: dict[str, object], reason: str
    ):
        with generator(serve().target) as client:
            with pytest.raises(LoadGeneratorError) as caught:
                client.step(verb, **settings)
            assert str(caught.value).startswith(reason)
            assert client.step("open", total=2, size=100).open == 2

    @pytest.mark.parametrize(
        "connections, limit, workers",
        [(0, 20_000, 1), (19_900, 20_000, 1), (19_901, 20_000, 2), (1_000_000, 20_000, 51), (5, 101, 5)],
    )
    def test_workers_for(self, connections: int, limit: int, workers: int):
        assert loadgen.workers_for(connections, limit) == workers

    def test_workers_for_needs_some_descriptors(self):
        with pytest.raises(LoadGeneratorError, match="raise the limit with 'ulimit -n'"):
            loadgen.workers_for(1, 100)

    def test_without_a_compiler(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("CC", "no-such-compiler")
        with pytest.raises(LoadGeneratorError, match="there is no 'no-such-compiler'; install gcc or set CC"):
            loadgen.build()


class TestCommandLine:
    def run(self, lab: Lab, *arguments: str):
        command = [
            sys.executable,
            "-m",
            "benchmarks.loadgen",
            "--seconds",
            "0.1",
            "--warmup",
            "0",
            *arguments,
        ]
        return lab.run(command, cwd=ROOT, capture_output=True, text=True)

    def test_one_line_of_json_per_step(self, lab: Lab, serve):
        peer = serve(size=64)
        done = self.run(
            lab, "--target", peer.target, "--connections", "10", "--size", "64", "--pick", "random"
        )
        steps = [json.loads(line) for line in done.stdout.splitlines()]
        assert done.returncode == 0, done.stderr
        assert [step["step"] for step in steps] == ["open", "echo", "close"]
        assert steps[1]["messages"] <= peer.served - 10

    def test_a_wrong_server_is_status_1(self, lab: Lab, serve):
        peer = serve(lambda number, request: flipped(request, 5))
        done = self.run(lab, "--target", peer.target, "--connections", "2", "--size", "100", "--mode", "idle")
        assert done.returncode == 1
        assert json.loads(done.stdout.splitlines()[0])["wrong"] == 2

    def test_a_wrong_option_is_status_2(self, lab: Lab):
        done = self.run(lab, "--target", "nowhere")
        assert done.returncode == 2
        assert "target: nowhere is not allowed" in done.stderr
