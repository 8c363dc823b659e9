"""What a worker states about itself decides only as much as its login or its pool's settings say."""

from __future__ import annotations

import msgspec
import pytest

from boss.core.diagnosis import conditions
from boss.core.events import LoginGranted
from boss.core.model import Profile
from boss.core.policy import Grant, Policy, PoolPolicy
from boss.core.state import Claim
from boss.core.waits import ClaimRefused, WaitKind
from tests.worlds.scheduler import FakeWorker, World
from wire.messages import MAX_SLOTS, HeldAttempt, Run, SayHello, WorkerHello

CLOUD = PoolPolicy(
    name="cloud", provider="fake", min_workers=1, max_workers=4, slots=2, labels={"disk": "fast"}, keeps_home=False
)


@pytest.fixture
def world() -> World:
    return World()


def kind_of(worker: FakeWorker) -> tuple[str, dict[str, str], int]:
    kind = worker.seen.kind
    return kind.pool, dict(kind.labels), kind.slots


def test_a_login_without_a_grant_gives_no_pool_and_no_label(world: World) -> None:
    worker = world.worker("lab", granted=False, pool="gpu", slots=4, labels={"engine": "2.3"})
    assert kind_of(worker) == ("", {}, 4)
    assert worker.seen.claim == Claim(pool="gpu", labels=(("engine", "2.3"),))
    row = world.store.workers["lab"]
    assert (row.pool, row.labels, row.slots) == ("", {}, 4)


def test_what_its_login_grants_counts_and_only_that(world: World) -> None:
    world.turn(LoginGranted(worker="lab", grant=Grant(pool="gpu", labels={"engine": "2.3", "disk": "fast"}, slots=8)))
    worker = world.worker("lab", granted=False, pool="gpu", slots=9, labels={"engine": "2.3", "disk": "huge"})
    assert kind_of(worker) == ("gpu", {"engine": "2.3"}, 8)
    assert worker.seen.claim == Claim(labels=(("disk", "huge"),), slots=9)


def test_a_new_grant_counts_with_the_next_hello_of_the_same_agent(world: World) -> None:
    world.push({"a": ""}, profile=Profile(pool="gpu"))
    worker = world.worker("lab", granted=False, pool="gpu")
    assert not worker.ordered(Run)
    world.turn(LoginGranted(worker="lab", grant=Grant(pool="gpu")))
    assert worker.ordered(SayHello)
    worker.hello()
    assert len(worker.ordered(Run)) == 1
    world.turn(LoginGranted(worker="lab", grant=None))
    worker.hello(HeldAttempt(task=world.state.batches[1].first, attempt=1, phase="executing"))
    assert kind_of(worker) == ("", {}, 2)


def test_the_pool_of_an_instance_is_that_of_its_instance() -> None:
    world = World(Policy(pools=(CLOUD,)))
    [instance] = world.state.instances.values()
    name = instance.row.worker
    world.state.grants[name] = Grant(pool="gpu", slots=64)
    worker = world.worker(name, granted=False, pool="gpu", slots=64, labels={"disk": "fast", "gpu": "yes"})
    assert kind_of(worker) == ("cloud", {"disk": "fast"}, 2)
    assert worker.seen.claim == Claim(pool="gpu", labels=(("gpu", "yes"),), slots=64, of_instance=True)
    assert world.state.pools["cloud"].slots == 2
    world.effects.clear()


def test_one_worker_does_not_size_its_pool() -> None:
    pool = msgspec.structs.replace(CLOUD, min_workers=3, slots=0)
    world = World(Policy(pools=(pool,), max_slots=100))
    names = [one.row.worker for one in world.state.instances.values()]
    for name, slots in zip(names, (4, 4, 100), strict=True):
        world.worker(name, pool="cloud", slots=slots)
    assert world.state.pools["cloud"].slots == 4
    world.effects.clear()


def test_what_is_sent_to_a_worker_is_bounded_whatever_it_states() -> None:
    world = World(Policy(max_slots=16, prefetch_max=4))
    world.push({f"t{number}": "" for number in range(100)})
    worker = world.worker("lab", granted=False, slots=MAX_SLOTS)
    assert len(worker.ordered(Run)) == 16 + 4
    assert worker.seen.claim == Claim(slots=MAX_SLOTS, pool="local")


def test_rows_of_a_boss_that_believed_more_are_bounded_at_a_start() -> None:
    world = World(Policy(max_slots=16))
    world.worker("lab", granted=False, slots=4)
    row = world.store.workers["lab"]
    row.slots, row.pool, row.labels = 2**31 - 1, "gpu", {"engine": "2.3"}
    world.restart()
    assert world.state.workers["lab"].slots == 16
    assert world.state.workers["lab"].kind.labels == ()


def test_grants_since_the_start_outlive_a_memory_that_is_read_back(world: World) -> None:
    worker = world.worker("lab", granted=False, pool="gpu")
    world.turn(LoginGranted(worker="lab", grant=Grant(pool="gpu")))
    worker.hello()
    world.scheduler.reload(world.store.load(), world.now, world.now)
    assert world.state.grants == {"lab": Grant(pool="gpu")}
    assert world.state.workers["lab"].kind.pool == "gpu"


def test_a_death_counts_only_when_the_worker_under_whom_it_happened_reports_it(world: World) -> None:
    world.push({"a": ""})
    task = world.state.batches[1].first
    world.state.unclear_deaths[task] = (1, "w1")
    liar = world.worker("liar")
    liar.restarted()
    other = WorkerHello(**liar.about, died=[(task, 1)])  # type: ignore[arg-type]
    liar.incarnation, liar.number = "liar.9", 0
    liar.report(other)
    assert task in world.state.unclear_deaths
    batch, index = world.state.find(task)  # type: ignore[misc]
    assert batch.deaths[index] == 0


@pytest.mark.parametrize("grant", [Grant(), Grant(pool="gpu")])
def test_operators_read_what_was_refused(world: World, grant: Grant) -> None:
    worker = world.worker("lab", granted=False, pool="gpu", slots=2)
    world.turn(LoginGranted(worker="lab", grant=grant))
    worker.hello()
    found = [one for one in conditions(world.state) if one.kind is WaitKind.CLAIM_REFUSED]
    assert found == ([] if grant.pool else [ClaimRefused("lab", "gpu", (), 0, "", 2)])
