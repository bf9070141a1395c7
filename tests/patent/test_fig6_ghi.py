"""Fig. 6g to 6i, block by block; test_fig6.py has the other flows, and how tests are named."""

from __future__ import annotations

import errno
import itertools

import pytest
from support.calls import Calls
from support.fig6 import ACK_ALL, ANSWER, REQUEST, answered, requested, resend_s
from support.peer import Client

from xtcp_twisted.api import (
    sockaddr_in,
    xtcp_cd,
)
from xtcp_twisted.config import MiB


@pytest.mark.feature("P15")
class TestFig6g:
    """A request to send an answer."""

    @pytest.mark.feature("P26")
    def test_662_a_request_comes_by_send(self, calls: Calls, gd: int, client: Client) -> None:
        requested(calls, gd, client)
        assert calls.xtcp_send(gd, client.cd, len(REQUEST), ANSWER) == len(ANSWER)
        assert calls.xtcp_send(gd, client.cd, 1, ANSWER) == -errno.EINVAL
        assert calls.xtcp_send(gd, client.cd + 1, 0, ANSWER) == -errno.EBADF

    def test_664_the_answer_is_queued(self, calls: Calls, gd: int, client: Client) -> None:
        """And leaves in due course."""
        requested(calls, gd, client)
        calls.xtcp_send(gd, client.cd, len(REQUEST), ANSWER)
        snapshot = calls.net.engine.snapshot()
        assert (snapshot.queued_bytes, snapshot.unacked_bytes) == (len(ANSWER), 0)
        client.expect_nothing()
        calls.turn()
        client.expect("PA", seq=1, data=ANSWER)

    @pytest.mark.feature("P24")
    def test_666_the_acknowledgement_is_queued_with_it(self, calls: Calls, gd: int, client: Client) -> None:
        """Of the request, in the same packet."""
        requested(calls, gd, client)
        calls.xtcp_send(gd, client.cd, len(REQUEST), ANSWER)
        calls.turn()
        client.expect("A", ack=ACK_ALL, data=ANSWER)
        client.ack()
        calls.pass_by(5)
        client.expect_nothing()

    @pytest.mark.feature("P16", "P18")
    def test_666_of_as_much_as_the_application_names(self, calls: Calls) -> None:
        """The rest is returned again, with what came after it, and acknowledged in its turn."""
        gd = calls.open(7, ack_policy="application")
        client = calls.connect(gd)
        requested(calls, gd, client)
        calls.xtcp_send(gd, client.cd, 3, None)
        calls.turn()
        client.expect("A", ack=1 + 3)
        client.send(b" Hello?")
        assert calls.select(read=[gd]) == ([gd], [])
        assert calls.recv(gd) == (client.cd, REQUEST[3:] + b" Hello?")
        calls.xtcp_send(gd, client.cd, len(REQUEST) - 3, ANSWER)
        calls.turn()
        client.expect("A", ack=ACK_ALL, data=ANSWER)

    @pytest.mark.feature("P19")
    def test_668_the_answer_is_cached_in_the_transmit_buffer(
        self, calls: Calls, gd: int, client: Client
    ) -> None:
        """Which is one, whatever the group and the pool."""
        answered(calls, gd, client)
        alone = calls.net.transmit_used
        assert alone >= len(ANSWER)
        assert calls.xtcp_initialize(1 * MiB) == 0
        other = calls.open(8)
        answered(calls, other, calls.connect(other))
        assert calls.net.transmit_used == 2 * alone
        assert calls.net.receive_used == 0

    @pytest.mark.feature("P20")
    def test_670_the_resend_timer_is_set(self, calls: Calls, gd: int, client: Client) -> None:
        """Before, the engine waits for nothing that comes so soon."""
        requested(calls, gd, client)
        calls.xtcp_send(gd, client.cd, len(REQUEST), None)
        calls.turn()
        soon = calls.net.now + resend_s(calls, gd, client) + 0.001
        quiet = calls.net.engine.poll_at()
        assert quiet is None or quiet > soon
        calls.xtcp_send(gd, client.cd, 0, ANSWER)
        calls.turn()
        due = calls.net.engine.poll_at()
        assert due is not None and calls.net.now < due <= soon


