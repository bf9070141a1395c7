"""Explicit congestion notification is agreed on by the handshake, or not (RFC 3168 section 6.1.1)."""

from __future__ import annotations

import pytest
from support.ecn import CE, ECT_0, ECT_1, NOT_ECT, both, ecn_client, marked
from support.net import Net

# --- negotiation ------------------------------------------------------------------------


class TestPassive:
    @both
    @pytest.mark.requirement("RFC 3168 6.1.1 agree", "RFC 3168 6.1.1 SYN", "RFC 9293 SHLD-8")
    @pytest.mark.parametrize(
        "ecn, flags, field, agreed",
        [
            ("passive", "SEC", NOT_ECT, True),
            ("on", "SEC", NOT_ECT, True),
            ("off", "SEC", NOT_ECT, False),
            # Section 6.1.1: both flags, or it is no ECN-setup SYN.
            ("passive", "S", NOT_ECT, False),
            ("passive", "SE", NOT_ECT, False),
            ("passive", "SC", NOT_ECT, False),
            # A SYN must not be ECT: one that is was changed on its way.
            ("passive", "SEC", ECT_0, False),
            ("passive", "SEC", ECT_1, False),
            ("passive", "SEC", CE, False),
        ],
    )
    def test_what_a_syn_asks_for(
        self, net: Net, v6: bool, ecn: str, flags: str, field: int, agreed: bool
    ) -> None:
        """Section 6.1.1, as Linux reads it (tcp_ecn 2, 1 and 0)."""
        group = net.group(7, v6=v6, ecn=ecn)
        client = net.client(group)
        client.syn(flags=flags, **marked(client, field))
        with net.in_turn():
            cd = group.accept()
        client.expect("SAE" if agreed else "SA", seq=0, ack=1)
        client.ack()
        net.turn()
        assert group.info(cd).ecn == agreed
        assert net.counters()["TCPEcnAgreed"] == agreed
        group.send(cd, b"data")
        net.flush()
        assert client.expect("A", data=b"data").ecn == (ECT_0 if agreed else NOT_ECT)

    def test_it_is_the_default(self, net: Net) -> None:
        assert ecn_client(net).judge.ecn

    def test_the_nonce_bit_is_nothing(self, net: Net) -> None:
        """RFC 3540 is historic; a client that offers accurate ECN by it gets the classic one."""
        client = net.client(net.group(7))
        client.syn(flags="SEC", tcp={"reserved": 1})
        with net.in_turn():
            assert client.group is not None
            client.cd = client.group.accept()
        client.expect("SAE")
        client.ack()
        net.turn()
        assert client.group.info(client.cd).ecn

    @pytest.mark.requirement("RFC 3168 6.1.1 both")
    def test_a_repeated_syn_that_asks_no_more(self, net: Net) -> None:
        """Section 6.1.1.1: the client fell back, because our SYN-ACK was lost."""
        client = net.client(net.group(7)).syn_received(flags="SEC")
        client.syn()
        net.turn()
        client.expect("SA", seq=0, ack=1)
        client.ack()
        net.turn()
        [event] = net.take_events()
        assert client.group is not None
        assert not client.group.info(event[2]).ecn

    def test_a_request_that_waits_and_comes_again(self, net: Net) -> None:
        client = net.client(net.group(7)).asked(flags="SEC")
        client.syn()
        with net.in_turn():
            assert client.group is not None
            client.group.accept()
        client.expect("SA", seq=0, ack=1)

    def test_each_syn_ack_says_so(self, net: Net) -> None:
        client = net.client(net.group(7)).syn_received(flags="SEC")
        net.advance(1)
        client.expect("SAE", seq=0, ack=1, at=1.0)


class TestActive:
    @both
    @pytest.mark.requirement("RFC 3168 6.1.1 agree")
    @pytest.mark.parametrize(
        "ecn, flags, agreed",
        [
            ("on", "SAE", True),
            ("on", "SA", False),
            # Section 6.1.1: an ECN-setup SYN-ACK has ECE alone; others reflect what they do not understand.
            ("on", "SAEC", False),
            ("on", "SAC", False),
            ("passive", "SA", False),
            ("passive", "SAE", False),
            ("off", "SAE", False),
        ],
    )
    def test_what_a_syn_ack_agrees_to(self, net: Net, v6: bool, ecn: str, flags: str, agreed: bool) -> None:
        peer = net.listener(net.group(7, v6=v6, ecn=ecn)).connected_to()
        peer.expect("SEC" if ecn == "on" else "S", seq=0)
        peer.answer(flags=flags)
        net.turn()
        peer.expect("A", seq=1, ack=1)
        assert peer.group is not None
        assert peer.group.info(peer.cd).ecn == agreed
        assert net.counters()["TCPEcnAgreed"] == agreed
        peer.group.send(peer.cd, b"data")
        net.flush()
        assert peer.expect("A", data=b"data").ecn == (ECT_0 if agreed else NOT_ECT)

    @pytest.mark.requirement("RFC 3168 6.1.1.1", "RFC 3168 6.1.1 both")
    def test_a_lost_syn_is_sent_again_without(self, net: Net) -> None:
        """Section 6.1.1.1: and then nothing is ECT, whatever the SYN-ACK says."""
        peer = net.listener(net.group(7, ecn="on")).connected_to()
        peer.expect("SEC", seq=0)
        net.advance(3)
        peer.expect("S", seq=0, at=1.0)
        peer.expect("S", seq=0, at=3.0)
        assert net.counters()["TCPEcnFallbacks"] == 1
        peer.answer(flags="SAE")
        net.turn()
        peer.expect("A")
        assert peer.group is not None
        assert not peer.group.info(peer.cd).ecn

    @pytest.mark.requirement("RFC 3168 6.1.1 both")
    @pytest.mark.parametrize(
        "ecn, flags, agreed",
        [("on", "SEC", True), ("on", "S", False), ("on", "SE", False), ("passive", "SEC", False)],
    )
    def test_syns_that_cross(self, net: Net, ecn: str, flags: str, agreed: bool) -> None:
        """Both must have asked: a host that sent a SYN without never makes anything ECT."""
        peer = net.listener(net.group(7, ecn=ecn)).connected_to()
        peer.expect("SEC" if ecn == "on" else "S")
        peer.answer(flags=flags)
        net.turn()
        peer.expect("SAE" if agreed else "SA", seq=0, ack=1)
        peer.ack()
        net.turn()
        assert peer.group is not None
        assert peer.group.info(peer.cd).ecn == agreed

    def test_a_crossed_syn_ack_that_does_not_agree(self, net: Net) -> None:
        peer = net.listener(net.group(7, ecn="on")).connected_to()
        peer.expect("SEC")
        peer.answer(flags="SEC")
        net.turn()
        peer.expect("SAE")
        peer.answer(flags="SA")
        net.turn()
        assert peer.group is not None
        assert not peer.group.info(peer.cd).ecn
