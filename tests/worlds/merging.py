"""Tasks that are pushed again: what runs meanwhile, and what the next boss would hold."""

from __future__ import annotations

from boss.core.check import check
from boss.core.graph import Batch
from boss.core.scheduler import Scheduler
from tests.worlds.scheduler import FakeWorker, World
from wire.messages import (
    Run,
)


def ran(world: World, worker: FakeWorker, *ids: str, how: str = "succeeded") -> None:
    """Each has its newest attempt, which ends so. Nothing of what the boss says to it is looked at."""
    for id in ids:
        row = world.row(id)
        worker.began((row.number, row.attempt))
        worker.ended(row.number, row.attempt, how, exit_code=0 if how == "succeeded" else 1)
    world.ignore()


def commands(world: World, worker: FakeWorker) -> dict[tuple[int, int], str]:
    """What it was sent to run: (task, attempt) -> its command."""
    return {(run.task, run.attempt): str(run.execution.commands[0]) for run in worker.ordered(Run)}


def columns(batch: Batch) -> tuple[object, ...]:
    edges = [sorted(batch.dependants_of(index)) for index in range(batch.count)]
    profiles = [batch.profile(index) for index in range(batch.count)]
    return batch.states, batch.unmet, batch.broken, batch.attempts, edges, profiles, batch.sizes


def agree_after_restart(world: World) -> None:
    """What the next boss would read is what this one holds: states, counters, edges, descriptions."""
    following = Scheduler(world.policy)
    following.restore(world.store.load(), world.now, world.now)
    check(following.state)
    for number, batch in following.state.batches.items():
        assert columns(batch) == columns(world.state.batches[number]), f"batch {number}"
    crossing = {number: sorted(to) for number, to in following.state.crossing.items()}
    for number, to in crossing.items():
        assert to == sorted(world.state.crossing[number])
