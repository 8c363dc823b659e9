"""Why a task does not go on: each reason as a value, of a state that has it; and what `status` is to show of all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from boss.core import diagnosis
from boss.core.diagnosis import conditions
from boss.core.events import (
    CancelAsked,
    InstanceEnded,
    InstanceStarted,
    InstanceStartFailed,
    PauseAsked,
    QuarantineAsked,
    Selection,
    StopAsked,
    WorkerDrainAsked,
)
from boss.core.model import Profile, TaskState
from boss.core.policy import Policy, PoolPolicy
from boss.core.ready import Demand, Kind
from boss.core.reasons import NotMore, NotMoreKind, Pause, PauseKind, Quarantine, QuarantineKind
from boss.core.scaling.decide import Decision
from boss.core.waits import (
    BatchPaused,
    Blocked,
    Collecting,
    DatastoreHeld,
    Dependencies,
    Dependency,
    FileNotStored,
    FilesWaiting,
    InitTasks,
    InputsNotBrought,
    Lack,
    Misfit,
    NoBroker,
    NoDatastore,
    NoFit,
    NoWorker,
    PoolCannotGrow,
    PoolGrows,
    PoolLimited,
    PoolRemoved,
    PoolStartsFail,
    ResultsSought,
    Retry,
    SentAhead,
    Staging,
    Stopping,
    TakenBack,
    UnknownPool,
    Wait,
    WorkerQuarantined,
    WorkersBusy,
    WorkersNotServing,
)
from tests.worlds.scheduler import DIGEST, World, manifest
from wire.messages import DatastoreHeartbeat, StageFailed, StoreFailed

CLOUD = PoolPolicy(
    name="cloud",
    provider="opennebula",
    min_workers=0,
    max_workers=2,
    boot=60.0,
    idle=30.0,
    slots=2,
    keeps_home=False,
    cost_weight=0.0,
)
LONG = Profile(expect=600.0)


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.ignore()
    made.close()


@pytest.fixture
def cloud() -> Iterator[World]:
    made = World(Policy(pools=(CLOUD,), scale_pause=0.0))
    yield made
    made.ignore()
    made.close()


def why(world: World, task: int, dependencies: dict[int, TaskState] | None = None) -> list[Wait]:
    found = world.state.find(task)
    assert found is not None
    return list(diagnosis.why(world.state, *found, dependencies))


# --- a task before anything can be sent --------------------------------------------------------------


def test_a_pending_task_waits_for_so_many_dependencies_and_for_which_if_they_are_handed_in(world: World) -> None:
    world.push({"a": "", "b": "", "c": "a b"})
    assert why(world, 3) == [Dependencies(2)]
    stored = {1: TaskState.PENDING, 2: TaskState.PENDING, 7: TaskState.SUCCEEDED, 8: TaskState.FAILED}
    named = (Dependency(1, TaskState.QUEUED), Dependency(2, TaskState.QUEUED), Dependency(8, TaskState.FAILED))
    assert why(world, 3, stored) == [Dependencies(2, named)], "what is in memory is newer"


def test_of_many_dependencies_the_first_are_named(world: World) -> None:
    names = [f"t{number}" for number in range(1, 31)]
    world.push(dict.fromkeys(names, "") | {"last": " ".join(names)})
    (reason,) = why(world, 31, dict.fromkeys(range(1, 31), TaskState.QUEUED))
    assert isinstance(reason, Dependencies) and reason.count == 30
    assert [each.task for each in reason.tasks] == list(range(1, 11))


def test_a_blocked_task_says_by_what(world: World) -> None:
    world.push({"a": "", "b": "", "c": "a b", "d": "c"})
    world.turn(CancelAsked(selection=Selection(tasks=[1])))
    stored = {1: TaskState.QUEUED, 2: TaskState.QUEUED}
    assert why(world, 3, stored) == [Blocked(1, (Dependency(1, TaskState.CANCELLED),))]
    assert why(world, 4) == [Blocked(1)]


def test_a_paused_batch_holds_pending_and_queued_tasks(world: World) -> None:
    world.push({"a": "", "b": "a"})
    world.turn(PauseAsked(batch=1, reason="lunch"))
    paused = BatchPaused(1, Pause(PauseKind.OPERATOR, "lunch"))
    assert why(world, 1) == [paused] and why(world, 2) == [Dependencies(1), paused]
    assert paused in conditions(world.state)


def test_files_on_their_way_hold_a_batch_and_what_failed_of_them_is_reported(world: World) -> None:
    world.push({"a": ""}, files=["net.inp", "b.inp"])
    assert why(world, 1) == [FilesWaiting(1, 2)]
    world.datastore.report(StoreFailed(name="net.inp", digest=DIGEST, reason="no room"))
    failed = FileNotStored("net.inp", DIGEST, "no room")
    assert why(world, 1) == [FilesWaiting(1, 2), failed]
    assert failed in conditions(world.state) and failed.about == f"net.inp {DIGEST}"


def test_a_datastore_that_is_absent_is_reported_with_what_waits_for_it() -> None:
    world = World(connected=False)
    world.push({"a": ""}, files=["net.inp"])
    assert why(world, 1) == [FilesWaiting(1, 1), NoDatastore()]
    assert conditions(world.state)[:2] == [NoBroker(), NoDatastore()]
    world.ignore()


def test_a_retry_says_when_and_how_many_are_used(world: World) -> None:
    worker = world.worker()
    world.push({"a": ""}, profile=Profile(retries=3, retry_delay=100.0))
    worker.ended(1, 1, "failed", reason="exit code 1", exit_code=1)
    (reason,) = why(world, 1)
    assert isinstance(reason, Retry) and (reason.failures, reason.retries) == (1, 3)
    assert world.state.wall + 75.0 <= reason.at <= world.state.wall + 100.0


def test_a_task_whose_results_are_sought(world: World) -> None:
    world.push({"a": ""}, profile=Profile(overwrite_result=False), results={"a": "a.out"})
    assert why(world, 1) == [ResultsSought()]
    world.turn(PauseAsked(batch=1, reason="lunch"))
    assert why(world, 1) == [ResultsSought(), BatchPaused(1, Pause(PauseKind.OPERATOR, "lunch"))]


def test_a_boss_that_ends_or_has_no_broker_sends_nothing() -> None:
    world = World(connected=False)
    world.push({"a": ""})
    assert why(world, 1) == [NoBroker()]
    world.turn(StopAsked())
    assert why(world, 1) == [Stopping()]
    world.ignore()


# --- workers that it could be sent to ----------------------------------------------------------------


def test_busy_workers_are_counted_with_their_slots_and_with_what_waits_for_them(world: World) -> None:
    world.worker("v", slots=2), world.worker("w", slots=3)
    world.push({f"t{number}": "" for number in range(40)})
    waiting = sum(one.count for one in world.state.ready.by_demand.values())
    assert waiting and why(world, 40) == [WorkersBusy(workers=2, slots=5, tasks=waiting)]


def test_workers_that_take_nothing_are_reported_with_the_cause(world: World) -> None:
    for name in ("quarantined", "draining", "silent", "lost"):
        world.worker(name)
    world.wait(40.0, *(world.workers[name] for name in ("quarantined", "draining", "silent")))
    world.turn(QuarantineAsked(worker="quarantined", reason="odd"))
    world.turn(WorkerDrainAsked(worker="draining"))
    world.workers["silent"].presence(online=False)
    world.push({"a": ""})
    odd = WorkerQuarantined("quarantined", Quarantine(QuarantineKind.OPERATOR, "manual: odd"), 0.0)
    assert why(world, 1) == [odd, WorkersNotServing(draining=1, lost=1, disconnected=1)]
    assert odd in conditions(world.state) and NoWorker(there=True, coming=0) not in conditions(world.state)


def test_a_quarantine_that_a_probe_may_end_says_when(world: World) -> None:
    worker = world.worker(slots=1)
    world.push({"a": "", "b": "", "c": "", "d": ""})
    for task in (1, 2, 3):
        worker.ended(task, 1, "failed", fault="worker", reason="the disk is full")
    world.ignore()
    assert why(world, 4) == [TakenBack("w")]
    worker.returned((4, 1))
    (reason,) = why(world, 4)
    assert isinstance(reason, WorkerQuarantined) and reason.reason.kind is QuarantineKind.FAILURES
    assert reason.probe_at == world.state.wall + world.policy.probe


def test_what_no_worker_has_is_reported_kind_by_kind(world: World) -> None:
    world.worker("small", slots=1, memory=4_000)
    world.worker("other", pool="moon", slots=4, labels={"os": "linux"})
    profile = Profile(slots=2, memory=5_000, pool="local", labels={"os": "linux"})
    world.push({"a": "", "b": ""}, profile=profile)
    demand = Demand("local", (("os", "linux"),), 2, 5_000)
    small = Misfit(Kind("local", (), 1, 4_000), 1, (Lack.LABELS, Lack.SLOTS, Lack.MEMORY))
    other = Misfit(Kind("moon", (("os", "linux"),), 4, 0), 1, (Lack.POOL,))
    no_fit = NoFit(demand, 2, False, (small, other))
    assert why(world, 1) == [UnknownPool("local", 2, ())]
    assert no_fit in conditions(world.state) and UnknownPool("local", 2, ()) not in conditions(world.state)
    assert no_fit.about == "slots=2 memory=5000 pool=local os=linux"


def test_what_no_worker_and_no_pool_has(cloud: World) -> None:
    cloud.push({"a": ""}, profile=Profile(labels={"gpu": "yes"}))
    misfit = Misfit(Kind("cloud", (), 2, 0), 0, (Lack.LABELS,))
    no_fit = NoFit(Demand("", (("gpu", "yes"),), 1, 0), 1, True, (misfit,))
    assert why(cloud, 1) == [no_fit] and no_fit in conditions(cloud.state)


def test_a_pool_that_is_not_in_the_settings(cloud: World) -> None:
    cloud.push({"a": "", "b": ""}, profile=Profile(pool="moon"))
    unknown = UnknownPool("moon", 2, ("cloud",))
    assert why(cloud, 1) == [unknown] and unknown in conditions(cloud.state)
    cloud.worker("by-hand", pool="moon", slots=1)
    assert unknown not in conditions(cloud.state)


# --- pools that could start one ------------------------------------------------------------------------


def grown(cloud: World) -> list[int]:
    """A push that wants more than the pool may have; the numbers of its instances."""
    cloud.push({str(number): "" for number in range(20)}, profile=LONG)
    return sorted(cloud.state.instances)


def test_a_pool_that_grows_and_has_its_limit(cloud: World) -> None:
    assert len(grown(cloud)) == 2
    limit = PoolLimited("cloud", NotMore(NotMoreKind.LIMIT, "the pool has its limit of 2"))
    assert why(cloud, 1) == [PoolGrows("cloud", 2), limit]
    assert NoWorker(there=False, coming=2) in conditions(cloud.state)


def test_a_pool_that_a_quota_keeps_small_says_when_it_is_tried_again(cloud: World) -> None:
    for number in grown(cloud):
        cloud.turn(InstanceStartFailed(instance=number, reason="no quota", full=True))
    (reason,) = why(cloud, 1)
    assert reason == PoolCannotGrow("cloud", "no quota", cloud.state.wall + 30.0)
    assert reason in conditions(cloud.state) and reason.about == "cloud"


def test_a_pool_whose_starts_fail(cloud: World) -> None:
    first, second = grown(cloud)
    cloud.turn(InstanceStartFailed(instance=first, reason="no such template"))
    assert PoolStartsFail("cloud", 1, "no such template", cloud.state.wall + 1.0) in why(cloud, 1)
    assert not [one for one in conditions(cloud.state) if isinstance(one, PoolStartsFail)], "one is tried again soon"
    cloud.turn(InstanceStartFailed(instance=second, reason="no such template"))
    failed = PoolStartsFail("cloud", 2, "no such template", cloud.state.pools["cloud"].not_before)
    assert why(cloud, 1) == [failed] and failed in conditions(cloud.state)


def test_a_pool_whose_size_is_not_decided_yet_says_so() -> None:
    world = World(Policy(pools=(CLOUD,), scale_pause=60.0))
    grown(world)
    for number in sorted(world.state.instances):
        world.turn(InstanceStarted(instance=number, reference=f"vm {number}"))
    for name in [one.row.worker for one in world.state.instances.values()]:
        world.worker(name, pool="cloud", slots=2)
    world.state.pools["cloud"].plan = Decision(reason="nothing was decided yet")
    (busy, undecided) = why(world, 20)
    assert isinstance(busy, WorkersBusy) and isinstance(undecided, PoolLimited)
    assert undecided.reason.kind is NotMoreKind.UNDECIDED
    world.ignore()


def test_a_pool_of_a_fixed_size_is_limited_by_the_settings() -> None:
    world = World(Policy(pools=(PoolPolicy(name="local", min_workers=1, max_workers=1, slots=2),)))
    world.push({"a": ""})
    limit = PoolLimited("local", NotMore(NotMoreKind.LIMIT, "the settings keep it at 1"))
    assert why(world, 1) == [PoolGrows("local", 1), limit]
    world.ignore()


def test_workers_of_a_pool_that_left_the_settings(cloud: World) -> None:
    grown(cloud)
    cloud.policy = Policy()
    cloud.restart()
    assert PoolRemoved("cloud", 2) in conditions(cloud.state)
    for number in list(cloud.state.instances):
        cloud.turn(InstanceEnded(instance=number, reason="gone"))
    assert not [one for one in conditions(cloud.state) if isinstance(one, PoolRemoved)]


# --- an attempt that was sent --------------------------------------------------------------------------


def test_an_attempt_waits_for_its_inputs(world: World) -> None:
    world.worker()
    world.push({"a": ""}, requirements={"a": "net.inp"})
    assert why(world, 1) == [Staging("w", world.state.wall)]
    world.datastore.report(StageFailed(task=1, attempt=1, fault="transfer", reason="no route"))
    assert InputsNotBrought("w", "no route") in conditions(world.state)
    world.wait(world.policy.resend + 1.0, world.workers["w"])
    (staging, failed) = why(world, 1)
    assert isinstance(staging, Staging) and failed == InputsNotBrought("w", "no route")
    world.state.datastore.connected = False
    assert why(world, 1) == [staging, NoDatastore(), failed]


def test_an_attempt_waits_for_init_tasks_then_for_a_slot(world: World) -> None:
    worker = world.worker(slots=1)
    world.push({"a": "", "b": ""}, inits=["prepare"])
    assert why(world, 1) == [InitTasks("w", 1, False)]
    worker.ended(3)
    assert why(world, 1) == [SentAhead("w", connected=True)]
    worker.began((1, 1))
    assert why(world, 1) == [] and why(world, 2) == [SentAhead("w", connected=True)]
    worker.presence(online=False)
    assert why(world, 2) == [SentAhead("w", connected=False)]


def test_an_attempt_that_is_taken_back(world: World) -> None:
    world.worker(slots=1)
    world.push({"a": "", "b": ""})
    world.turn(PauseAsked(batch=1, reason="lunch"))
    assert why(world, 2) == [TakenBack("w"), BatchPaused(1, Pause(PauseKind.OPERATOR, "lunch"))]


def test_results_that_are_collected_wait_for_the_datastore(world: World) -> None:
    worker = world.worker()
    world.push({"a": ""}, results={"a": "a.out"})
    worker.began((1, 1))
    worker.ended(1, manifest=manifest("a.out"))
    assert why(world, 1) == [Collecting("w")]
    world.datastore.report(DatastoreHeartbeat(warning="the disk is full"))
    assert why(world, 1) == [Collecting("w"), DatastoreHeld("the disk is full")]
    assert DatastoreHeld("the disk is full") in conditions(world.state)
    world.state.datastore.connected = False
    assert why(world, 1) == [Collecting("w"), NoDatastore(), DatastoreHeld("the disk is full")]


def test_what_has_ended_and_what_executes_waits_for_nothing(world: World) -> None:
    worker = world.worker()
    world.push({"a": "", "b": ""})
    worker.ended(1)
    worker.began((2, 1))
    assert why(world, 1) == [] and why(world, 2) == []


def test_without_work_there_is_nothing_to_tell(world: World) -> None:
    assert conditions(world.state) == []


# --- the cost --------------------------------------------------------------------------------------------


def test_to_ask_why_costs_the_same_whatever_the_number_of_tasks(world: World) -> None:
    """Counted by what is looked at, not by the clock: the columns of a batch are read at one index only."""
    world.push({f"t{number}": "" for number in range(300)} | {"last": "t0 t1"})
    batch = world.state.batches[1]

    class Once(bytearray):
        reads = 0

        def __getitem__(self, at: object) -> object:  # type: ignore[override]
            assert isinstance(at, int), "a whole column is read"
            Once.reads += 1
            return super().__getitem__(at)

        def __iter__(self) -> Iterator[int]:
            raise AssertionError("a whole column is read")

    plain = batch.states, batch.flags
    batch.states, batch.flags = Once(batch.states), Once(batch.flags)
    for task in (1, 300, 301):
        why(world, task, {1: TaskState.QUEUED, 2: TaskState.QUEUED})
    conditions(world.state)
    assert Once.reads < 20
    batch.states, batch.flags = plain
