#!/usr/bin/env python3
"""What moving data costs, as ratios to plain rsync in the same run: `python benchmarks/data_plane.py [--quick]`.

Workers are homes behind a real sshd on this machine, reached by SSH as other hosts are; the tree is on a real disk. The
first three rows drive the datastore's program alone, the fourth a whole deployment. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import msgspec

from benchmarks import plane_floors as floors
from benchmarks.plane import Plane, running
from benchmarks.same_second import same_second
from benchmarks.table import machine
from tests.worlds.hosts.proxy import Proxy
from wire.messages import Collect, CollectFile, Input, ResultItem, Stage, StageDone
from worker.results import list_results

MB = 1_000_000


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How much of everything; sizes in bytes."""

    hosts: int
    results: int
    result: int
    large: int
    tasks: int
    shared: int
    together: int
    #: The first two rows are measured so often, in turn with their floors; what counts is the median.
    turns: int


FULL = Sizes(
    hosts=8, results=10_000, result=10_000, large=1_000 * MB, tasks=1_000, shared=50 * MB, together=1_000, turns=3
)
QUICK = dataclasses.replace(FULL, results=2_000, large=200 * MB, tasks=200, shared=10 * MB, together=200, turns=3)
TINY = Sizes(hosts=2, results=40, result=10_000, large=2 * MB, tasks=20, shared=1 * MB, together=16, turns=1)
SIZES = {"full": FULL, "quick": QUICK, "tiny": TINY}


@dataclasses.dataclass
class Row:
    name: str
    seconds: float
    #: Of the floor; 0: there is none.
    floor: float = 0.0
    ratio: float = 0.0
    goal: str = ""
    more: str = ""


# --- many small results ---------------------------------------------------------------------------------


def many_results(plane: Plane, sizes: Sizes) -> Row:
    keys = [(task, plane.workers[task % sizes.hosts]) for task in range(1, sizes.results + 1)]
    digests = {}
    for task, worker in keys:
        work = plane.work(worker, (task, 1))
        work.mkdir(parents=True)
        (work / "result").write_bytes(os.urandom(sizes.result))
        digests[task] = floors.digest(work / "result")

    def collect(turn: int) -> float:
        orders = []
        for task, worker in keys:
            if turn > 1:
                home = plane.home(worker) / "attempts"
                (home / f"{task}.{turn - 1}").rename(home / f"{task}.{turn}")
            name = f"many/{turn}/{task}"
            file = CollectFile(source="result", target=name, size=sizes.result, digest=digests[task])
            orders.append(Collect(task=task, attempt=turn, worker=worker, place=plane.place(worker), files=[file]))
        with plane.datastore():
            return _timed(lambda: plane.ask(orders))

    def floor(turn: int) -> float:
        target = plane.folder / f"floor-{turn}"
        target.mkdir()
        sources = [(plane.home(worker) / "attempts", target / worker) for worker in plane.workers]
        commands = [floors.rsync_command(plane.server, source, place) for source, place in sources]
        return _timed(lambda: (floors.rsync_all(commands), floors.digest_all(target), floors.sync_all(target)))

    took, floor_took = _in_turn(sizes.turns, collect, floor)
    name = f"{sizes.results:,} results of {sizes.result / 1000:g} kB from {sizes.hosts} hosts"
    more = "floor: one rsync a host, side by side; then a digest of each file and one syncfs"
    return Row(name, took, floor_took, took / floor_took, "≤ 1.5", more)


# --- one large result -----------------------------------------------------------------------------------


def large_result(plane: Plane, sizes: Sizes) -> Row:
    worker = plane.workers[0]
    shutil.rmtree(plane.home(worker) / "attempts", ignore_errors=True)
    work = plane.work(worker, (1_000_001, 1))
    work.mkdir(parents=True)
    with open(work / "large", "wb") as file:
        for _ in range(0, sizes.large, MB):
            file.write(os.urandom(MB))
    floors.sync_all(work)

    def collect(turn: int) -> float:
        if turn > 1:
            plane.work(worker, (1_000_001, turn - 1)).parent.rename(plane.work(worker, (1_000_001, turn)).parent)
        with plane.datastore():
            return _timed(lambda: plane.ask([_listed(plane, worker, turn)]))

    def floor(turn: int) -> float:
        source, target = plane.home(worker) / "attempts", plane.folder / f"large-{turn}"
        target.mkdir()
        (sent,) = source.rglob("large")

        def floor_took() -> None:
            floors.digest(sent)
            floors.rsync_all([floors.rsync_command(plane.server, source, target)])
            (came,) = target.rglob("large")
            floors.digest(came)
            floors.sync_file(came)

        took = _timed(floor_took)
        shutil.rmtree(target)
        return took

    took, floor_took = _in_turn(sizes.turns, collect, floor)
    name = f"one result of {sizes.large / MB:,.0f} MB"
    more = "both with the worker's digest; floor: digest, rsync, digest, fsync, one after another"
    return Row(name, took, floor_took, took / floor_took, "≤ 1.1", more)


