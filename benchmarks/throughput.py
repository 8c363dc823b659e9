#!/usr/bin/env python3
"""How fast ecloud is on this machine: `make bench`, or `python benchmarks/throughput.py [--quick] [--json FILE]`.

Everything is measured in one run through a real boss, broker, database and worker with two slots, beside the
floor of the same machine (a loop of posix_spawn in two processes) and `xargs -P2`. Rates of different runs or
machines do not compare; ratios to the floor do.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import floors, loads, measures, table
from benchmarks.servers import mariadb, missing
from benchmarks.system import Kind, System, running
from benchmarks.table import Row


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How much of everything."""

    floor: int
    spawned: int
    noop: int
    fan: int
    latencies: int
    accept: tuple[int, ...]
    #: This many no-op tasks with two dependencies are run to their end by a new boss, then pushed again.
    again: int


FULL = Sizes(4_000, 5_000, 50_000, 2_000, 50, (100_000, 1_000_000), 1_000_000)
QUICK = Sizes(1_000, 1_000, 10_000, 500, 15, (20_000,), 20_000)
TINY = Sizes(100, 50, 200, 20, 3, (500,), 300)

_SIZES = {"full": FULL, "quick": QUICK, "tiny": TINY}
_GROUPS = ("floor", "runs", "latency", "accept", "again")


