"""Pools that grow and shrink with the work: what is started and when, what is stopped and what never is, and why."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from boss.core.events import (
    CancelAsked,
    DropWorkersAsked,
    InstanceEnded,
    InstancesAsked,
    InstanceStarted,
    InstanceStartFailed,
    PauseAsked,
    QuarantineAsked,
    Selection,
    StopAsked,
    TerminateAsked,
    WorkerDrainAsked,
)
from boss.core.model import Profile
from boss.core.policy import Policy, PoolPolicy
from boss.core.reasons import NotMoreKind, Rejection, RejectionKind
from tests.worlds.pools import started, stopped
from tests.worlds.scheduler import Answer, EndBoss, FakeWorker, World
from wire.messages import Drain, Returned, TakeBack

CLOUD = PoolPolicy(
    name="cloud",
    provider="opennebula",
    min_workers=0,
    max_workers=4,
    boot=60.0,
    idle=30.0,
    slots=2,
    keeps_home=False,
    cost_weight=0.0,
)
LONG = Profile(expect=600.0)


def world_of(*pools: PoolPolicy, **policy: float) -> World:
    return World(Policy(pools=pools or (CLOUD,), **policy))  # type: ignore[arg-type]


@pytest.fixture
def cloud() -> Iterator[World]:
    world = world_of()
    yield world
    world.ignore()
    world.close()


def not_more(world: World) -> tuple[NotMoreKind, str]:
    """Of the last plan."""
    reason = world.state.pools["cloud"].plan.why_not_more
    assert reason is not None
    return reason.kind, reason.text


def boot(world: World, *names: str) -> list[FakeWorker]:
    """Their machines are made, and their workers say hello."""
    for name in names:
        world.turn(InstanceStarted(instance=world.state.instance_for[name], reference=f"vm {name}", address="10.0.0.1"))
    return [world.worker(name, pool="cloud", slots=2) for name in names]


def all_at_work(world: World) -> list[FakeWorker]:
    """What was sent ahead to one is given back to the others; then all begin."""
    workers = boot(world, *started(world))
    for worker in workers:
        for order in worker.ordered(TakeBack):
            worker.report(Returned(task=order.task, attempt=order.attempt))
    for worker in workers:
        worker.began(*worker.seen.attempts)
    world.ignore()
    return workers


def ended(world: World, name: str, reason: str = "terminated") -> None:
    world.turn(InstanceEnded(instance=world.state.instance_for[name], reason=reason))


def test_nothing_is_started_without_work_and_what_work_is_worth_when_there_is_some(cloud: World) -> None:
    assert started(cloud) == []
    cloud.push({"a": "", "b": "", "c": ""}, profile=LONG)
    assert started(cloud) == ["cloud-1", "cloud-2"], "three tasks on two slots each"
    cloud.wait(10.0)
    assert started(cloud) == []
    plan = cloud.state.pools["cloud"].plan
    assert plan.reason and plan.why_not_more, plan


def test_never_more_than_the_limit_and_it_is_said_why(cloud: World) -> None:
    cloud.push({f"t{n}": "" for n in range(100)}, profile=LONG)
    assert len(started(cloud)) == 4
    cloud.wait(10.0)
    assert started(cloud) == []
    assert not_more(cloud) == (NotMoreKind.LIMIT, "the pool has its limit of 4")


def test_no_more_are_asked_for_at_a_time_than_the_policy_says() -> None:
    world = world_of(starts_at_once=2)
    world.push({str(number): "" for number in range(20)}, profile=LONG)
    assert len(started(world)) == 2
    assert not_more(world) == (NotMoreKind.STARTS_AT_ONCE, "2 are requested at a time")
    world.ignore()
    world.close()


def test_what_is_ending_still_counts_against_the_limit(cloud: World) -> None:
    cloud.push({f"t{n}": "" for n in range(100)}, profile=LONG)
    names = started(cloud)
    boot(cloud, *names)
    cloud.ignore()
    cloud.turn(TerminateAsked(workers=[names[0]], now=True))
    assert stopped(cloud) == [names[0]]
    cloud.wait(10.0)
    assert started(cloud) == []
    ended(cloud, names[0])
    cloud.wait(10.0)
    assert started(cloud) == ["cloud-5"], "a new machine is a new worker"


def test_an_idle_worker_is_stopped_after_a_while_and_a_busy_one_never(cloud: World) -> None:
    cloud.push({"a": "", "b": "", "c": ""}, profile=LONG)
    first, second = all_at_work(cloud)
    (alone,) = [worker for worker in (first, second) if len(worker.seen.attempts) == 1]
    other = first if alone is second else second
    alone.ended(*next(iter(alone.seen.attempts)))
    cloud.wait(20.0, first, second)
    assert stopped(cloud) == []
    cloud.wait(40.0, first, second)
    assert stopped(cloud) == [alone.id]
    cloud.wait(300.0, other)
    assert stopped(cloud) == [alone.id], "asked again, and no other"
    assert other.seen.attempts
    assert not alone.seen.serves()


def test_a_worker_is_kept_for_a_stage_that_opens_before_another_could_boot(cloud: World) -> None:
    graph = {"a": "", "b": "", "c": "", "long": "", "then1": "long", "then2": "long", "then3": "long", "then4": "long"}
    profiles = {name: Profile(expect=100.0 if name == "long" else 20.0) for name in graph}
    cloud.push(graph, profiles=profiles)
    workers = boot(cloud, *started(cloud))
    for worker in workers:
        for task, attempt in list(worker.seen.attempts):
            worker.began((task, attempt))
    cloud.ignore()
    for worker in workers:
        for task, attempt in list(worker.seen.attempts):
            if task != 4:
                worker.ended(task, attempt)
    cloud.wait(45.0, *workers)
    assert stopped(cloud) == [], "the next stage opens in less than a boot"


def test_a_full_cloud_is_reported_tried_again_more_slowly_and_holds_no_other_up(cloud: World) -> None:
    cloud.push({f"t{n}": "" for n in range(20)}, profile=LONG)
    names = started(cloud)
    (worker,) = boot(cloud, names[0])
    for name in names[1:]:
        number = cloud.state.instance_for[name]
        cloud.turn(InstanceStartFailed(instance=number, reason="no address is left in network 1", full=True))
    assert worker.seen.attempts
    cloud.wait(5.0, worker)
    assert started(cloud) == []
    kind, text = not_more(cloud)
    assert kind is NotMoreKind.CANNOT_GROW and "no address is left" in text
    tries = 0
    for _ in range(60):
        cloud.wait(10.0, worker)
        for name in started(cloud):
            tries += 1
            number = cloud.state.instance_for[name]
            cloud.turn(InstanceStartFailed(instance=number, reason="no address is left in network 1", full=True))
    assert 1 <= tries <= 4, "one at a time, and later each time"
    while not (names := started(cloud)):
        cloud.wait(10.0, worker)
    (second,) = boot(cloud, *names)
    cloud.wait(5.0, worker, second)
    assert started(cloud), "it grows again"


def test_boot_times_are_learned_and_bound_the_wait_for_a_hello(cloud: World) -> None:
    cloud.push({f"t{n}": "" for n in range(20)}, profile=LONG)
    names = started(cloud)
    known = cloud.state.pools["cloud"]
    assert known.boot(CLOUD) == 60.0 and known.boot_timeout(CLOUD) == CLOUD.boot_timeout
    cloud.wait(20.0)
    boot(cloud, *names[:3])
    assert known.boot(CLOUD) == pytest.approx(20.0, abs=1.0)
    assert known.boot_timeout(CLOUD) == pytest.approx(60.0, abs=3.0)
    cloud.restart()
    again = cloud.state.pools["cloud"]
    assert again.boot(CLOUD) == pytest.approx(20.0, abs=1.0), "what was learned is read back"


def test_one_that_never_reports_is_ended_and_replaced(cloud: World) -> None:
    cloud.push({"a": ""}, profile=LONG)
    (name,) = started(cloud)
    cloud.turn(InstanceStarted(instance=1, reference="17"))
    cloud.wait(CLOUD.boot_timeout + 1)
    assert stopped(cloud)[:1] == [name]
    ended(cloud, name)
    cloud.wait(60.0)
    assert started(cloud) == ["cloud-2"]


def test_an_operator_gets_what_fits_and_hears_what_does_not(cloud: World) -> None:
    cloud.turn(InstancesAsked(pool="", count=6, keep_alive=True, reply=7))
    assert started(cloud) == ["cloud-1", "cloud-2", "cloud-3", "cloud-4"]
    (answer,) = cloud.take(Answer)
    assert answer.value["workers"] == ["cloud-1", "cloud-2", "cloud-3", "cloud-4"]
    assert "2 do not fit: pool cloud has its limit of 4" in answer.value["notes"][0]  # type: ignore[index]
    workers = boot(cloud, *answer.value["workers"])  # type: ignore[misc]
    cloud.wait(200.0, *workers)
    assert stopped(cloud) == [], "kept alive"
    cloud.turn(InstancesAsked(pool="moon", count=1, reply=8))
    (answer,) = cloud.take(Answer)
    assert answer.rejections == [Rejection(RejectionKind.UNKNOWN_POOL, "there is no pool 'moon'; there are: cloud")]


def test_without_keep_alive_what_an_operator_started_ends_when_it_was_idle(cloud: World) -> None:
    cloud.turn(InstancesAsked(pool="cloud", count=1, reply=7))
    (worker,) = boot(cloud, *started(cloud))
    cloud.take(Answer)
    cloud.wait(40.0, worker)
    assert stopped(cloud) == [worker.id]


def test_termination_lets_busy_ones_finish_by_default(cloud: World) -> None:
    cloud.push({"a": "", "b": "", "c": ""}, profile=LONG)
    busy, other = all_at_work(cloud)
    cloud.turn(TerminateAsked(workers=[busy.id], reply=3))
    (answer,) = cloud.take(Answer)
    assert (answer.value["ended"], answer.value["draining"]) == ([], [busy.id])
    assert busy.ordered(Drain) and not stopped(cloud)
    for task, attempt in list(busy.seen.attempts):
        busy.ended(task, attempt)
    cloud.wait(3.0, busy, other)
    assert stopped(cloud) == [busy.id]
    cloud.turn(TerminateAsked(pools=["cloud"], now=True, reply=4))
    assert other.id in stopped(cloud)
    cloud.turn(TerminateAsked(workers=["unknown"], reply=5))
    unknown = Rejection(RejectionKind.UNKNOWN_WORKER, "the boss started no worker 'unknown'")
    assert cloud.take(Answer)[-1].rejections == [unknown]


def test_a_drained_machine_ends_automatically(cloud: World) -> None:
    cloud.turn(InstancesAsked(pool="cloud", count=1, keep_alive=True, reply=7))
    (worker,) = boot(cloud, *started(cloud))
    cloud.turn(WorkerDrainAsked(worker=worker.id, reply=1))
    cloud.wait(3.0, worker)
    assert stopped(cloud) == [worker.id]


@pytest.mark.parametrize("kind", ["drained", "quarantined"])
def test_no_machine_is_made_for_what_a_worker_outside_the_supply_executes(cloud: World, kind: str) -> None:
    cloud.push({"a": "", "b": ""}, profile=LONG)
    (worker,) = all_at_work(cloud)
    assert cloud.states("a", "b") == "running running"
    if kind == "drained":
        cloud.turn(WorkerDrainAsked(worker=worker.id, reply=1))
    else:
        cloud.turn(QuarantineAsked(worker=worker.id, reason="looked at", reply=1))
    cloud.wait(5.0, worker)
    assert started(cloud) == []
    cloud.ignore()
    cloud.push({"c": ""}, profile=LONG)
    cloud.wait(5.0, worker)
    assert len(started(cloud)) == 1, "what waits has no worker"


def test_no_machine_is_made_for_what_another_pool_executes() -> None:
    first = msgspec.structs.replace(CLOUD, name="first", priority=5, max_workers=2)
    world = world_of(CLOUD, first)
    world.push({"a": "", "b": ""}, profile=LONG)
    (name,) = started(world)
    world.turn(InstanceStarted(instance=1, reference="vm", address="10.0.0.1"))
    worker = world.worker(name, pool="first", slots=2)
    worker.began(*worker.seen.attempts)
    world.ignore()
    world.turn(WorkerDrainAsked(worker=worker.id, reply=1))
    world.wait(5.0, worker)
    assert started(world) == []
    world.ignore()
    world.close()


def test_dropped_workers_are_forgotten_and_what_they_run_in_lives_on(cloud: World) -> None:
    cloud.push({"a": ""}, profile=LONG)
    (worker,) = boot(cloud, *started(cloud))
    cloud.ignore()
    cloud.turn(DropWorkersAsked(workers=[worker.id], reply=2))
    (answer,) = cloud.take(Answer)
    assert answer.value["dropped"] == [worker.id]
    assert "lives on and says hello again" in answer.value["notes"][0]  # type: ignore[index]
    assert cloud.states("a") == "queued" and not stopped(cloud)


def test_a_boss_that_ends_leaves_machines_to_the_next_one(cloud: World) -> None:
    cloud.push({"a": ""}, profile=LONG)
    boot(cloud, *started(cloud))
    cloud.ignore()
    cloud.turn(StopAsked())
    assert len(cloud.take(EndBoss)) == 1 and not stopped(cloud)


def test_the_datastores_machine_is_kept_and_replaced(cloud: World) -> None:
    store = PoolPolicy(
        name="store", provider="opennebula", role="datastore", min_workers=1, max_workers=1, keeps_home=False
    )
    world = world_of(CLOUD, store)
    assert started(world) == ["datastore"]
    world.turn(InstanceStarted(instance=1, reference="17", address="10.0.0.2"))
    assert world.store.instances[1].address == "10.0.0.2"
    world.datastore.hello()
    assert world.store.instances[1].state == "running", "its program said hello"
    world.turn(InstanceEnded(instance=1, reason="it was switched off"))
    world.wait(2.0)
    assert started(world) == ["datastore"]
    world.close()


def test_the_cheaper_pool_is_used_first_and_the_other_when_it_is_full() -> None:
    dear = PoolPolicy(
        name="dear",
        provider="opennebula",
        min_workers=0,
        max_workers=4,
        slots=2,
        keeps_home=False,
        cost=3.0,
        cost_weight=0.0,
    )
    world = world_of(dear, CLOUD)
    world.push({"a": "", "b": "", "c": ""}, profile=LONG)
    assert started(world) == ["cloud-1", "cloud-2"]
    world.push({f"t{n}": "" for n in range(20)}, profile=LONG)
    world.wait(10.0)
    names = started(world)
    assert [name for name in names if name.startswith("cloud")] == ["cloud-3", "cloud-4"]
    assert len([name for name in names if name.startswith("dear")]) == 4
    world.ignore()
    world.close()


def test_a_pool_that_cannot_run_a_task_does_not_grow_for_it() -> None:
    world = world_of(CLOUD)
    world.push({"a": ""}, profile=Profile(expect=600.0, pool="gpu"))
    world.push({"b": ""}, profile=Profile(expect=600.0, slots=3))
    world.wait(5.0)
    assert started(world) == []
    world.ignore()
    world.close()


def test_a_paused_batch_starts_nothing(cloud: World) -> None:
    cloud.push({"a": "", "b": "a"}, profile=LONG)
    (worker,) = boot(cloud, *started(cloud))
    cloud.turn(PauseAsked(batch=1, reason="wait"))
    cloud.push({f"t{n}": "" for n in range(20)}, profile=LONG)
    cloud.ignore()
    assert worker.seen.attempts or cloud.states("a") == "queued"


def test_what_a_month_may_cost_is_kept() -> None:
    pool = PoolPolicy(
        name="cloud", provider="opennebula", min_workers=0, max_workers=4, slots=2, keeps_home=False, month_budget=100.0
    )
    world = world_of(pool)
    world.push({f"t{n}": "" for n in range(20)}, profile=LONG)
    names = started(world)
    assert len(names) == 1, "a boot costs 60 s of the 100"
    world.wait(200.0)
    assert started(world) == []
    kind, text = not_more(world)
    assert kind is NotMoreKind.BUDGET and "the budget leaves" in text
    world.ignore()
    world.close()


def test_a_machine_whose_worker_was_quarantined_goes_when_there_is_no_work(cloud: World) -> None:
    cloud.turn(InstancesAsked(pool="cloud", count=2))
    broken, manual = boot(cloud, *started(cloud))
    cloud.turn(QuarantineAsked(worker=manual.id, reason="look at it"))
    cloud.push({"a": ""}, inits=["prepare"], profile=LONG)
    for _ in range(3):
        for task, attempt in [key for key, one in broken.seen.attempts.items() if one.init]:
            broken.ended(task, attempt, "failed")
    assert "init task" in broken.seen.row.quarantined
    cloud.turn(CancelAsked(selection=Selection(batches=[1])))
    broken.report(*(Returned(task=task, attempt=attempt) for task, attempt in list(broken.seen.attempts)))
    cloud.ignore()
    cloud.wait(50.0, broken, manual)
    assert stopped(cloud) == [broken.id]


def test_workers_of_cheaper_pools_and_of_higher_priority_are_given_tasks_first() -> None:
    dear = PoolPolicy(name="dear", provider="x", min_workers=0, max_workers=4, slots=2, keeps_home=False, cost=3.0)
    first = PoolPolicy(
        name="first", provider="x", min_workers=0, max_workers=4, slots=2, keeps_home=False, cost=9.0, priority=1
    )
    world = world_of(dear, CLOUD, first)
    for name in ("dear", "cloud", "first"):
        world.worker(f"{name}-x", pool=name, slots=2)
    world.push({f"t{n}": "" for n in range(5)}, profile=LONG)
    held = {name: len(world.workers[f"{name}-x"].seen.attempts) for name in ("first", "cloud", "dear")}
    assert held == {"first": 2, "cloud": 2, "dear": 1}
    world.ignore()
    world.close()


def test_what_tasks_took_is_known_after_a_restart_too() -> None:
    kind = Profile(template=7)
    world = world_of(CLOUD)
    world.push({"a": "", "b": ""}, profile=kind)
    (worker,) = boot(world, *started(world))
    worker.began(*worker.seen.attempts)
    worker.ended(*next(iter(worker.seen.attempts)), seconds=400.0)
    assert world.state.durations.seconds(7, "cloud") == 400.0
    world.restart()
    assert world.state.durations.seconds(7, "cloud") == 400.0
    world.ignore()
    world.close()
