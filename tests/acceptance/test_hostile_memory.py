"""Whoever has a worker's login floods the boss with all that its schema takes and more: the boss's memory stays
bounded, it answers, and the next push works.

`python -m tests.acceptance.test_hostile_memory` prints what each flood costs.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest

from boss.client.client import Client
from tests.acceptance.hostile.login import TOPICS, assert_well, publisher
from tests.worlds.deployment import Deployment, deployment
from tests.worlds.looking import workers
from tests.worlds.waiting import scaled, wait_for
from wire.messages import (
    MAX_CACHED,
    MAX_LABEL,
    MAX_LABELS,
    MAX_SLOTS,
    VERSION,
    Heartbeat,
    HeldAttempt,
    Leaving,
    Outcome,
    Place,
    Returned,
    WorkerHello,
    WorkerReport,
    WorkerReports,
)

__all__ = ["deployment"]

MB = 1_000_000
#: Whose login it is.
EVIL = "evil"
#: What a boss may grow by under one login; the first figure of docs/guarantees.md is below it.
LIMIT_BYTES = 250 * MB


def flood(kind: str, of_deployment: str) -> Iterator[bytes]:
    """The messages of one kind of flood, each by another start of the agent where that is what floods."""

    def message(number: int, *reports: WorkerReport, incarnation: str = "evil") -> bytes:
        said = WorkerReports(
            version=VERSION,
            deployment=of_deployment,
            worker=EVIL,
            incarnation=incarnation,
            number=number,
            epoch=1,
            confirms=list(range(1000)),
            reports=list(reports),
        )
        return msgspec.json.encode(said)

    labels = {f"{number:03}" + "x" * (MAX_LABEL - 3): "y" * MAX_LABEL for number in range(MAX_LABELS)}
    cached = [f"b2:{number:064x}" for number in range(MAX_CACHED)]
    place = Place(kind="ssh", path="/" + "p" * 4000, host="h" * 255, host_keys=["ssh-ed25519 " + "k" * 9000] * 32)
    hello = WorkerHello(
        pool="p" * 255,
        slots=MAX_SLOTS,
        memory=2**53 - 1,
        labels=labels,
        place=place,
        held=[HeldAttempt(task=number, attempt=1, phase="ended") for number in range(20_000)],
        initialized=list(range(60_000)),
        died=[(number, 1) for number in range(20_000)],
        cached=cached,
    )
    yield message(1, WorkerHello(pool="", slots=1, place=Place(path="/nowhere")))
    for number in range(2, 152):
        if kind == "incarnations of 1 MB":
            yield message(number, hello, incarnation=f"{number}" + "i" * MB)
        elif kind == "starts with hellos of 1 MB":
            yield message(1, hello, incarnation=f"evil{number}")
        elif kind == "progress of nothing" and number < 32:
            yield message(number, Heartbeat(progress=[(number * 60_000 + each, 1, 0.5) for each in range(60_000)]))
        elif kind == "ends of nothing":
            yield message(number, *(Returned(task=number * 60_000 + each, attempt=1) for each in range(20_000)))
        elif kind == "outcomes of nothing" and number < 32:
            tail = "x" * 60_000
            yield message(
                number, *(Outcome(task=each, attempt=1, ended="failed", stdout_tail=tail) for each in range(60))
            )
        elif kind == "reasons" and number < 102:
            yield message(1, Leaving(reason="r" * 16_000), hello, incarnation=f"evil{number}")
        elif kind == "8 MB of brackets" and number < 32:
            yield b"[" * 8 * MB


KINDS = (
    "incarnations of 1 MB",
    "starts with hellos of 1 MB",
    "progress of nothing",
    "ends of nothing",
    "outcomes of nothing",
    "reasons",
    "8 MB of brackets",
)


def boss_of(running: Deployment) -> int:
    return running.pid("boss")


def resident(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


def pour(running: Deployment, kind: str) -> int:
    """Bytes that were sent; the boss has seen all of them."""
    found = re.search(r"of deployment (\w+)", running.log())
    assert found
    sent = 0
    with publisher(running, EVIL) as client:
        for payload in flood(kind, found[1]):
            sent += len(payload)
            taken = client.publish(TOPICS.reports(EVIL), payload, qos=1)
            wait_for(lambda taken=taken: taken.is_published(), "the broker takes it", 30)
    return sent


@pytest.mark.timeout(scaled(300))
def test_the_memory_of_the_boss_is_bounded_whatever_one_login_sends(deployment: Deployment) -> None:
    deployment.start_boss()
    wait_for(lambda: [one["state"] for one in deployment.look(workers)] == ["online"], "the worker is there")
    before = deployment.processes()
    assert deployment.admin("login", EVIL).returncode == 0
    at_first = resident(boss_of(deployment))
    for kind in KINDS:
        pour(deployment, kind)
        assert deployment.look(Client.status)["running"]
        grown = resident(boss_of(deployment)) - at_first
        assert grown < LIMIT_BYTES, f"{kind}: the boss has grown by {grown / MB:.0f} MB"
    assert_well(deployment, before, "flooded")
    counts = deployment.look(Client.status)["rejected_reports"]
    assert {"malformed", "started_too_often"} <= counts.keys(), counts


def main() -> int:
    for kind in KINDS:
        with TemporaryDirectory() as folder:
            running = Deployment(Path(folder))
            try:
                running.start_boss()
                wait_for(lambda running=running: running.look(workers), "the worker is there")
                running.admin("login", EVIL)
                before = resident(boss_of(running))
                sent = pour(running, kind)
                running.look(Client.status)
                grown = resident(boss_of(running)) - before
                sys.stdout.write(
                    f"{kind}: {sent / MB:.0f} MB sent, the boss grew from {before / MB:.0f} by {grown / MB:.0f} MB\n"
                )
                sys.stdout.flush()
            finally:
                running.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
