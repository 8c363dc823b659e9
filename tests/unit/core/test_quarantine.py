"""Workers that fail by their own fault are quarantined, prove themselves with one task, and are released."""

from __future__ import annotations

import pytest

from boss.core import host_keys, quarantine
from boss.core.check import check
from boss.core.events import QuarantineAsked
from boss.core.model import Profile
from boss.core.policy import Policy
from boss.core.reasons import LASTING, UNTRUSTED_HOST, Quarantine, QuarantineKind
from tests.worlds.scheduler import FakeWorker, World
from wire.messages import Acknowledge, Run, TakeBack

PROBE = 60.0


@pytest.fixture
def world() -> World:
    """One task fails for want of a disk as long as the test says so; a long lease keeps silence out of it."""
    return World(Policy(probe=PROBE, probe_max=200.0, lease=1e6, strikes=3))


def graph(count: int) -> dict[str, str]:
    return {f"t{number}": "" for number in range(1, count + 1)}


def fail_all(worker: FakeWorker, *, max_tasks: int = 100) -> list[tuple[int, int]]:
    """Whatever it is sent fails by its own fault, until it is sent nothing more."""
    failed: list[tuple[int, int]] = []
    while (runs := worker.ordered(Run)) and len(failed) < max_tasks:
        for run in runs:
            failed.append((run.task, run.attempt))
            worker.ended(run.task, run.attempt, "failed", fault="worker", reason="the disk is full")
    return failed


def archive(world: World, tasks: int = 6) -> FakeWorker:
    worker = world.worker(slots=1)
    world.push(graph(tasks))
    fail_all(worker)
    assert worker.seen.quarantined
    return worker


def quiet(world: World) -> None:
    world.ignore()
    check(world.state)


def test_faults_of_three_different_tasks_set_a_worker_aside_with_the_reason() -> None:
    world = World(Policy(lease=1e6))
    worker = world.worker(slots=1)
    world.push(graph(3))
    for task in (1, 2, 3):
        assert not worker.seen.quarantined
        worker.ended(task, 1, "failed", fault="worker", reason="the disk is full")
    assert worker.seen.row.quarantined == "3 attempts in a row failed by its own fault, the last: the disk is full"
    assert worker.seen.row.quarantined_kind == "failures" and world.store.workers["w"] == worker.seen.row
    quiet(world)


def test_a_workers_fault_costs_the_task_no_retry_and_is_followed_by_a_pause(world: World) -> None:
    worker = world.worker(slots=1)
    world.push({"only": ""})
    (run,) = worker.ordered(Run)
    worker.ended(run.task, run.attempt, "failed", fault="worker", reason="no room")
    assert (world.states("only"), world.row("only").failures) == ("queued", 0)
    assert world.attempt(1).ended == "lost" and world.attempt(1).fault == "worker"
    assert worker.ordered(Run) == []
    world.wait(1.0)
    assert [(one.task, one.attempt) for one in worker.ordered(Run)] == [(1, 2)]
    quiet(world)


def test_one_task_alone_does_not_set_a_worker_aside_at_once() -> None:
    world = World(Policy(lease=1e6, probe=0.0, restart_max=2.0))
    worker = world.worker(slots=1)
    world.push({"only": ""})
    for attempt in range(1, 9):
        world.wait(2.0)
        worker.orders()
        worker.ended(1, attempt, "failed", fault="worker", reason="odd")
        assert not worker.seen.quarantined, attempt
    world.wait(2.0)
    worker.orders()
    worker.ended(1, 9, "failed", fault="worker", reason="odd")
    assert worker.seen.quarantined
    quiet(world)


def test_a_success_or_a_failure_by_a_task_restarts_the_count(world: World) -> None:
    worker = world.worker(slots=1)
    world.push(graph(10))
    for fault, how in [("worker", "failed"), ("worker", "failed"), ("task", "succeeded")] * 3:
        task, attempt = next(iter(worker.seen.attempts))
        worker.ended(task, attempt, how, fault=fault)
    assert not worker.seen.quarantined
    quiet(world)


def test_nothing_is_sent_to_a_quarantined_worker_before_its_pause_is_over(world: World) -> None:
    worker = archive(world)
    world.wait(PROBE - 1)
    assert worker.ordered(Run) == []
    quiet(world)


def test_after_the_pause_it_gets_exactly_one_task_and_success_lets_it_in(world: World) -> None:
    worker = archive(world)
    worker.orders()
    world.wait(PROBE + 1)
    (probe,) = worker.ordered(Run)
    worker.began((probe.task, probe.attempt))
    assert worker.ordered(Run) == []
    worker.ended(probe.task, probe.attempt)
    assert not worker.seen.quarantined and (
        world.store.workers["w"].quarantined,
        world.store.workers["w"].quarantined_kind,
    ) == ("", "")
    assert len(worker.ordered(Run)) >= 2  # as many as ever, also ahead
    quiet(world)


def test_each_failed_probe_doubles_the_pause_up_to_its_limit(world: World) -> None:
    worker = archive(world)
    worker.orders()
    for pause in (60.0, 120.0, 200.0, 200.0):
        world.wait(pause - 2)
        assert worker.ordered(Run) == [], pause
        world.wait(4)
        (probe,) = worker.ordered(Run)
        worker.ended(probe.task, probe.attempt, "failed", fault="worker", reason="still full")
        world.wait(1.0)
        world.now -= 3.0  # the waiting above is not to add up
        assert worker.seen.quarantined
    quiet(world)


