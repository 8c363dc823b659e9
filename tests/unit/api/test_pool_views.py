"""Pools and instances as users see them, made of a running boss's state."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from boss.api.pool_views import instance_answer, pool_views
from boss.api.schema import PoolAnswer
from boss.core.events import InstanceStarted, InstanceStartFailed
from boss.core.model import Profile
from boss.core.policy import Policy, PoolPolicy
from tests.worlds.scheduler import World

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


@pytest.fixture
def world() -> Iterator[World]:
    made = World(Policy(pools=(CLOUD,)))
    yield made
    made.ignore()
    made.close()


def shown(world: World, *policies: PoolPolicy) -> dict[str, PoolAnswer]:
    state = world.state
    rows = [instance.row for instance in state.instances.values()]
    made = pool_views(policies or state.policy.pools, state.pools, rows, state.now, state.wall, {})
    return {view.name: view for view in made}


def push(world: World, profile: Profile = LONG) -> None:
    world.push({str(number): "" for number in range(20)}, profile=profile)


def test_a_pool_shows_what_it_has_and_what_was_decided(world: World) -> None:
    assert shown(world)["cloud"].plan.reason == "the pool has as many as it requires"
    push(world)
    view = shown(world)["cloud"]
    assert view.instances == {"requested": 4} and view.grows and view.plan.decided_at == world.state.wall
    assert view.plan.reason.startswith("4 more end the work in ") and view.plan.why_not_more_kind == "limit"
    assert "limit of 4" in view.plan.why_not_more
    assert (view.boot_seconds, view.boots_measured, view.hours_left) == (60.0, 0, None)
    number = min(world.state.instances)
    world.turn(InstanceStarted(instance=number, reference="vm 1", address="10.0.0.9"))
    assert shown(world)["cloud"].instances == {"requested": 3, "booting": 1}
    one = instance_answer(world.state.instances[number].row)
    assert (one.state, one.reference, one.address, one.reason) == (
        "booting", "vm 1", "10.0.0.9", "the provider made it",
    )  # fmt: skip


def test_a_pool_of_a_fixed_size_says_so(world: World) -> None:
    local = PoolPolicy(name="local", min_workers=2, max_workers=2)
    assert shown(world, local)["local"].plan.reason == "the settings keep it at 2"


def test_a_quota_is_shown_with_when_it_is_tried_again(world: World) -> None:
    push(world)
    world.turn(InstanceStartFailed(instance=min(world.state.instances), reason="no quota for a 5th VM", full=True))
    view = shown(world)["cloud"]
    assert view.full == "no quota for a 5th VM" and view.retry_at == world.state.wall + 30.0


def test_instances_of_a_pool_that_the_settings_lost_are_shown(world: World) -> None:
    push(world)
    left = shown(world, PoolPolicy(name="other", provider="static"))["cloud"]
    assert not left.in_settings and left.instances == {"requested": 4}
    assert left.plan.reason.startswith("pool 'cloud' is no longer in the settings")
