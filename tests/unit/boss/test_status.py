"""What a running boss shows of its pools, and what it says hinders them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from boss.api.backend import PoolView
from boss.api.pool_views import instance_answer, pool_views
from boss.core.events import InstanceEnded, InstanceStarted, InstanceStartFailed
from boss.core.model import Profile
from boss.core.policy import Policy, PoolPolicy
from boss.core.reasons import NotMoreKind
from boss.status import pool_hindrances
from tests.worlds.scheduler import World
from tests.worlds.state_view import StateView

CLOUD = PoolPolicy(
    name="cloud",
    provider="opennebula",
    least=0,
    most=4,
    boot=60.0,
    idle=30.0,
    slots=2,
    keeps_home=False,
    cost_weight=0.0,
)
LONG = Profile(expect=600.0)


@pytest.fixture
def world() -> Iterator[World]:
    made = World(Policy(pools=(CLOUD,)))
    yield made
    made.ignore()
    made.close()


def shown(world: World, *policies: PoolPolicy) -> dict[str, PoolView]:
    state = world.state
    rows = [instance.row for instance in state.instances.values()]
    made = pool_views(policies or state.policy.pools, state.pools, rows, state.now, state.wall, {})
    return {view.name: view for view in made}


def sentences(world: World, words: str) -> list[str]:
    """Those of the hindrances that say this."""
    return [sentence for sentence in StateView().lasting(world.state) if words in sentence]


def push(world: World, profile: Profile = LONG) -> None:
    world.push({str(number): "" for number in range(20)}, profile=profile)


def test_a_pool_shows_what_it_has_and_what_was_decided(world: World) -> None:
    assert shown(world)["cloud"].reason == "what there is, is right"
    push(world)
    view = shown(world)["cloud"]
    assert view.instances == {"requested": 4} and view.grows and view.decided_at == world.state.wall
    assert view.reason.startswith("4 more end the work in ") and view.why_not_more is not None
    assert view.why_not_more.kind is NotMoreKind.LIMIT and "limit of 4" in view.why_not_more.text
    assert (view.boot_seconds, view.boots_measured, view.left_seconds) == (60.0, 0, None)
    number = min(world.state.instances)
    world.turn(InstanceStarted(instance=number, reference="vm 1", address="10.0.0.9"))
    assert shown(world)["cloud"].instances == {"requested": 3, "booting": 1}
    one = instance_answer(world.state.instances[number].row)
    assert (one.state, one.reference, one.address, one.reason) == (
        "booting", "vm 1", "10.0.0.9", "the provider made it",
    )  # fmt: skip


def test_a_pool_of_a_fixed_size_says_so(world: World) -> None:
    local = PoolPolicy(name="local", least=2, most=2)
    assert shown(world, local)["local"].reason == "the settings keep it at 2"


def test_a_quota_is_told_once_with_when_it_is_tried_again(world: World) -> None:
    push(world)
    assert pool_hindrances(world.state) == {}
    world.turn(InstanceStartFailed(instance=min(world.state.instances), reason="no quota for a 5th VM", full=True))
    view = shown(world)["cloud"]
    assert view.full == "no quota for a 5th VM" and view.retry_at == world.state.wall + 30.0
    (sentence,) = pool_hindrances(world.state).values()
    assert sentence.startswith("pool cloud cannot grow, work goes on with what is there: no quota for a 5th VM; ")
    assert "it is tried again at " in sentence and sentence.endswith("(in 30 s)")


def test_failures_in_a_row_are_told_and_a_single_one_is_not(world: World) -> None:
    push(world)
    first, second, *_ = sorted(world.state.instances)
    world.turn(InstanceStartFailed(instance=first, reason="the template is broken"))
    assert pool_hindrances(world.state) == {}
    world.turn(InstanceStartFailed(instance=second, reason="the template is broken"))
    (sentence,) = pool_hindrances(world.state).values()
    assert sentence.startswith("pool cloud: 2 starts in a row failed: the template is broken; it is tried again at ")


def test_instances_of_a_pool_that_the_settings_lost_are_told_and_shown(world: World) -> None:
    push(world)
    left = shown(world, PoolPolicy(name="other", provider="static"))["cloud"]
    assert not left.in_settings and left.instances == {"requested": 4}
    assert left.reason.startswith("the settings have no pool 'cloud' any more")
    del world.state.pools["cloud"]
    assert pool_hindrances(world.state)["pool cloud"] == (
        "the settings have no pool 'cloud' any more: 4 workers of it end when nothing is in hand there"
    )
    for number in list(world.state.instances):
        world.turn(InstanceEnded(instance=number, reason="gone"))
    assert "pool cloud" not in pool_hindrances(world.state)


def test_tasks_that_want_a_pool_that_is_none_are_told_with_those_that_are(world: World) -> None:
    push(world, Profile(pool="moon"))
    assert pool_hindrances(world.state)["no pool moon"] == (
        "20 queued tasks want the pool 'moon': the settings have no such pool (there are: cloud), and no worker says "
        "that it is of it"
    )
    world.worker("by-hand", pool="moon")
    assert "no pool moon" not in pool_hindrances(world.state)


def test_tasks_that_a_pool_will_serve_are_not_said_to_fit_nothing(world: World) -> None:
    world.worker("by-hand", pool="", slots=1)
    push(world, Profile(slots=2))
    assert sentences(world, "queued tasks fit") == []


def test_tasks_that_neither_a_worker_nor_a_pool_can_run_are_told(world: World) -> None:
    push(world, Profile(labels={"gpu": "yes"}))
    (sentence,) = sentences(world, "queued tasks fit")
    assert sentence == "20 queued tasks fit no worker, and none that a pool could start: they want 1 slots, gpu=yes"


def test_that_no_worker_is_there_says_how_many_are_coming(world: World) -> None:
    push(world)
    assert sentences(world, "no worker is there") == [
        "no worker is there (4 are being started); tasks wait until one says hello"
    ]