def test_a_probe_whose_worker_dies_has_failed(world: World) -> None:
    worker = archive(world)
    worker.orders()
    world.wait(PROBE + 1)
    (probe,) = worker.ordered(Run)
    worker.began((probe.task, probe.attempt))
    worker.restarted()
    assert worker.seen.quarantined and worker.seen.probes == 1 and worker.seen.probing is None
    assert worker.ordered(Run) == []
    quiet(world)


def test_a_probe_that_fails_by_its_tasks_fault_says_nothing_and_is_followed_by_another(world: World) -> None:
    worker = archive(world)
    worker.orders()
    for _ in range(2):
        world.wait(PROBE + 1)
        (probe,) = worker.ordered(Run)
        worker.ended(probe.task, probe.attempt, "failed", exit_code=1)
        assert worker.seen.quarantined and worker.seen.probes == 0
    quiet(world)


def test_with_nothing_to_run_the_probe_waits_for_a_task(world: World) -> None:
    worker = world.worker(slots=1)
    world.push(graph(3), profile=Profile(labels={}))
    fail_all(worker)
    other = world.worker("other", slots=4)
    world.wait(30.0)
    for run in other.ordered(Run):
        other.ended(run.task, run.attempt)
    worker.orders()
    world.wait(PROBE)
    assert worker.ordered(Run) == []
    world.push({"late": "", "later": "", "last": "", "more": "", "most": "", "end": ""})
    assert len(worker.ordered(Run)) == 1
    quiet(world)


def test_an_operator_releases_it_at_once(world: World) -> None:
    worker = archive(world)
    worker.orders()
    world.wait(31.0)  # the tasks' own pauses are over
    world.ask(QuarantineAsked(worker="w", reason=""))
    assert not worker.seen.quarantined and worker.ordered(Run)
    quiet(world)


def test_its_kind_decides_how_a_quarantine_ends_whatever_its_sentence_says(world: World) -> None:
    worker = archive(world)
    for kind, probed in [(kind, kind not in LASTING) for kind in QuarantineKind]:
        quarantine.release(world.state, worker.seen)
        quarantine.quarantine(world.state, worker.seen, Quarantine(kind, "manual: its host is not trusted: it broke"))
        assert (worker.seen.probe_at is not None) == probed, kind
        assert host_keys.has_untrusted_host(worker.seen) == (kind in UNTRUSTED_HOST), kind
    world.ignore()


def test_what_an_operator_quarantined_no_probe_releases(world: World) -> None:
    worker = world.worker(slots=1)
    world.push(graph(4))
    sent = worker.ordered(Run)
    answer = world.ask(QuarantineAsked(worker="w", reason="its disk makes noises"))
    assert answer.value == {"worker": "w", "quarantined": "manual: its disk makes noises"}
    assert world.store.workers["w"].quarantined_kind == "operator"
    assert {one.task for one in worker.ordered(TakeBack)} == {run.task for run in sent}
    worker.returned(*((run.task, run.attempt) for run in sent))
    assert worker.ordered(Acknowledge)
    world.wait(10 * PROBE)
    assert worker.ordered(Run) == []
    world.ask(QuarantineAsked(worker="w", reason=""))
    assert worker.ordered(Run)
    quiet(world)


def test_a_manual_quarantine_while_a_probe_runs_ends_the_probing(world: World) -> None:
    worker = archive(world)
    worker.orders()
    world.wait(PROBE + 1)
    (probe,) = worker.ordered(Run)
    worker.began((probe.task, probe.attempt))
    world.ask(QuarantineAsked(worker="w", reason="no"))
    worker.ended(probe.task, probe.attempt)
    world.wait(10 * PROBE)
    assert worker.seen.row.quarantined == "manual: no" and worker.ordered(Run) == []
    quiet(world)


def test_the_next_boss_probes_too(world: World) -> None:
    worker = archive(world)
    world.restart()
    worker.hello()
    worker.orders()
    world.wait(PROBE + 1)
    (probe,) = worker.ordered(Run)
    worker.ended(probe.task, probe.attempt)
    assert not worker.seen.quarantined
    quiet(world)


def test_an_init_task_that_fails_in_a_probe_makes_it_fail(world: World) -> None:
    worker = world.worker(slots=1)
    world.push(graph(3), inits=("prepare",))
    for attempt in range(1, 4):
        init = next(run for run in worker.ordered(Run) if run.init)
        assert init.attempt == attempt
        worker.ended(init.task, init.attempt, "failed", exit_code=1, reason="no package")
    assert worker.seen.row.quarantined == "init task 'prepare' failed 3 times here: no package"
    assert worker.seen.row.quarantined_kind == "init_task"
    held = [attempt.key for attempt in worker.seen.attempts.values()]
    worker.orders()
    worker.returned(*held)
    worker.orders()
    world.wait(PROBE + 1)
    runs = worker.ordered(Run)
    (init,) = [run for run in runs if run.init]
    (probe,) = [run for run in runs if not run.init]
    worker.ended(init.task, init.attempt, "failed", exit_code=1, reason="no package")
    assert worker.seen.probes == 1 and worker.seen.probing is None
    assert [(one.task, one.attempt) for one in worker.ordered(TakeBack)] == [(probe.task, probe.attempt)]
    quiet(world)
