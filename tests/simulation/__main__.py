"""python -m tests.simulation --seeds 10000: play worlds, on all cores, and say which seeds failed."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time

from tests.simulation.world import World


def play(seed: int) -> tuple[int, str]:
    """The seed and what was wrong with its world; empty: nothing."""
    try:
        World(seed).run()
    except Exception as error:  # whatever breaks a world is what is looked for
        return seed, f"{type(error).__name__}: {error}"
    return seed, ""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many worlds")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    options = parser.parse_args()
    start, failed, done = time.monotonic(), 0, 0
    with multiprocessing.Pool(len(os.sched_getaffinity(0))) as pool:
        for seed, fault in pool.imap_unordered(play, range(options.first, options.first + options.seeds), chunksize=8):
            done += 1
            if fault:
                failed += 1
                sys.stdout.write(f"--- seed {seed}\n{fault}\n")
            if done % 500 == 0:
                sys.stdout.write(
                    f"{done} worlds, {failed} failed, {done / (time.monotonic() - start) * 60:.0f} a minute\n"
                )
                sys.stdout.flush()
    minutes = (time.monotonic() - start) / 60
    sys.stdout.write(f"{done - failed} passed, {failed} failed\n{done / minutes:.0f} worlds a minute\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
