"""The reservation of address space (architecture section 4)."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from xtcp_twisted.errors import PoolExhausted
from xtcp_twisted.memory.probe import Arena

PAGE = resource.getpagesize()
MiB = 1 << 20


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def test_extents_do_not_overlap_and_are_page_aligned() -> None:
    arena = Arena(MiB)
    offsets = [arena.take(size) for size in (1, PAGE, PAGE + 1, 3 * PAGE)]
    assert offsets == [0, PAGE, 2 * PAGE, 4 * PAGE]
    assert arena.used == 7 * PAGE


def test_a_reservation_costs_no_memory_until_it_is_touched() -> None:
    before = resident()
    arena = Arena(1024 * MiB)
    arena.take(512 * MiB)
    assert resident() - before < 8 * MiB


def test_a_returned_extent_gives_its_pages_back_and_comes_again_zeroed() -> None:
    arena = Arena(64 * MiB)
    offset = arena.take(32 * MiB)
    arena.write(offset, b"\xaa" * (32 * MiB))
    before = resident()
    arena.give_back(offset, 32 * MiB)
    assert before - resident() > 24 * MiB
    assert arena.returned == 32 * MiB
    assert arena.take(32 * MiB) == offset
    assert arena.returned == 0
    assert arena.read(offset, PAGE) == bytes(PAGE)
    assert arena.read(offset + 32 * MiB - PAGE, PAGE) == bytes(PAGE)


def test_when_it_is_used_up_the_error_says_what_to_do() -> None:
    arena = Arena(4 * PAGE)
    arena.take(3 * PAGE)
    with pytest.raises(PoolExhausted, match="arena_limit"):
        arena.take(PAGE + 1)
    assert arena.take(PAGE) == 3 * PAGE


def test_a_limit_that_the_system_does_not_give_is_an_error() -> None:
    with pytest.raises(PoolExhausted, match="address space"):
        Arena(1 << 60)


def test_two_arenas_do_not_share_what_is_given_back() -> None:
    first, second = Arena(MiB), Arena(MiB)
    first.give_back(first.take(PAGE), PAGE)
    assert second.take(PAGE) == 0
    assert (first.returned, second.returned) == (PAGE, 0)
