"""Attempts that their machines failed: the worker's fault, until the task meets it wherever it goes."""

from __future__ import annotations

import pytest

from boss.core.check import check
from boss.core.policy import Policy
from tests.worlds.scheduler import FakeWorker, World
from wire.messages import Run

FULL = "cannot prepare the attempt: No space left on device"
STRIKES = 3


@pytest.fixture
def world() -> World:
    return World(Policy(lease=1e6, strikes=STRIKES, restart_max=30.0))


class Site:
    """Workers that do what a real one does: run what they are sent, in turns, `bad` tasks never."""

    def __init__(self, world: World, names: list[str], *bad: int) -> None:
        self.world = world
        self.workers = {name: world.worker(name, slots=1) for name in names}
        self.bad = set(bad)
        self.full: set[str] = set()
        #: (worker, task) of each attempt that a machine failed.
        self.failed: list[tuple[str, int]] = []
        self.succeeded: list[int] = []

    def go_on(self, seconds: float) -> None:
        """Until so much later."""
        for _ in range(int(seconds)):
            for name, worker in self.workers.items():
                for run in worker.ordered(Run):
                    self._run(name, worker, run)
            self.world.wait(1.0)

    def _run(self, name: str, worker: FakeWorker, run: Run) -> None:
        worker.began((run.task, run.attempt))
        if run.task in self.bad or name in self.full:
            self.failed.append((name, run.task))
            worker.ended(run.task, run.attempt, "failed", fault="worker", reason=FULL)
        else:
            self.succeeded.append(run.task)
            worker.ended(run.task, run.attempt, exit_code=0)

    def quarantined(self) -> list[str]:
        return [name for name, worker in self.workers.items() if worker.seen.quarantined]


def push(world: World, tasks: int) -> None:
    world.push({f"t{number}": "" for number in range(1, tasks + 1)})


def close(world: World) -> None:
    world.ignore()
    check(world.state)


def test_a_task_that_three_workers_in_a_row_fail_is_at_fault_itself(world: World) -> None:
    site = Site(world, ["a", "b", "c"], 1)
    push(world, 40)
    site.go_on(60)
    assert world.states("t1") == "failed"
    assert {name for name, _ in site.failed} == {"a", "b", "c"} and len(site.failed) <= 8
    reason = world.row("t1").reason
    assert "were failed by their machine on 3 workers in a row (" in reason and reason.endswith(f"the last: {FULL}")
    assert world.row("t1").failures == 0 and world.attempt(1).ended == "lost"
    assert sorted(site.succeeded) == list(range(2, 41)) and site.quarantined() == []
    assert not world.state.machine_faults and not any(one.seen.faulted for one in site.workers.values())
    close(world)


@pytest.mark.parametrize(("workers", "count"), [(1, 3), (2, 8), (3, 8), (4, 3)])
def test_such_tasks_in_front_keep_no_other_task_from_running(world: World, workers: int, count: int) -> None:
    bad = list(range(1, count + 1))
    site = Site(world, ["a", "b", "c", "d"][:workers], *bad)
    push(world, 100 + count)
    site.go_on(200)
    assert len(site.succeeded) == 100, "100 honest tasks"
    site.go_on(400)
    assert [world.states(f"t{number}") for number in bad] == ["failed"] * count
    assert site.quarantined() == [], "they are released"
    close(world)


def test_on_one_worker_it_takes_two_faults_and_a_task_that_runs_between_them(world: World) -> None:
    site = Site(world, ["a"], 1)
    push(world, 1)
    site.go_on(25)
    assert len(site.failed) >= 3 and world.states("t1") == "queued", "nothing shows that the machine is well"
    push_more = {"m1": "", "m2": ""}
    world.push(push_more)
    site.go_on(60)
    assert world.states("t1", "m1", "m2") == "failed succeeded succeeded"
    close(world)


@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_a_disk_that_is_full_for_all_of_them_for_a_moment_fails_no_task(world: World, workers: int) -> None:
    names = ["a", "b", "c", "d"][:workers]
    site = Site(world, names)
    site.full = set(names)
    push(world, 30)
    site.go_on(20)
    assert site.failed and not site.succeeded
    site.full = set()
    site.go_on(200)
    assert sorted(site.succeeded) == list(range(1, 31))
    close(world)


def test_a_machine_that_fails_whatever_it_is_sent_is_quarantined_and_costs_no_task(world: World) -> None:
    site = Site(world, ["a", "b"])
    site.full = {"a"}
    push(world, 200)
    site.go_on(150)
    assert site.quarantined() == ["a"]
    assert sorted(site.succeeded) == list(range(1, 201))
    close(world)


def test_a_probe_is_another_task_than_those_that_may_be_at_fault_themselves(world: World) -> None:
    site = Site(world, ["a"], 1, 2, 3)
    push(world, 20)
    site.go_on(15)
    assert site.quarantined() == ["a"]
    failed = len(site.failed)
    site.go_on(50)  # 60 s after it was quarantined it gets one task
    assert site.quarantined() == [] and len(site.failed) <= failed + 3
    assert site.succeeded[0] == 4
    close(world)


def test_what_ended_another_way_begins_another_row(world: World) -> None:
    site = Site(world, ["a", "b", "c"], 1)
    world.push({"t1": ""})
    site.go_on(3)
    assert world.state.machine_faults[1].total >= 2
    site.bad.clear()
    site.go_on(10)
    assert world.states("t1") == "succeeded" and not world.state.machine_faults
    close(world)


def test_a_lone_task_that_every_machine_fails_is_not_tried_for_ever(world: World) -> None:
    site = Site(world, ["a"], 1)
    world.push({"t1": ""})
    site.go_on(8000)
    assert world.states("t1") == "failed" and len(site.failed) < 30
    close(world)
