"""Random worlds: each from one seed, played to its end, with every rule checked after every step.

`--seeds N` plays more of them; a failing one names its seed, and `python -m tests.simulation --first SEED
--seeds 1` plays exactly that one again.
"""

from __future__ import annotations

import multiprocessing
import os
from functools import partial

import pytest

from tests.simulation.play import catches, play, smaller
from tests.simulation.world import World


def test_worlds_without_faults_come_to_their_end() -> None:
    for seed in range(20):
        World(seed, calm=True).run()


@pytest.mark.timeout(0)  # as many worlds as are asked for
def test_worlds_with_every_fault_keep_every_rule(seeds: int) -> None:
    with multiprocessing.get_context("spawn").Pool(len(os.sched_getaffinity(0))) as pool:
        failed = [failure for _, failure in pool.imap_unordered(play, range(seeds), chunksize=4) if failure]
    assert not failed, f"{len(failed)} of {seeds} worlds failed; the first:\n{failed[0]}"


@pytest.mark.timeout(0)
def test_worlds_over_the_real_database_keep_every_rule() -> None:
    with multiprocessing.get_context("spawn").Pool(len(os.sched_getaffinity(0))) as pool:
        failed = [failure for _, failure in pool.imap_unordered(partial(play, store="sqlite"), range(10)) if failure]
    assert not failed, failed[0]


def test_a_failure_is_shown_in_the_few_faults_that_it_needs() -> None:
    few, tries = smaller([str(n) for n in range(40)], lambda names: "7" in names and "31" in names)
    assert few == ["7", "31"]
    assert tries < 40


def test_a_world_without_its_faults_is_a_calm_one() -> None:
    world = World(3, only=[])
    world.run()
    assert not world.faults.struck
    assert not catches(3)


def test_the_same_seed_plays_the_same_world() -> None:
    first, second = World(7), World(7)
    first.run()
    second.run()
    assert (first.clock.steps, first.clock.now) == (second.clock.steps, second.clock.now)
    assert first.store.attempts == second.store.attempts