class TestFig6h:
    """The resend timer of an answer expires."""

    @pytest.fixture
    def gd(self, calls: Calls) -> int:
        return calls.open(7, user_timeout_s=10)

    @pytest.mark.feature("P20")
    def test_672_the_timer_expires(self, calls: Calls, gd: int, client: Client) -> None:
        """When the answer has waited so long for its acknowledgement, and not before."""
        answered(calls, gd, client)
        calls.pass_by(resend_s(calls, gd, client) - 0.002)
        assert calls.net.counters()["RetransSegs"] == 0
        calls.pass_by(0.004)
        assert calls.net.counters()["RetransSegs"] == 1

    @pytest.mark.feature("P20", "P21")
    @pytest.mark.parametrize("late", [False, True])
    def test_674_whether_the_connection_has_timed_out(
        self, calls: Calls, gd: int, client: Client, late: bool
    ) -> None:
        """That is the group's `user_timeout_s` after the answer left."""
        answered(calls, gd, client)
        calls.pass_by(10.1 if late else 9.9)
        assert calls.select(read=[gd]) == ([gd] if late else [], [])
        info_is_there = calls.xtcp_pars(gd, client.cd, sockaddr_in()) == 0
        assert info_is_there is not late

    @pytest.mark.feature("P20")
    def test_676_the_cached_answer_is_queued_again(self, calls: Calls, gd: int, client: Client) -> None:
        """The same bytes, with the acknowledgement of today, less and less often."""
        answered(calls, gd, client)
        calls.pass_by(8)
        resent = client.take()
        assert len(resent) >= 3
        for segment in resent:
            assert segment.data == ANSWER and (segment.ack - client.iss) % 2**32 == ACK_ALL
        times = [segment.time for segment in resent]
        gaps = [later - sooner for sooner, later in itertools.pairwise(times)]
        assert gaps == sorted(gaps) and gaps[-1] > 1.5 * gaps[0]

    @pytest.mark.feature("P19", "P21")
    def test_678_the_cached_answer_is_purged(self, calls: Calls, gd: int, client: Client) -> None:
        answered(calls, gd, client)
        calls.pass_by(9)
        assert calls.net.transmit_used > 0
        calls.pass_by(2)
        assert calls.net.transmit_used == 0

    @pytest.mark.feature("P21", "P26")
    def test_680_the_connection_is_marked_down(self, calls: Calls, gd: int, client: Client) -> None:
        """Which the application server learns by its next `xtcp_recv`; nothing more is sent."""
        answered(calls, gd, client)
        assert calls.select(read=[gd], timeout=None) == ([gd], [])
        cd = xtcp_cd()
        assert calls.xtcp_recv(gd, cd, bytearray(100)) == -errno.ETIMEDOUT
        assert cd.value == client.cd
        assert calls.xtcp_send(gd, client.cd, 0, ANSWER) == -errno.EBADF
        client.take()
        calls.pass_by(60)
        client.expect_nothing()


class TestFig6i:
    """The acknowledgement of an answer."""

    @pytest.mark.feature("P19")
    def test_682_the_acknowledgement_is_received(self, calls: Calls, gd: int, client: Client) -> None:
        """And nobody is woken by it."""
        answered(calls, gd, client)
        client.ack()
        assert calls.select(read=[gd], accept=[gd]) == ([], [])
        info = calls.group(gd).info(client.cd)
        assert info.snd_una == info.snd_nxt

    @pytest.mark.feature("P19")
    def test_684_the_cached_answer_is_purged(self, calls: Calls, gd: int, client: Client) -> None:
        """As far as the acknowledgement goes."""
        requested(calls, gd, client)
        long = bytes(4 * 1_448)
        calls.xtcp_send(gd, client.cd, len(REQUEST), long)
        calls.turn()
        client.take()
        full = calls.net.transmit_used
        client.ack(1 + 2 * 1_448)
        calls.turn()
        assert calls.net.engine.snapshot().unacked_bytes == 2 * 1_448
        client.ack(1 + len(long))
        calls.turn()
        assert full >= len(long) and calls.net.transmit_used == 0

    @pytest.mark.feature("P19", "P20")
    def test_686_the_resend_timer_is_deleted(self, calls: Calls, gd: int, client: Client) -> None:
        answered(calls, gd, client)
        client.ack()
        calls.turn()
        due = calls.net.engine.poll_at()
        assert due is None or due > calls.net.now + resend_s(calls, gd, client) + 0.001
        calls.pass_by(30)
        client.expect_nothing()
        assert calls.net.counters()["RetransSegs"] == 0
