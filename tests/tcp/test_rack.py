"""RACK: a segment is lost when one sent later was delivered (RFC 8985 section 6)."""

from __future__ import annotations

import pytest
from support.flight import MSS, at, flight, seqs
from support.net import Net

RTT = 0.1


class TestReorderingWindow:
    @pytest.mark.requirement("RFC 8985 6.2 step 1", "RFC 8985 6.2 step 4", "RFC 8985 6.2 step 5")
    def test_a_quarter_of_a_round_trip(self, net: Net) -> None:
        """Section 6.2, step 4: one segment behind the hole is no proof yet; a timer waits for more."""
        client = flight(net, 3, RTT)
        client.sack(at(1), ack=1)
        net.turn()
        assert seqs(client) == []
        net.advance(RTT / 4 - 0.003)
        assert seqs(client) == []
        net.advance(0.006)
        assert seqs(client) == [0]
        assert net.counters()["TCPTimeouts"] == 0

    @pytest.mark.requirement("RFC 8985 6.2 step 5")
    def test_a_late_segment_within_it_was_not_lost(self, net: Net) -> None:
        client = flight(net, 3, RTT)
        client.sack(at(1), ack=1)
        net.advance(RTT / 8)
        client.ack(2 * MSS + 1)
        net.advance(RTT / 2)
        assert seqs(client) == []
        assert net.counters()["TCPSackRecovery"] == 0

    @pytest.mark.requirement("RFC 8985 6.2 step 3")
    def test_a_path_that_reorders_is_given_time(self, net: Net) -> None:
        """Step 3: reordering was seen, so three segments behind a hole are no proof any more."""
        client = flight(net, 40, RTT)
        client.sack(at(1), ack=1)
        net.turn()
        client.ack(2 * MSS + 1)
        net.turn()
        assert net.counters()["TCPSACKReorder"] == 1
        seqs(client)
        client.sack(at(3, 7), ack=2 * MSS + 1)
        net.turn()
        assert 2 not in seqs(client)
        net.advance(RTT / 4 + 0.003)
        assert 2 in seqs(client)

    @pytest.mark.requirement("RFC 8985 6.2 step 4")
    def test_it_grows_when_a_retransmission_was_needless(self, net: Net) -> None:
        """Step 4, RACK_update_reo_wnd: by a quarter more for each round trip with a D-SACK."""
        client = flight(net, 60, RTT)
        client.sack(at(1), ack=1)
        net.turn()
        # A path that reorders ...
        client.sack(at(3), ack=2 * MSS + 1)
        net.advance(RTT / 4 + 0.003)
        assert 2 in seqs(client)
        # ... by more than expected: the original arrives after all, and then the copy.
        client.ack(4 * MSS + 1)
        net.turn()
        client.sack(at(2), ack=4 * MSS + 1)
        net.turn()
        seqs(client)
        client.sack(at(5, 8), ack=4 * MSS + 1)
        net.advance(RTT / 4 + 0.003)
        assert 4 not in seqs(client)
        net.advance(RTT / 4 + 0.003)
        assert 4 in seqs(client)


@pytest.mark.requirement("RFC 8985 6.2 step 5")
def test_a_lost_retransmission_is_found(net: Net) -> None:
    """What RFC 6675 leaves to a timeout: something sent after the retransmission was delivered."""
    client = flight(net, 30, RTT)
    client.sack(at(1, 3), ack=1)
    net.turn()
    assert seqs(client)[0] == 0
    client.sack(at(1, 6), ack=1)
    net.turn()
    new = [number for number in seqs(client) if number >= 10]
    assert new
    net.advance(RTT)
    client.sack(at(new[0]), at(1, 9), ack=1)
    net.turn()
    net.advance(RTT / 3)
    assert 0 in seqs(client)
    assert net.counters()["TCPTimeouts"] == 0


def test_what_left_at_this_moment_is_not_lost(net: Net) -> None:
    """Section 6.2, step 5, on a path whose round trip is shorter than the clock's step."""
    client = flight(net, 7, 0)
    client.ack(MSS + 1)
    for last in (3, 4, 5, 6):
        client.sack(at(3, last), ack=MSS + 1)
        net.turn()
    assert seqs(client) == []
    net.advance(0.002)
    assert seqs(client) == [1]


@pytest.mark.requirement("RFC 8985 6.3", "RFC 8985 6.2 step 2")
def test_an_answer_that_comes_too_soon_is_to_the_first_copy(net: Net) -> None:
    """Section 6.2, step 2: else all that was sent before the retransmission would seem lost."""
    client = flight(net, 10, RTT)
    client.sack(at(1, 3), ack=1)
    net.turn()
    assert seqs(client) == [0]
    net.advance(0.005)
    client.ack(4 * MSS + 1)
    net.advance(RTT / 4)
    assert seqs(client) == []
    client.ack(10 * MSS + 1)
    net.turn()


@pytest.mark.requirement("RFC 8985 6.3")
def test_a_timeout_spares_what_was_just_sent(net: Net) -> None:
    """Section 6.3: the first segment and those sent as long ago are lost, not what has just left."""
    client = flight(net, 3, RTT)
    assert client.group is not None
    rto = client.group.info(client.cd).rto_ms / 1000
    # The loss probe, and shortly before the timeout something new.
    net.advance(RTT + rto - 0.010)
    assert seqs(client) == [2]
    client.group.send(client.cd, bytes(MSS))
    net.flush()
    assert seqs(client) == [3]
    net.advance(0.030)
    assert net.counters()["TCPTimeouts"] == 1
    assert seqs(client) == [0]
    client.ack(MSS + 1)
    net.turn()
    client.ack(3 * MSS + 1)
    net.turn()
    assert seqs(client) == [1], "what was sent last is not lost"
    client.ack(4 * MSS + 1)
    net.turn()


@pytest.mark.requirement("RFC 5681 4.3")
@pytest.mark.parametrize(
    "lost", [(0,), (4,), (0, 1), (0, 4, 9), (3, 4, 5, 6), (9,), (8, 9), tuple(range(10))]
)
def test_any_loss_of_a_flight_is_repaired(net: Net, lost: tuple[int, ...]) -> None:
    """A receiver of RFC 2018 behind a path that loses these segments once; what it gets is whole."""
    client = flight(net, 10, RTT)
    held = set(range(10)) - set(lost)

    def tell() -> None:
        ack = next(n for n in range(11) if n not in held)
        runs = [n for n in sorted(held) if n > ack and n - 1 not in held]
        ends = {n: next(m for m in range(n, 11) if m not in held) - 1 for n in runs}
        client.sack(*[at(n, ends[n]) for n in reversed(runs)][:3], ack=1 + ack * MSS) if runs else client.ack(
            1 + ack * MSS
        )

    if held:
        tell()
    for _ in range(200):
        net.advance(RTT / 10)
        arrived = seqs(client)
        if arrived:
            held |= set(arrived)
            tell()
        if held == set(range(10)):
            break
    net.turn()
    assert net.transmit_used == 0
    assert net.counters()["RetransSegs"] <= len(lost) + 1
