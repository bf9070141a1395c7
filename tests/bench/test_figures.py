"""The arithmetic of the benchmark."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import accounts
from benchmarks.figures import Cache, Spread, kernel_side, marginal, ratios, socket_slab

numbers = st.floats(min_value=0.001, max_value=1e9)


@given(st.lists(numbers, min_size=1))
def test_a_spread_is_median_least_and_greatest(samples: list[float]):
    spread = Spread.of(iter(samples))
    assert spread == Spread(statistics.median(samples), min(samples), max(samples))


def test_no_spread_of_nothing():
    with pytest.raises(ValueError, match="no samples"):
        Spread.of([])


def test_ratios_are_taken_round_by_round():
    # The machine was three times slower in the second round; that is no difference of the servers.
    assert ratios([100, 30, 110], [200, 60, 200]) == Spread(0.5, 0.5, 0.55)


@given(st.lists(numbers, min_size=1), st.floats(min_value=0.1, max_value=10))
def test_a_constant_factor_is_found_whatever_the_noise(noise: list[float], factor: float):
    spread = ratios([factor * n for n in noise], noise)
    assert spread is not None
    assert (spread.low, spread.median, spread.high) == pytest.approx((factor,) * 3)


def test_ratios_to_nothing():
    assert ratios([1, 2], [0, 0]) is None
    assert ratios([1, 2], []) is None
    assert ratios([3, 8], [0, 4]) == Spread(2, 2, 2)


def test_marginal_cost_leaves_out_what_was_there_before():
    assert marginal(50_000_000, 51_800_000, 1_000, 10_000) == 200


@pytest.mark.parametrize("many", [1_000, 999])
def test_marginal_cost_needs_more_connections(many: int):
    with pytest.raises(ValueError, match=f"needs more than 1000 connections, not {many}"):
        marginal(0, 0, 1_000, many)


class TestSocketSlab:
    before: Final = {
        "TCP": Cache(10, 2_520),
        "sock_inode_cache": Cache(12, 860),
        "dentry": Cache(5_000, 195),
        "proc_inode_cache": Cache(300, 700),
    }

    def after(self, **more: int) -> dict[str, Cache]:
        return {name: Cache(c.objects + more.get(name, 0), c.slot) for name, c in self.before.items()}

    def test_what_sockets_are_made_of(self):
        after = self.after(TCP=20, sock_inode_cache=20, dentry=20) | {"filp": Cache(20, 195)}
        assert socket_slab(self.before, after) == 20 * (2_520 + 860 + 195 + 195)

    def test_what_other_programs_open_is_left_out(self):
        quiet = socket_slab(self.before, self.after(TCP=20, sock_inode_cache=20, dentry=20))
        noisy = self.after(TCP=20, sock_inode_cache=20, dentry=900, proc_inode_cache=500)
        noisy |= {
            "btrfs_inode": Cache(70, 1_100),
            "task_struct": Cache(9, 9_000),
            "inode_cache": Cache(9, 600),
        }
        assert socket_slab(self.before, noisy) == quiet

    def test_what_other_programs_close_is_left_out(self):
        quiet = socket_slab(self.before, self.after(TCP=20, sock_inode_cache=20, dentry=20))
        assert socket_slab(self.before, self.after(TCP=20, sock_inode_cache=20, dentry=-3_000)) == quiet


def test_kernel_side():
    assert kernel_side(8_400, 4_100) == (4_300, "both ends less the client's")
    assert kernel_side(8_400, None) == (4_200, "half of both ends")


class TestAccounts:
    def test_slabinfo(self, tmp_path: Path):
        file = tmp_path / "slabinfo"
        file.write_text(
            "slabinfo - version: 2.1\n"
            "# name <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables ...\n"
            "TCP 31 39 2368 13 8 : tunables 0 0 0 : slabdata 3 3 0\n"
            "eventpoll_epi 64 64 128 32 1 : tunables 0 0 0 : slabdata 2 2 0\n"
        )
        assert accounts.read_slab(file) == {
            "TCP": Cache(31, 8 * accounts.PAGE / 13),
            "eventpoll_epi": Cache(64, accounts.PAGE / 32),
        }

    def test_descriptors_are_counted(self, tmp_path: Path):
        before = accounts.read_account(os.getpid())
        with (tmp_path / "one").open("w"), (tmp_path / "two").open("w"):
            assert accounts.read_account(os.getpid()).descriptors == before.descriptors + 2

    def test_resident_memory_is_what_was_touched(self):
        """In a process of its own: this one gives memory back at times of its own choosing."""
        size = 64 << 20
        code = f"print(flush=True); input(); kept = b'x' * {size}; print(flush=True); input()"
        with subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        ) as process:
            resident = []
            for _ in range(2):
                assert process.stdout.readline() == b"\n"
                resident.append(accounts.read_account(process.pid).resident)
                process.stdin.write(b"\n")
        assert size <= resident[1] - resident[0] <= size + (8 << 20)
