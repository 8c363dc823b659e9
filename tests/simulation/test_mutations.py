"""The simulation catches what it is there to catch: every rule broken on purpose makes some world fail.

`python -m tests.simulation.test_mutations` searches all seeds from nought and says which one catches which.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import sys
from collections.abc import Iterable

import pytest

from tests.simulation.mutations import MUTATIONS, Mutation, broken
from tests.simulation.play import catches

#: Within so many seeds each is to be caught.
MAX_SEEDS = 2_000


def caught_by(mutation: Mutation, seeds: Iterable[int]) -> tuple[int, str] | None:
    """The first seed whose world fails as an assertion says (not by a slip of the mutation itself), and how."""
    with broken(mutation):
        for seed in seeds:
            failure = catches(seed)
            if failure:
                return seed, failure
    return None


@pytest.mark.timeout(0)
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_broken_rule_is_caught(mutation: Mutation) -> None:
    assert caught_by(mutation, itertools.chain([mutation.seed], range(MAX_SEEDS))), (
        f"{mutation.name} was caught by none of {MAX_SEEDS} worlds"
    )


def _search(position: int) -> tuple[str, int, str]:
    mutation = MUTATIONS[position]
    found = caught_by(mutation, range(MAX_SEEDS))
    return mutation.name, -1 if found is None else found[0], "" if found is None else found[1]


def main() -> int:
    missed = 0
    with multiprocessing.Pool(len(os.sched_getaffinity(0))) as pool:
        for name, seed, failure in pool.imap(_search, range(len(MUTATIONS))):
            missed += seed < 0
            line = failure.splitlines()[0][:150] if failure else "not caught"
            sys.stdout.write(f"{name}: seed {seed}: {line}\n")
            sys.stdout.flush()
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