def _listed(plane: Plane, worker: str, turn: int) -> Collect:
    """What the worker does at the end of an attempt, and the order that follows from it."""
    key = (1_000_001, turn)
    manifest = list_results(plane.work(worker, key), [ResultItem(source="large", target="large")]).manifest
    files = [
        CollectFile(source=each.source, target=each.target, size=each.size, digest=each.digest) for each in manifest
    ]
    return Collect(task=key[0], attempt=turn, worker=worker, place=plane.place(worker), files=files)


# --- one input of many tasks ----------------------------------------------------------------------------


def shared_input(plane: Plane, sizes: Sizes) -> Row:
    content = os.urandom(sizes.shared)
    plane.tree.mkdir(exist_ok=True)
    (plane.tree / "shared").write_bytes(content)
    wanted = Input(name="shared", path="shared", digest=floors.digest(plane.tree / "shared"), size=sizes.shared)
    with ExitStack() as ending, plane.datastore():
        proxies = [ending.enter_context(Proxy((plane.server.host, plane.server.port)).running()) for _ in plane.workers]
        places = [
            msgspec.structs.replace(plane.place(worker), port=proxy.port)
            for worker, proxy in zip(plane.workers, proxies, strict=True)
        ]
        orders = [
            Stage(
                task=2_000_000 + task,
                attempt=1,
                worker=plane.workers[task % sizes.hosts],
                place=places[task % sizes.hosts],
                inputs=[wanted],
            )
            for task in range(sizes.tasks)
        ]
        answers: list[object] = []
        took = _timed(lambda: answers.extend(plane.ask(orders)))
        sent = sum(proxy.to_target for proxy in proxies)
    reported = sum(answer.bytes_moved for answer in answers if isinstance(answer, StageDone))
    name = f"an input of {sizes.shared / MB:g} MB for {sizes.tasks:,} tasks on {sizes.hosts} hosts"
    more = f"{sent / sizes.shared:.2f} x its size crossed the network ({reported / sizes.shared:.2f} x by its reports)"
    return Row(name, took, goal=f"≤ {sizes.hosts + 0.5:g} x its size", more=more)


# --- a thousand ends in one second ----------------------------------------------------------------------


def ends_together(sizes: Sizes) -> Row:
    found = same_second(sizes.together, sizes.hosts)
    name = f"{sizes.together:,} tasks that end in the same second on {sizes.hosts} hosts"
    more = (
        f"{found.failed} failed connections, {found.logins} logins, {found.transfers} transfers, "
        f"at most {found.peak} at once (limit {found.limit}); turns of the boss: median "
        f"{1000 * found.turn(0.5):.0f} ms, 99 % below {1000 * found.turn(0.99):.0f} ms"
    )
    return Row(name, found.seconds, goal="0 failed; turns: 50 ms", more=more)


# --- the run --------------------------------------------------------------------------------------------


def _timed(what: Callable[[], object]) -> float:
    began = time.perf_counter()
    what()
    return time.perf_counter() - began


def _in_turn(turns: int, one: Callable[[int], float], other: Callable[[int], float]) -> tuple[float, float]:
    """Medians."""
    took = [(one(turn), other(turn)) for turn in range(1, turns + 1)]
    return statistics.median(first for first, _ in took), statistics.median(second for _, second in took)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _line(row: Row) -> str:
    ratio = f"{row.floor:8.2f} s  {row.ratio:5.2f}" if row.floor else " " * 17
    return f"{row.name:60}  {row.seconds:8.2f} s  {ratio}  {row.goal:20}  {row.more}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--quick", action="store_const", const="quick", dest="size", help="the same as --size quick")
    parser.add_argument("--only", choices=("many", "large", "shared", "together"), help="one row alone")
    parser.add_argument("--json", type=Path, help="write the rows to this file, too")
    parser.add_argument("--folder", type=Path, help="directory on the disk to measure (default: of temporary files)")
    options = parser.parse_args()
    sizes = SIZES[options.size]
    _say(machine())
    _say(f"{'what':60}  {'seconds':>10}  {'floor':>10}  ratio  goal")
    rows = []
    alone = {"many": many_results, "large": large_result, "shared": shared_input}
    for name, measure in alone.items():
        if options.only in (None, name):
            with running(sizes.hosts, options.folder) as plane:
                rows.append(measure(plane, sizes))
            _say(_line(rows[-1]))
    if options.only in (None, "together"):
        rows.append(ends_together(sizes))
        _say(_line(rows[-1]))
    if options.json:
        found = {"machine": machine(), "rows": [dataclasses.asdict(row) for row in rows]}
        options.json.write_text(json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