class Report:
    """Gathers rows, and shows each as soon as it is there."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._floor = Row(name="")

    def add(self, row: Row) -> None:
        if row.name.startswith("floor"):
            self._floor = row
        if row.cpu and self._floor.cpu:
            row.of_floor = row.rate / self._floor.rate
            row.cpu_of_floor = sum(self._floor.cpu.values()) / max(sum(row.cpu.values()), 1.0)
        self.rows.append(row)
        sys.stderr.write(f"{row.name}, {row.parts}: {row.seconds:.4g} s, {row.rate:,.0f}/s {row.more}\n")

    def ran(self, name: str, kind: Kind, run: measures.Run, target: str = "") -> None:
        self.add(timed(name, kind.text, run.count, run.seconds, cpu=run.cpu.per_task(run.count), target=target))


def timed(name: str, parts: str, count: int, seconds: float, **rest: Any) -> Row:
    """A row whose rate is worth telling."""
    return Row(name=name, parts=parts, count=count, seconds=seconds, rate=count / seconds, **rest)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_const", dest="size", const="quick", default="full",
                        help="smaller numbers: about a minute")  # fmt: skip
    parser.add_argument("--size", choices=_SIZES, help="full (default), quick, or tiny (to try the benchmark itself)")
    parser.add_argument("--only", choices=_GROUPS, action="append", help="these rows only; may be given more than once")
    parser.add_argument("--database", choices=("sqlite", "mariadb"), help="this database only")
    parser.add_argument("--broker", choices=("mosquitto", "amqtt"), help="this broker only")
    parser.add_argument("--json", metavar="FILE", help="write the rows as JSON too; - is stdout, instead of the table")
    parser.add_argument("--markdown", action="store_true", help="print the table as docs/performance.md has it")
    options = parser.parse_args(arguments)
    report = Report()
    try:
        _measure(report, _SIZES[options.size], options)
    finally:
        _print(report.rows, options)
    return 0


def _print(rows: list[Row], options: argparse.Namespace) -> None:
    """Also of a run that broke off."""
    if options.json and options.json != "-":
        Path(options.json).write_text(table.as_json(rows) + "\n")
    if options.json == "-":
        print(table.as_json(rows))
    else:
        print(table.machine())
        print(table.markdown(rows) if options.markdown else table.text(rows))


def _measure(report: Report, sizes: Sizes, options: argparse.Namespace) -> None:
    groups = options.only or _GROUPS
    if "floor" in groups:
        _floors(report, sizes)
    for kind in _kinds(options):
        with _database(kind) as (url, pid), running(kind, url, pid) as system:
            if "runs" in groups:
                _runs(report, sizes, kind, system)
            if "latency" in groups:
                _latency(report, sizes, kind, system)
        if kind.broker != "mosquitto" and options.broker is None:
            continue  # acceptance has nothing to do with the broker
        for count in sizes.accept if "accept" in groups else ():
            with _database(kind) as (url, pid):
                _accept(report, kind, url, pid, count)
        if "again" in groups and kind.database == "sqlite":
            _again(report, sizes, kind)


def _kinds(options: argparse.Namespace) -> Iterator[Kind]:
    for kind in (Kind(), Kind(database="mariadb"), Kind(broker="amqtt")):
        if options.database not in (None, kind.database) or options.broker not in (None, kind.broker):
            continue
        fault = missing(kind.database, kind.broker)
        if fault:
            sys.stderr.write(f"the rows of {kind.text} are left out: {fault}\n")
        else:
            yield kind


@contextmanager
def _database(kind: Kind) -> Iterator[tuple[str, int]]:
    """URL and process of an empty database server; nothing for SQLite."""
    with ExitStack() as stack:
        yield stack.enter_context(mariadb()) if kind.database == "mariadb" else ("", 0)


def _floors(report: Report, sizes: Sizes) -> None:
    parts = "2 processes"
    for name, floor in (
        ("floor: posix_spawn of true", floors.spawn_loop(sizes.floor)),
        ("xargs -P2 true", floors.xargs(sizes.floor)),
    ):
        cpu = {"all": floor.cpu_seconds / floor.count * 1e6}
        report.add(timed(name, parts, floor.count, floor.seconds, cpu=cpu))


def _runs(report: Report, sizes: Sizes, kind: Kind, system: System) -> None:
    def run(name: str, nodes: Iterable[loads.Node], count: int, *, noop: bool = False, target: str = "") -> None:
        report.ran(name, kind, measures.run(system, nodes, count, noop=noop, project=name.replace(" ", "-")), target)

    measures.run(system, loads.independent(20), 20, noop=False, project="warm-up")
    run("true", loads.independent(sizes.spawned), sizes.spawned, target="1,000/s")
    run("no-op", loads.independent(sizes.noop), sizes.noop, noop=True, target="20,000/s on SQLite")
    run("chains of 5 true", loads.chains(sizes.spawned), sizes.spawned)
    run("fan of true", loads.fan(sizes.fan), 2 * sizes.fan + 1)
    report.rows[-1].more = f"{sizes.fan:,} -> 1 -> {sizes.fan:,}"


def _latency(report: Report, sizes: Sizes, kind: Kind, system: System) -> None:
    for name, noop in (("latency of one true", False), ("latency of one no-op", True)):
        found = measures.latencies(system, sizes.latencies, noop=noop)
        median, worst = measures.median_and_worst(found)
        words = f"median {median * 1000:.1f} ms, 95 % below {worst * 1000:.1f} ms, least {found[0] * 1000:.1f} ms"
        report.add(Row(name=name, parts=kind.text, count=len(found), seconds=median, more=words, target="10 ms"))


def _accept(report: Report, kind: Kind, url: str, pid: int, count: int) -> None:
    """By a boss without workers, so that acceptance alone is seen; then by a client with a task file."""
    with running(kind, url, pid, ECLOUD_LOCAL_WORKERS="0") as system:
        taken = measures.accept(system, count, "accepted")
        words = f"boss {taken.before_mib:.0f} -> {taken.peak_mib:.0f} MiB at its peak, CPU {taken.cpu_seconds:.1f} s"
        target = "20 s, 600 MB" if count == 1_000_000 else ""
        name = "accept, two dependencies each"
        report.add(timed(name, kind.text, count, taken.seconds, more=words, target=target))
        if kind.database == "sqlite":
            path = system.home.parent / "tasks.json"
            loads.write_task_file(path, loads.two_dependencies(count))
            seconds = measures.push_file(system, path, "from-a-file")
            words = f"file of {path.stat().st_size / 1e6:.0f} MB"
            report.add(timed("push_tasks.py --detach of a file", kind.text, count, seconds, more=words))


def _again(report: Report, sizes: Sizes, kind: Kind) -> None:
    """A boss takes over unfinished tasks, runs them to their end, and is pushed the same again."""
    count = sizes.again
    with running(kind, ECLOUD_LOCAL_WORKERS="0") as system:
        measures.accept(system, count, "again")
        system.stop()
        system.with_workers(1)
        seconds = system.start()
        words = f"{system.memory_mib('VmHWM'):.0f} MiB"
        name = "boss starts with unfinished tasks"
        report.add(Row(name=name, parts=kind.text, count=count, seconds=seconds, more=words))
        run = measures.wait_for_all(system, 1, count)
        report.ran("no-op, two dependencies each", kind, run)
        system.stop()
        system.start()
        taken = measures.accept(system, count, "again")
        words = f"boss {taken.before_mib:.0f} -> {taken.peak_mib:.0f} MiB at its peak"
        report.add(timed("the same finished tasks pushed again", kind.text, count, taken.seconds, more=words))


if __name__ == "__main__":
    sys.exit(main())
