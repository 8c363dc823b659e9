"""python -m tests.simulation --seeds 10000: play worlds, on all cores, and say which seeds failed."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from functools import partial

from tests.simulation.play import STORES, play, play_only


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many worlds")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--store", choices=sorted(STORES), default="model", help="the database: a model, or SQLite")
    parser.add_argument("--only", help="play the first seed with these of its faults alone, separated by semicolons")
    parser.add_argument("--shrink", action=argparse.BooleanOptionalAction, default=True, help="look for few faults")
    options = parser.parse_args()
    if options.only is not None:
        failure = play_only(options.first, [name for name in options.only.split(";") if name], options.store)
        sys.stdout.write(f"{failure or 'passed'}\n")
        return 1 if failure else 0
    return _play_all(options)


def _play_all(options: argparse.Namespace) -> int:
    start, failed, done = time.monotonic(), 0, 0
    seeds = range(options.first, options.first + options.seeds)
    with multiprocessing.Pool(len(os.sched_getaffinity(0))) as pool:
        one = partial(play, store=options.store, shrink=options.shrink)
        for _, fault in pool.imap_unordered(one, seeds, chunksize=4):
            done += 1
            if fault:
                failed += 1
                sys.stdout.write(f"---\n{fault}\n")
            if done % 500 == 0:
                rate = done / (time.monotonic() - start) * 60
                sys.stdout.write(f"{done} seeds, {failed} failed, {rate:.0f} a minute\n")
                sys.stdout.flush()
    seconds = time.monotonic() - start
    rate = done / seconds * 60
    sys.stdout.write(f"{done - failed} passed, {failed} failed, in {seconds:.0f} s: {rate:.0f} seeds a minute\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
