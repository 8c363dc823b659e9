"""Random worlds: each from one seed, played to its end, with every rule checked after every step.

`--seeds N` plays more of them; a failing one names its seed, and `python -m tests.simulation --first SEED
--seeds 1` plays exactly that one again.
"""

from __future__ import annotations

import multiprocessing
import os

import pytest

from tests.simulation.__main__ import play
from tests.simulation.world import World


def test_worlds_without_faults_come_to_their_end() -> None:
    for seed in range(20):
        World(seed, calm_only=True).run()


@pytest.mark.timeout(0)  # as many worlds as are asked for
def test_worlds_with_every_fault_keep_every_rule(seeds: int) -> None:
    with multiprocessing.get_context("spawn").Pool(len(os.sched_getaffinity(0))) as pool:
        failed = [told for _, told in pool.imap_unordered(play, range(seeds), chunksize=8) if told]
    assert not failed, f"{len(failed)} of {seeds} worlds failed; the first:\n{failed[0]}"


def test_the_same_seed_plays_the_same_world() -> None:
    first, second = World(7), World(7)
    first.run()
    second.run()
    assert (first.clock.steps, first.clock.now) == (second.clock.steps, second.clock.now)
    assert first.store.attempts == second.store.attempts
