"""ImpairedLink: a bad network keeps accounts, order and its promises about time, and repeats itself."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet

from xtcp_twisted.errors import ConfigurationError
from xtcp_twisted.link import ImpairedLink, MemoryLink
from xtcp_twisted.link.impair import Path

probabilities = st.floats(0, 1)
seeds = st.integers(-(2**70), 2**70)
networks = st.fixed_dictionaries(
    {
        "loss": probabilities,
        "reorder": probabilities,
        "duplicate": probabilities,
        "delay": st.floats(0, 2),
        "jitter": st.floats(0, 2),
        "rate": st.just(0) | st.floats(1e3, 1e9),
        "corrupt": probabilities,
        "truncate": probabilities,
        "mark": probabilities,
        "burst": st.tuples(probabilities, probabilities),
        "queue": st.floats(0, 2),
        "seed": seeds,
    }
)


def numbered(count: int, size: int = 100) -> list[bytes]:
    """IPv4-looking packets that carry their number where nothing damages it: in the address fields."""
    return [b"\x45" + bytes(11) + n.to_bytes(8) + bytes(max(size - 20, 0)) for n in range(count)]


def number(packet: bytes) -> int:
    return int.from_bytes(packet[12:20])


def drain(link: ImpairedLink, limit: int) -> list[tuple[float, bytes]]:
    """Read a link at the times that it announces, until it announces none."""
    arrived = []
    while (due := link.next_time()) is not None:
        arrived += [(due, packet) for packet in link.read(limit, due)]
    return arrived


def through(packets: list[bytes], limit: int = 64, **network: Any) -> tuple[Path, list[Any]]:
    """Send `packets` into the engine, all at time 0, and read at the times announced."""
    memory = MemoryLink()
    link = ImpairedLink(memory, **network)
    for packet in packets:
        memory.deliver(packet)
    arrived = []
    while memory.pending:
        arrived += [(0.0, packet) for packet in link.read(limit, 0.0)]
    arrived += drain(link, limit)
    assert link.received == len(arrived)
    memory.close()
    return link.inbound, arrived


def accounts_balance(path: Path) -> bool:
    return path.packets + path.duplicated == path.lost + path.overflowed + path.delivered + path.waiting


@given(networks, st.integers(0, 60))
def test_every_packet_into_the_engine_is_accounted_for(network: dict[str, Any], count: int) -> None:
    path, arrived = through(numbered(count), **network)
    assert path.packets == count
    assert path.waiting == 0
    assert path.delivered == len(arrived)
    assert accounts_balance(path)


@given(networks, st.lists(st.tuples(st.floats(0, 1), st.integers(0, 5)), max_size=20))
def test_every_packet_from_the_engine_is_accounted_for(
    network: dict[str, Any], sendings: list[tuple[float, int]]
) -> None:
    memory = MemoryLink()
    link = ImpairedLink(memory, **network)
    now = 0.0
    for pause, count in sendings:
        now += pause
        assert link.write(numbered(count), now) == count
        assert accounts_balance(link.outbound)
    while (due := link.next_time()) is not None:
        assert link.read(1, max(now, due)) == []
        now = max(now, due)
    path = link.outbound
    assert path.packets == link.sent == sum(count for _, count in sendings)
    assert path.delivered == len(memory.take()) == memory.sent
    assert path.waiting == 0
    assert accounts_balance(path)
    memory.close()


@given(networks, st.integers(0, 60))
def test_order_is_kept_without_reorder(network: dict[str, Any], count: int) -> None:
    network |= {"reorder": 0, "truncate": 0}
    path, arrived = through(numbered(count), **network)
    numbers = [number(packet) for _, packet in arrived]
    assert numbers == sorted(numbers)
    copies = Counter(numbers)
    assert sum(copies.values()) - len(copies) == path.duplicated
    assert max(copies.values(), default=0) <= 2


@given(networks, st.integers(0, 60))
def test_the_seed_decides_and_the_batches_do_not(network: dict[str, Any], count: int) -> None:
    _, together = through(numbered(count), limit=1024, **network)
    _, again = through(numbered(count), limit=1024, **network)
    _, one_by_one = through(numbered(count), limit=1, **network)
    assert together == again
    assert [packet for _, packet in together] == [packet for _, packet in one_by_one]


@given(seeds, st.lists(probabilities, min_size=2, max_size=2).map(sorted))
def test_more_loss_keeps_the_losses(seed: int, losses: list[float]) -> None:
    low, high = (
        {number(packet) for _, packet in through(numbered(50), seed=seed, loss=loss)[1]} for loss in losses
    )
    assert high <= low


@given(st.floats(0, 2), st.floats(0, 2), seeds)
def test_delay_and_jitter_bound_the_time(delay: float, jitter: float, seed: int) -> None:
    _, arrived = through(numbered(20), delay=delay, jitter=jitter, seed=seed)
    assert len(arrived) == 20
    for time, _ in arrived:
        assert delay - 2e-6 <= time <= delay + jitter + 2e-6


@given(st.floats(1e4, 1e9), st.lists(st.integers(20, 1500), min_size=1, max_size=40))
def test_rate_spaces_packets(rate: float, sizes: list[int]) -> None:
    packets = [numbered(1, size)[0] for size in sizes]
    _, arrived = through(packets, rate=rate, queue=3600)
    assert len(arrived) == len(packets)
    bits = 0
    for time, packet in arrived:
        bits += len(packet) * 8
        assert bits / rate - 1e-5 <= time <= bits / rate + 1e-5


def test_a_slow_line_is_idle_again() -> None:
    memory = MemoryLink()
    link = ImpairedLink(memory, rate=8_000)
    link.write([bytes(100)], 0.0)
    link.write([bytes(100)], 10.0)
    assert link.read(1, 10.1) == []
    assert [round(time, 6) for time, _ in memory.take()] == [10.0, 10.1]


def test_a_full_queue_drops() -> None:
    # 100 ms each: the first begins at once, the fourth would wait for 300 ms.
    path, arrived = through(numbered(10), rate=8_000, queue=0.25)
    assert [number(packet) for _, packet in arrived] == [0, 1, 2]
    assert path.overflowed == 7


def test_reordered_packets_are_overtaken() -> None:
    path, arrived = through(numbered(200), reorder=0.1, reorder_by=0.02, delay=0.5)
    numbers = [number(packet) for _, packet in arrived]
    assert sorted(numbers) == list(range(200))
    assert numbers != sorted(numbers)
    late = [time for time, _ in arrived if time > 0.51]
    assert len(late) == path.reordered > 0
    assert set(late) == {0.52}


@given(seeds, st.sampled_from([0x45, 0x60]), st.integers(1, 100))
def test_damage_is_one_bit_behind_the_addresses(seed: int, first: int, size: int) -> None:
    packet = bytes([first]) + bytes(size - 1)
    header = 40 if first == 0x60 else 20
    path, [(_, got)] = through([packet], corrupt=1.0, seed=seed)
    assert got[:header] == packet[:header]
    changed = sum((a ^ b).bit_count() for a, b in zip(got, packet, strict=True))
    assert changed == path.corrupted == (1 if size > header else 0)


@given(seeds, st.integers(2, 100))
def test_truncation_leaves_the_beginning(seed: int, size: int) -> None:
    packet = bytes(range(size))
    path, [(_, got)] = through([packet], truncate=1.0, seed=seed)
    assert 1 <= len(got) < size
    assert packet.startswith(got)
    assert path.truncated == 1


@pytest.mark.parametrize(
    "what, counter", [("loss", "lost"), ("duplicate", "duplicated"), ("reorder", "reordered")]
)
def test_probabilities_come_out(what: str, counter: str) -> None:
    path, _ = through(numbered(20_000, 20), limit=1024, **{what: 0.1})
    assert 0.09 < getattr(path, counter) / 20_000 < 0.11


def test_bursts_are_as_long_and_as_frequent_as_asked() -> None:
    _, arrived = through(numbered(50_000, 20), limit=1024, burst=(0.01, 0.25))
    there = {number(packet) for _, packet in arrived}
    lost = [n not in there for n in range(50_000)]
    begins = sum(now and not before for before, now in zip([False, *lost], lost, strict=False))
    # Stationary share of the bad state p / (p + q), mean length 1 / q.
    assert 0.03 < sum(lost) / 50_000 < 0.047
    assert 3.5 < sum(lost) / begins < 4.5


def test_directions_differ_and_are_independent() -> None:
    memory = MemoryLink()
    link = ImpairedLink(memory, loss=0.5)
    link.write(numbered(64), 0.0)
    out = {number(packet) for _, packet in memory.take()}
    for packet in numbered(64):
        memory.deliver(packet)
    into = {number(packet) for packet in link.read(64, 0.0)}
    assert 10 < len(out) < 54
    assert 10 < len(into) < 54
    assert out != into


@pytest.mark.parametrize("direction, arrives, leaves", [("in", 0, 5), ("out", 5, 0), ("both", 0, 0)])
def test_one_direction_only(direction: str, arrives: int, leaves: int) -> None:
    memory = MemoryLink()
    link = ImpairedLink(memory, loss=1.0, direction=direction)
    for packet in numbered(5):
        memory.deliver(packet)
    assert len(link.read(10, 0.0)) == arrives
    link.write(numbered(5), 0.0)
    assert len(memory.take()) == leaves


def test_wrappers_announce_the_earliest_time_of_all() -> None:
    memory = MemoryLink()
    inner = ImpairedLink(memory, delay=0.5)
    link = ImpairedLink(inner, delay=0.25)
    assert link.next_time() is None
    memory.deliver(b"packet")
    assert link.fileno() == memory.fileno()
    assert link.read(1, 0.0) == []
    assert link.next_time() == 0.5
    assert link.read(1, 0.5) == []
    assert link.next_time() == 0.75
    assert link.read(1, 0.75) == [b"packet"]
    assert link.next_time() is None


def test_what_the_other_side_refuses_is_counted() -> None:
    memory = MemoryLink()
    link = ImpairedLink(memory, delay=1.0)
    link.write([b"packet"], 0.0)
    memory.close()
    with pytest.raises(Exception, match="closed"):
        link.read(1, 1.0)
    assert (link.sent, link.dropped) == (1, 1)


@pytest.mark.parametrize(
    "argument, value, allowed",
    [
        ("loss", 1.5, "a probability from 0 to 1"),
        ("loss", -0.1, "a probability"),
        ("reorder", "often", "a probability"),
        ("corrupt", True, "a probability"),
        ("duplicate", float("nan"), "a probability"),
        ("delay", -1, "seconds, from 0 to 3,600"),
        ("jitter", 4000, "seconds"),
        ("rate", -5, "bits per second"),
        ("burst", 0.5, "two probabilities"),
        ("burst", (0.5, 2), "a probability"),
        ("seed", "x", "an integer"),
        ("direction", "up", "'in', 'out' or 'both'"),
    ],
)
def test_bad_values_are_named(argument: str, value: object, allowed: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{argument}: .*{allowed}"):
        ImpairedLink(MemoryLink(), **{argument: value})  # type: ignore[arg-type]


def test_a_wrapper_needs_a_link() -> None:
    with pytest.raises(TypeError):
        ImpairedLink(None)  # type: ignore[arg-type]


class TestChange:
    def test_an_outage(self) -> None:
        """What was on its way arrives; what enters meanwhile does not."""
        memory = MemoryLink()
        link = ImpairedLink(memory, delay=0.1)
        memory.deliver(numbered(2)[0])
        link.read(8, 0.0)
        link.inbound.change(loss=1.0)
        memory.deliver(numbered(2)[1])
        assert [number(packet) for packet in link.read(8, 0.1)] == [0]
        assert drain(link, 8) == [] and link.inbound.lost == 1
        link.inbound.change(loss=0.0)
        memory.deliver(numbered(3)[2])
        link.read(8, 0.2)
        assert [(round(at, 3), number(packet)) for at, packet in drain(link, 8)] == [(0.3, 2)]

    def test_a_spike_of_delay_keeps_the_order(self) -> None:
        memory = MemoryLink()
        link = ImpairedLink(memory, delay=0.01)
        first, second = numbered(2)
        link.inbound.change(delay=0.5)
        memory.deliver(first)
        link.read(8, 0.0)
        link.inbound.change(delay=0.01)
        memory.deliver(second)
        link.read(8, 0.1)
        assert [(at, number(packet)) for at, packet in drain(link, 8)] == [(0.5, 0), (0.5, 1)]

    @pytest.mark.parametrize("wrong", [{"loss": 1.5}, {"loss": True}, {"delay": -1}, {"delay": "1"}])
    def test_what_cannot_be(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(ConfigurationError, match="is not allowed"):
            ImpairedLink(MemoryLink()).outbound.change(**wrong)


# --- marks ----------------------------------------------------------------------------


def ip_packet(v6: bool, tos: int) -> bytes:
    header: Packet = IPv6(src="2001:db8::1", dst="2001:db8::2", tc=tos) if v6 else IP(tos=tos, id=7)
    return bytes(header / TCP(sport=1, dport=2) / b"data")


@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("dscp", [0, 46, 63])
@pytest.mark.parametrize("field, arrives", [(0, 0), (1, 3), (2, 3), (3, 3)])
def test_what_is_ect_is_marked(v6: bool, dscp: int, field: int, arrives: int) -> None:
    """RFC 3168 section 5; only the ECN field and IPv4's checksum change, judged by scapy."""
    path, [(_, got)] = through([ip_packet(v6, dscp << 2 | field)], mark=1.0)
    assert got == ip_packet(v6, dscp << 2 | arrives)
    assert path.marked == (arrives != field)


def test_marks_change_nothing_else() -> None:
    """What is lost without marks is lost with them."""
    packets = [bytes(IP(tos=2, id=n) / TCP(seq=n)) for n in range(200)]
    path, plain = through(packets, loss=0.2, seed=3)
    marking, marked = through(packets, loss=0.2, mark=0.3, seed=3)
    assert marking.lost == path.lost
    assert [IP(got).id for _, got in marked] == [IP(got).id for _, got in plain]
    share = sum(IP(got).tos == 3 for _, got in marked) / len(marked)
    assert 0.2 < share < 0.4


@given(st.binary(max_size=60))
def test_whatever_is_no_packet_is_left_alone(data: bytes) -> None:
    _, [(_, got)] = through([data], mark=1.0)
    assert len(got) == len(data)
