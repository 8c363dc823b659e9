"""What a failure costs, and whose fault it is."""

from __future__ import annotations

import pytest

from boss.core.events import InstanceEnded
from boss.core.model import Profile
from boss.core.policy import Policy
from boss.core.retry import backoff
from boss.core.rows import InstanceRow
from boss.core.state import Instance
from tests.worlds.scheduler import FakeWorker, World
from wire.messages import HeldAttempt, Run

TWO = Profile(retries=2, retry_delay=10.0)


def fails(world: World, worker: FakeWorker, attempt: int, how: str = "failed", **more: object) -> None:
    worker.began((1, attempt))
    worker.ended(1, attempt, how, **({"exit_code": 1} | more))
    world.ignore()


def runs(worker: FakeWorker) -> list[tuple[int, int]]:
    return [(order.task, order.attempt) for order in worker.ordered(Run)]


def test_a_failure_without_retries_fails_the_task_with_the_workers_reason(world: World) -> None:
    world.push({"a": ""})
    worker = world.worker()
    fails(world, worker, 1, reason="exit code 1", command="false", stderr_tail="no\n")
    assert world.states("a") == "failed"
    assert world.row("a").reason == "exit code 1"
    row = world.attempt(1)
    assert (row.ended, row.exit_code, row.command, row.stderr_tail) == ("failed", 1, "false", "no\n")


def test_a_retry_waits_for_its_delay_and_retries_are_used_up(world: World) -> None:
    world.push({"a": ""}, profile=TWO)
    worker = world.worker()
    world.ignore()
    fails(world, worker, 1)
    assert world.states("a") == "queued"
    world.wait(7.0, worker)
    assert not runs(worker)
    world.wait(3.5, worker)
    assert runs(worker) == [(1, 2)]
    fails(world, worker, 2)
    world.wait(14.0, worker)
    assert not runs(worker)
    world.wait(6.5, worker)
    assert runs(worker) == [(1, 3)]
    fails(world, worker, 3)
    assert world.states("a") == "failed"
    assert world.row("a").failures == 3


def test_what_a_profile_leaves_open_is_as_the_policy_says() -> None:
    world = World(Policy(retries=1, retry_delay=10.0, retry_delay_max=5.0))
    world.push({"a": ""})
    worker = world.worker()
    world.ignore()
    fails(world, worker, 1)
    world.wait(3.0, worker)
    assert not runs(worker)
    world.wait(2.5, worker)
    assert runs(worker) == [(1, 2)]
    fails(world, worker, 2)
    assert world.states("a") == "failed"


def test_a_profile_that_says_no_retries_has_none_whatever_the_policy_says() -> None:
    world = World(Policy(retries=3))
    world.push({"a": ""}, profile=Profile(retries=0))
    fails(world, world.worker(), 1)
    assert world.states("a") == "failed"


def test_the_delay_doubles_up_to_its_limit_less_up_to_a_quarter() -> None:
    for number in range(1, 50):
        assert 7.5 <= backoff(10.0, 300.0, 1, number) <= 10.0
        assert 15.0 <= backoff(10.0, 300.0, 2, number) <= 20.0
        assert 225.0 <= backoff(10.0, 300.0, 40, number) <= 300.0
    assert len({backoff(10.0, 300.0, 1, number) for number in range(50)}) > 40, "they do not all come at once"
    assert backoff(0.0, 300.0, 1_000_000, 1) == 0.0


@pytest.mark.parametrize(("code", "state"), [(75, "queued"), (1, "failed")])
def test_only_exit_codes_that_are_worth_it_are_retried(world: World, code: int, state: str) -> None:
    world.push({"a": ""}, profile=Profile(retries=2, retry_on=(75,)))
    worker = world.worker()
    fails(world, worker, 1, exit_code=code)
    assert world.states("a") == state


