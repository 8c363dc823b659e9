"""Attempts, workers, instances and NICs: every move of their tables can be made, and nothing that is reported makes one
that is not in them. Tasks have theirs in test_moves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum

import pytest

from boss.core import attempts, instance_state, leases, nics
from boss.core.events import (
    CancelAsked,
    DropWorkersAsked,
    InstanceEnded,
    InstancePlaced,
    InstanceStarted,
    InstanceStartFailed,
    NetworkAttached,
    NetworkAttachFailed,
    NetworkDetached,
    PauseAsked,
    Selection,
    TerminateAsked,
    WorkerDrainAsked,
)
from boss.core.instance_state import nic_state
from boss.core.legal import ATTEMPT_MOVES, INSTANCE_MOVES, NIC_MOVES, WORKER_MOVES
from boss.core.model import Ended, InstanceState, NicState, Phase, WorkerState
from boss.core.policy import Policy, PoolPolicy
from boss.core.state import Instance, State
from boss.core.story import IllegalMoveError, story
from tests.worlds.scheduler import DIGEST, FakeWorker, World, manifest, published
from wire.messages import (
    Abandoned,
    DatastoreReport,
    HeldAttempt,
    InputsMissing,
    Leaving,
    Outcome,
    PhaseReached,
    Published,
    Returned,
    StageDone,
    StageFailed,
    WorkerReport,
)

CLOUD = PoolPolicy(
    name="cloud",
    provider="x",
    min_workers=1,
    max_workers=1,
    slots=2,
    keeps_home=False,
    init_network="outside",
    boot_timeout=50.0,
)


def legal(table: Mapping[StrEnum, Mapping[StrEnum, str]]) -> list[tuple[StrEnum, StrEnum]]:
    return [(before, after) for before, targets in table.items() for after in targets]


def made(world: World, what: str, key: int | str) -> list[tuple[str, str]]:
    """The moves of this machine so far."""
    return [(move.before, move.after) for move in story(world.state, key, what) if move.what == what]


# --- attempts ----------------------------------------------------------------------------------------


class Sent:
    """Attempt 1.1, of a task with inputs and a result, sent to worker `w`; the reports about it."""

    def __init__(self, world: World, **push: object) -> None:
        self.world = world
        self.worker: FakeWorker = world.worker(slots=1)
        self.push = {"requirements": {"a": "net.inp"}, "results": {"a": "a.out"}} | push
        world.push({"a": ""}, **self.push)

    def staged(self) -> Sent:
        return self.says(StageDone(task=1, attempt=1, inputs=[]))

    def executing(self) -> Sent:
        return self.reports(PhaseReached(task=1, attempt=1, phase="executing"))

    def collecting(self) -> Sent:
        return self.ended("succeeded", manifest=manifest("a.out"))

    def ended(self, how: str, **more: object) -> Sent:
        return self.reports(Outcome(task=1, attempt=1, ended=how, **more))  # type: ignore[arg-type]

    def stage_failed(self, fault: str) -> Sent:
        return self.says(StageFailed(task=1, attempt=1, fault=fault, reason="no"))  # type: ignore[arg-type]

    def abandoned(self, fault: str) -> Sent:
        return self.says(Abandoned(task=1, attempt=1, fault=fault, reason="no"))  # type: ignore[arg-type]

    def published(self) -> Sent:
        return self.says(Published(task=1, attempt=1, files=published("a.out")))

    def returned(self) -> Sent:
        return self.reports(Returned(task=1, attempt=1))

    def cancel(self) -> Sent:
        self.world.ask(CancelAsked(selection=Selection(tasks=[1])))
        return self

    def replace(self) -> Sent:
        self.world.push({"a": ""}, merge_strategy="replace", commands={"a": "another"}, **self.push)
        return self

    def pause(self) -> Sent:
        self.world.ask(PauseAsked(batch=1, reason="lunch"))
        return self

    def silent(self) -> Sent:
        self.world.wait(60.0)
        return self

    def back(self) -> Sent:
        """The same incarnation says hello again, and holds it."""
        self.worker.hello(HeldAttempt(task=1, attempt=1, phase="executing"))
        return self

    def reports(self, report: WorkerReport) -> Sent:
        self.worker.report(report)
        return self

    def says(self, report: DatastoreReport) -> Sent:
        self.world.datastore.report(report)
        return self


def init_without_nic(world: World) -> None:
    """Its instance cannot be given the network interface that the init task waits for."""
    cloud = World(Policy(pools=(CLOUD,)))
    cloud.worker("cloud-1", pool="cloud")
    cloud.push({"a": ""}, inits=["one"])
    cloud.turn(NetworkAttachFailed(instance=1, reason="no address is left"))
    cloud.ignore()
    world.state.story += [move for move in cloud.state.story if move.key == "2"]


ATTEMPTS: dict[tuple[StrEnum, StrEnum], Callable[[World], object]] = {
    (Phase.STAGING, Phase.STAGED): lambda world: Sent(world).staged(),
    (Phase.STAGING, Phase.EXECUTING): lambda world: Sent(world).executing(),
    (Phase.STAGING, Ended.FAILED): lambda world: Sent(world).stage_failed("input"),
    (Phase.STAGING, Ended.CANCELLED): lambda world: Sent(world).cancel().ended("cancelled"),
    (Phase.STAGING, Ended.LOST): lambda world: Sent(world).silent(),
    (Phase.STAGING, Ended.RETURNED): lambda world: Sent(world).returned(),
    (Phase.STAGING, Ended.SUPERSEDED): lambda world: Sent(world).replace().ended("cancelled"),
    (Phase.STAGED, Phase.STAGING): lambda world: (
        Sent(world).staged().reports(InputsMissing(task=1, attempt=1, digests=[DIGEST]))
    ),
    (Phase.STAGED, Phase.EXECUTING): lambda world: Sent(world).staged().executing(),
    (Phase.STAGED, Ended.FAILED): init_without_nic,
    (Phase.STAGED, Ended.CANCELLED): lambda world: Sent(world).staged().cancel().ended("cancelled"),
    (Phase.STAGED, Ended.LOST): lambda world: Sent(world).staged().silent(),
    (Phase.STAGED, Ended.RETURNED): lambda world: Sent(world).staged().pause().returned(),
    (Phase.STAGED, Ended.SUPERSEDED): lambda world: Sent(world).staged().replace().ended("cancelled"),
    (Phase.EXECUTING, Phase.COLLECTING): lambda world: Sent(world).executing().collecting(),
    (Phase.EXECUTING, Ended.SUCCEEDED): lambda world: Sent(world, results={}).executing().ended("succeeded"),
    (Phase.EXECUTING, Ended.FAILED): lambda world: Sent(world).executing().ended("failed", exit_code=1),
    (Phase.EXECUTING, Ended.TIMED_OUT): lambda world: Sent(world).executing().ended("timed_out"),
    (Phase.EXECUTING, Ended.CANCELLED): lambda world: Sent(world).executing().cancel().ended("cancelled"),
    (Phase.EXECUTING, Ended.LOST): lambda world: Sent(world).executing().ended("failed", fault="worker"),
    (Phase.EXECUTING, Ended.SUPERSEDED): lambda world: Sent(world).executing().replace().ended("cancelled"),
    (Phase.COLLECTING, Ended.SUCCEEDED): lambda world: Sent(world).collecting().published(),
    (Phase.COLLECTING, Ended.FAILED): lambda world: Sent(world).collecting().abandoned("path"),
    (Phase.COLLECTING, Ended.CANCELLED): lambda world: Sent(world).collecting().cancel().abandoned("asked"),
    (Phase.COLLECTING, Ended.LOST): lambda world: Sent(world).collecting().abandoned("transfer"),
    (Phase.COLLECTING, Ended.SUPERSEDED): lambda world: Sent(world).collecting().replace().published(),
    (Ended.LOST, Phase.STAGING): lambda world: Sent(world).executing().silent().back(),
    (Ended.LOST, Phase.STAGED): lambda world: Sent(world, requirements={}).executing().silent().back(),
}


def test_the_moves_of_attempts_that_are_tried_are_those_of_the_table() -> None:
    assert set(ATTEMPTS) == set(legal(ATTEMPT_MOVES))


@pytest.mark.parametrize("move", ATTEMPTS, ids="-".join)
def test_every_move_of_an_attempt_can_be_made(world: World, move: tuple[StrEnum, StrEnum]) -> None:
    ATTEMPTS[move](world)
    assert move in [*made(world, "attempt", 1), *made(world, "attempt", 2)]
    world.ignore()


PHASES: dict[str, Callable[[Sent], object]] = {
    "staging": lambda sent: None,
    "staged": Sent.staged,
    "executing": Sent.executing,
    "collecting": Sent.collecting,
    "lost": Sent.silent,
}
ASKED: dict[str, Callable[[Sent], object]] = {
    "nothing": lambda sent: None,
    "cancelled": Sent.cancel,
    "replaced": Sent.replace,
    "paused": Sent.pause,
}
REPORTS: dict[str, Callable[[Sent], object]] = {
    "staging": lambda sent: sent.reports(PhaseReached(task=1, attempt=1, phase="staging")),
    "executing": Sent.executing,
    "returned": Sent.returned,
    "inputs missing": lambda sent: sent.reports(InputsMissing(task=1, attempt=1, digests=[DIGEST])),
    "succeeded": lambda sent: sent.ended("succeeded"),
    "collect": Sent.collecting,
    "failed": lambda sent: sent.ended("failed", exit_code=1),
    "timed out": lambda sent: sent.ended("timed_out"),
    "cancelled": lambda sent: sent.ended("cancelled"),
    "failed by its worker": lambda sent: sent.ended("failed", fault="worker"),
    "held as staging": lambda sent: sent.worker.hello(HeldAttempt(task=1, attempt=1, phase="staging")),
    "held as executing": Sent.back,
    "held as ended": lambda sent: sent.worker.hello(HeldAttempt(task=1, attempt=1, phase="ended")),
    "not held": lambda sent: sent.worker.hello(),
    "a new start": lambda sent: sent.worker.restarted(),
    "a new start that has it": lambda sent: sent.worker.restarted(HeldAttempt(task=1, attempt=1, phase="executing")),
    "silence": Sent.silent,
    "stage done": Sent.staged,
    **{f"not staged: {fault}": lambda sent, fault=fault: sent.stage_failed(fault) for fault in ("input", "host")},
    "published": Sent.published,
    **{
        f"abandoned: {fault}": lambda sent, fault=fault: sent.abandoned(fault)
        for fault in ("asked", "fenced", "result", "transfer", "path", "host")
    },
}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("report", REPORTS)
def test_whatever_is_reported_of_an_attempt_makes_no_illegal_move(
    world: World, phase: str, asked: str, report: str
) -> None:
    sent = Sent(world)
    PHASES[phase](sent)
    ASKED[asked](sent)
    REPORTS[report](sent)
    assert set(made(world, "attempt", 1)) <= {*legal(ATTEMPT_MOVES), ("new", "staging"), ("new", "staged")}
    world.ignore()


def test_an_illegal_move_of_an_attempt_raises_with_its_tasks_story(world: World) -> None:
    sent = Sent(world).executing()
    with pytest.raises(
        IllegalMoveError, match=r"attempt 1\.1: executing -> returned \(a bug\) is not in the"
    ) as caught:
        attempts.end(world.state, world.live(1), Ended.RETURNED, "a bug")
    assert "attempt 1 staging -> executing" in str(caught.value)
    assert "task 1 queued -> running" in str(caught.value)
    with pytest.raises(IllegalMoveError, match=r"attempt 1\.1: executing -> staged"):
        attempts.set_phase(world.state, world.live(1), Phase.STAGED, "a bug")
    sent.world.ignore()


# --- workers -----------------------------------------------------------------------------------------

WORKER = "local-1"


@pytest.fixture
def local() -> Iterator[World]:
    """With one instance that the boss started, and its worker, which has an attempt."""
    world = World(Policy(pools=(PoolPolicy(name="local"),)))
    world.turn(InstanceStarted(instance=1, reference="17 100"))
    world.push({"a": ""})
    world.worker(WORKER)
    yield world
    world.ignore()
    world.close()


def silence(world: World) -> None:
    world.wait(60.0)


def hello(world: World) -> None:
    world.workers[WORKER].hello()


def drain(world: World) -> None:
    world.ask(WorkerDrainAsked(worker=WORKER))


def resume(world: World) -> None:
    world.ask(WorkerDrainAsked(worker=WORKER, drain=False))


def drop(world: World) -> None:
    world.ask(DropWorkersAsked(workers=[WORKER]))


#: What happens to one that is online -> the move that comes last.
WORKERS: dict[tuple[StrEnum, StrEnum], tuple[Callable[[World], object], ...]] = {
    (WorkerState.ONLINE, WorkerState.DRAINING): (drain,),
    (WorkerState.ONLINE, WorkerState.LOST): (silence,),
    (WorkerState.ONLINE, WorkerState.GONE): (drop,),
    (WorkerState.DRAINING, WorkerState.ONLINE): (drain, resume),
    (WorkerState.DRAINING, WorkerState.LOST): (drain, silence),
    (WorkerState.DRAINING, WorkerState.GONE): (drain, drop),
    (WorkerState.LOST, WorkerState.ONLINE): (silence, hello),
    (WorkerState.LOST, WorkerState.DRAINING): (silence, drain, hello),
    (WorkerState.LOST, WorkerState.GONE): (silence, drop),
}
BECOMES: dict[str, Callable[[World], object]] = {
    "drain": drain,
    "resume": resume,
    "silence": silence,
    "hello": hello,
    "drop": drop,
    "a new start": lambda world: world.workers[WORKER].restarted(),
    "heartbeat": lambda world: world.workers[WORKER].beats(),
    "leaving": lambda world: world.workers[WORKER].report(Leaving(reason="TERM")),
    "terminate": lambda world: world.ask(TerminateAsked(workers=[WORKER])),
    "terminate now": lambda world: world.ask(TerminateAsked(workers=[WORKER], now=True)),
    "instance ended": lambda world: world.turn(InstanceEnded(instance=1, reason="exit code 1")),
}


def test_the_moves_of_workers_that_are_tried_are_those_of_the_table() -> None:
    assert set(WORKERS) == set(legal(WORKER_MOVES))


@pytest.mark.parametrize("move", WORKERS, ids="-".join)
def test_every_move_of_a_worker_can_be_made(local: World, move: tuple[StrEnum, StrEnum]) -> None:
    for step in WORKERS[move]:
        step(local)
    assert made(local, "worker", WORKER)[-1] == move


@pytest.mark.parametrize("state", [(), (drain,), (silence,), (drop,)], ids=["online", "draining", "lost", "gone"])
@pytest.mark.parametrize("first", BECOMES)
@pytest.mark.parametrize("second", BECOMES)
def test_whatever_becomes_of_a_worker_is_no_illegal_move(
    local: World, state: tuple[Callable[[World], object], ...], first: str, second: str
) -> None:
    for step in (*state, BECOMES[first], BECOMES[second]):
        step(local)
    moves = {(before, after) for before, after in made(local, "worker", WORKER) if before != after}
    assert {move for move in moves if move[1] != "online"} <= set(legal(WORKER_MOVES)), (
        "but what starts again is online"
    )


def test_an_illegal_move_of_a_worker_raises_with_its_story(local: World) -> None:
    drop(local)
    worker = local.state.workers[WORKER]
    with pytest.raises(IllegalMoveError, match=rf"worker {WORKER}: gone -> draining \(a bug\)") as caught:
        leases.set_worker_state(local.state, worker, WorkerState.DRAINING, "a bug")
    assert [(move.before, move.after) for move in caught.value.story] == [("new", "online"), ("online", "gone")]


# --- instances ---------------------------------------------------------------------------------------


@pytest.fixture
def cloud() -> Iterator[World]:
    """With one instance that was requested, of a pool whose instances get a NIC for init tasks."""
    world = World(Policy(pools=(CLOUD,)))
    yield world
    world.ignore()
    world.close()


def booting(world: World) -> None:
    world.turn(InstanceStarted(instance=1, reference="vm 1"))


def running(world: World) -> None:
    world.worker("cloud-1", pool="cloud")


def stopping(world: World) -> None:
    world.ask(TerminateAsked(pools=["cloud"], now=True))


def gone(world: World) -> None:
    world.turn(InstanceEnded(instance=1, reason="it ended"))


def failed(world: World) -> None:
    world.turn(InstanceStartFailed(instance=1, reason="no room"))


INSTANCES: dict[tuple[StrEnum, StrEnum], tuple[Callable[[World], object], ...]] = {
    (InstanceState.REQUESTED, InstanceState.BOOTING): (booting,),
    (InstanceState.REQUESTED, InstanceState.RUNNING): (running,),
    (InstanceState.REQUESTED, InstanceState.STOPPING): (stopping,),
    (InstanceState.REQUESTED, InstanceState.GONE): (gone,),
    (InstanceState.REQUESTED, InstanceState.FAILED): (failed,),
    (InstanceState.BOOTING, InstanceState.RUNNING): (booting, running),
    (InstanceState.BOOTING, InstanceState.STOPPING): (booting, lambda world: world.wait(60.0)),
    (InstanceState.BOOTING, InstanceState.GONE): (booting, gone),
    (InstanceState.BOOTING, InstanceState.FAILED): (booting, failed),
    (InstanceState.RUNNING, InstanceState.STOPPING): (booting, running, stopping),
    (InstanceState.RUNNING, InstanceState.GONE): (booting, running, gone),
    (InstanceState.RUNNING, InstanceState.FAILED): (booting, running, failed),
    (InstanceState.STOPPING, InstanceState.GONE): (stopping, gone),
    (InstanceState.STOPPING, InstanceState.FAILED): (stopping, failed),
}
HAPPENS: dict[str, Callable[[World], object]] = {
    "made": booting,
    "made, and waits for a host": lambda world: world.turn(InstanceStarted(instance=1, reference="vm 1", waiting=True)),
    "taken by a host": lambda world: world.turn(InstancePlaced(instance=1)),
    "hello": running,
    "terminate": stopping,
    "ended": gone,
    "not made": failed,
    "time passes": lambda world: world.wait(60.0),
    "the boss starts again": World.restart,
}


def test_the_moves_of_instances_that_are_tried_are_those_of_the_table() -> None:
    assert set(INSTANCES) == set(legal(INSTANCE_MOVES))


@pytest.mark.parametrize("move", INSTANCES, ids="-".join)
def test_every_move_of_an_instance_can_be_made(cloud: World, move: tuple[StrEnum, StrEnum]) -> None:
    for step in INSTANCES[move]:
        step(cloud)
    assert made(cloud, "instance", 1)[-1] == move


@pytest.mark.parametrize(
    "state", [(), (booting,), (booting, running), (stopping,)], ids=["requested", "booting", "running", "stopping"]
)
@pytest.mark.parametrize("first", HAPPENS)
@pytest.mark.parametrize("second", HAPPENS)
def test_whatever_happens_to_an_instance_is_no_illegal_move(
    cloud: World, state: tuple[Callable[[World], object], ...], first: str, second: str
) -> None:
    for step in (*state, HAPPENS[first], HAPPENS[second]):
        step(cloud)
    assert set(made(cloud, "instance", 1)) <= {*legal(INSTANCE_MOVES), ("new", "requested")}


def test_an_illegal_move_of_an_instance_raises_with_its_story(cloud: World) -> None:
    booting(cloud)
    instance = cloud.state.instances[1]
    with pytest.raises(IllegalMoveError, match=r"instance 1: booting -> requested \(a bug\)") as caught:
        instance_state.set_instance_state(cloud.state, instance, InstanceState.REQUESTED, "a bug")
    assert "requested -> booting: the provider made it" in str(caught.value)


# --- NICs --------------------------------------------------------------------------------------------


def init(world: World) -> None:
    """An init task is to run on the worker."""
    world.push({f"a{world.state.next_batch}": ""}, inits=["one"])


def init_ends(world: World) -> None:
    worker = world.workers["cloud-1"]
    worker.ended(*next(attempt.key for attempt in worker.seen.attempts.values() if attempt.init))


def attached(world: World, nic: str = "1") -> None:
    world.turn(NetworkAttached(instance=1, nic=nic))


def detached(world: World, nic: str = "1") -> None:
    world.turn(NetworkDetached(instance=1, nic=nic))


def not_attached(world: World) -> None:
    world.turn(NetworkAttachFailed(instance=1, reason="no address is left"))


NICS: dict[tuple[StrEnum, StrEnum], tuple[Callable[[World], object], ...]] = {
    (NicState.NONE, NicState.REQUESTED): (init,),
    (NicState.NONE, NicState.ATTACHED): (attached,),
    (NicState.REQUESTED, NicState.ATTACHED): (init, attached),
    (NicState.REQUESTED, NicState.NONE): (init, not_attached),
    (NicState.ATTACHED, NicState.DETACHING): (init, attached, init_ends),
    (NicState.ATTACHED, NicState.ATTACHED): (init, attached, lambda world: attached(world, "2")),
    (NicState.DETACHING, NicState.NONE): (init, attached, init_ends, detached),
    (NicState.DETACHING, NicState.ATTACHED): (init, attached, init_ends, init, lambda world: attached(world, "2")),
}
OF_NICS: dict[str, Callable[[World], object]] = {
    "attached": attached,
    "another attached": lambda world: attached(world, "2"),
    "not attached": not_attached,
    "detached": detached,
    "another detached": lambda world: detached(world, "2"),
    "an init task comes": init,
    "time passes": lambda world: world.wait(31.0, world.workers["cloud-1"]),
}


@pytest.fixture
def nic_moves(monkeypatch: pytest.MonkeyPatch) -> list[tuple[StrEnum, StrEnum]]:
    """The moves of NICs that are made from here on."""
    seen: list[tuple[StrEnum, StrEnum]] = []
    before = nics.set_nic

    def set_nic(state: State, instance: Instance, to: NicState, name: str, cause: str) -> None:
        seen.append((nic_state(instance), to))
        before(state, instance, to, name, cause)

    monkeypatch.setattr(nics, "set_nic", set_nic)
    return seen


def test_the_moves_of_nics_that_are_tried_are_those_of_the_table() -> None:
    assert set(NICS) == set(legal(NIC_MOVES))


@pytest.mark.parametrize("move", NICS, ids="-".join)
def test_every_move_of_a_nic_can_be_made(
    cloud: World, nic_moves: list[tuple[StrEnum, StrEnum]], move: tuple[StrEnum, StrEnum]
) -> None:
    running(cloud)
    for step in NICS[move]:
        step(cloud)
    assert move in nic_moves


@pytest.mark.parametrize("state", [(), (init,), (init, attached), (init, attached, init_ends)], ids=[*NicState])
@pytest.mark.parametrize("first", OF_NICS)
@pytest.mark.parametrize("second", OF_NICS)
def test_whatever_is_reported_of_a_nic_is_no_illegal_move(
    cloud: World, state: tuple[Callable[[World], object], ...], first: str, second: str
) -> None:
    running(cloud)
    for step in (*state, OF_NICS[first], OF_NICS[second]):
        step(cloud)


def test_an_illegal_move_of_a_nic_raises_with_the_story_of_its_instance(cloud: World) -> None:
    running(cloud)
    instance = cloud.state.instances[1]
    with pytest.raises(IllegalMoveError, match=r"instance 1: NIC none -> NIC detaching \(a bug\)") as caught:
        nics.set_nic(cloud.state, instance, NicState.DETACHING, "1", "a bug")
    assert "instance 0 requested -> running" in str(caught.value)