@pytest.mark.parametrize(("retry_on", "state"), [((124,), "queued"), ((1,), "failed"), ((), "queued")])
def test_a_time_out_counts_as_exit_code_124(world: World, retry_on: tuple[int, ...], state: str) -> None:
    world.push({"a": ""}, profile=Profile(retries=2, retry_on=retry_on))
    worker = world.worker()
    fails(world, worker, 1, "timed_out", exit_code=-15)
    assert world.states("a") == state
    assert world.attempt(1).ended == "timed_out"


def test_a_lost_attempt_costs_no_retry(world: World) -> None:
    world.push({"a": ""})
    worker = world.worker()
    worker.began((1, 1))
    world.wait(60.0)
    world.ignore()
    assert (world.states("a"), world.row("a").failures) == ("queued", 0)


def test_a_fault_of_the_worker_costs_no_retry(world: World) -> None:
    world.push({"a": ""})
    worker = world.worker()
    fails(world, worker, 1, fault="worker", reason="disk full")
    assert (world.states("a"), world.row("a").failures) == ("queued", 0)
    assert world.attempt(1).ended == "lost"


def dies_and_returns(world: World, worker: FakeWorker, attempt: int) -> None:
    worker.began((1, attempt))
    world.now += 10.0
    worker.restarted()
    world.ignore()


def test_a_task_under_which_three_workers_died_is_poison(world: World) -> None:
    world.push({"a": "", "b": "a"})
    worker = world.worker()
    world.ignore()
    for attempt in (1, 2):
        dies_and_returns(world, worker, attempt)
        assert world.states("a") == "queued"
    dies_and_returns(world, worker, 3)
    assert world.states("a", "b") == "failed blocked"
    assert world.row("a").reason == "poison: 3 workers in a row died while they executed it"


def test_deaths_that_are_not_in_a_row_are_no_poison(world: World) -> None:
    world.push({"a": ""}, profile=Profile(retries=1, retry_delay=0.0))
    worker = world.worker()
    world.ignore()
    for attempt in (1, 2):
        dies_and_returns(world, worker, attempt)
    fails(world, worker, 3)
    world.turn()
    world.ignore()
    dies_and_returns(world, worker, 4)
    assert world.states("a") == "queued"
    assert world.row("a").deaths == 1


def test_a_worker_that_dies_before_the_task_began_is_no_sign_of_poison(world: World) -> None:
    world.push({"a": ""})
    worker = world.worker()
    worker.restarted()
    assert world.row("a").deaths == 0
    world.ignore()


def test_a_restarted_agent_that_still_has_the_outcome_has_lost_nothing(world: World) -> None:
    world.push({"a": ""})
    worker = world.worker()
    worker.began((1, 1))
    worker.restarted(HeldAttempt(task=1, attempt=1, phase="ended"))
    assert world.states("a") == "running"
    worker.ended(1, 1)
    assert world.states("a") == "succeeded"
    world.ignore()


def test_many_deaths_at_once_are_a_failing_site_and_no_poison(world: World) -> None:
    workers = [world.worker(f"w-{number}", slots=1) for number in range(4)]
    world.push({f"t{number}": "" for number in range(4)})
    for number, worker in enumerate(workers):
        world.state.add_instance(Instance(InstanceRow(number, worker.id, "local", "local", "running"), world.now))
        for attempt in list(worker.seen.attempts):
            worker.began(attempt)
    world.ignore()
    world.turn(*(InstanceEnded(instance=number, reason="power cut") for number in range(4)))
    deaths = [world.row(f"t{number}").deaths for number in range(4)]
    assert sum(deaths) <= 2, "only the first ones, before it was seen that they were many"
    world.ignore()


def test_many_agents_restarted_at_once_are_no_poison_either(world: World) -> None:
    workers = [world.worker(f"w-{number}", slots=1) for number in range(4)]
    world.push({f"t{number}": "" for number in range(4)})
    for worker in workers:
        for attempt in list(worker.seen.attempts):
            worker.began(attempt)
    world.ignore()
    for worker in workers:
        worker.restarted()
    assert sum(world.row(f"t{number}").deaths for number in range(4)) <= 2
    world.ignore()
