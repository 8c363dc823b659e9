"""An agent that stood still for longer than a lease begins nothing before the boss's next word; one that only had
nothing to do goes on."""

from __future__ import annotations

import pytest

from tests.worlds.agent import World, run
from wire.messages import Returned, Welcome
from worker.agent.events import LinkDisconnected, OrdersArrived, Suspended, TimePassed
from worker.agent.state import IgnoredOrder

LEASE = 20.0


def welcome(hello: int = 0) -> Welcome:
    return Welcome(heartbeat_seconds=5.0, orphan_after_seconds=600.0, lease_seconds=LEASE, hello=hello)


@pytest.fixture
def world() -> World:
    made = World(slots=1)
    made.order(welcome())
    made.order(run(1), run(2))
    assert made.begun() == [(1, 1)]
    made.clear()
    return made


def stand_still(world: World, seconds: float = LEASE + 1.0) -> None:
    """And then one event."""
    world.now += seconds
    world.event(TimePassed())


def hello_number(world: World) -> int:
    world.pass_time(0.0)
    return world.agent.state.hello_number


def test_what_had_not_begun_is_given_back(world: World) -> None:
    stand_still(world)
    world.end(1)
    assert world.begun() == []
    assert world.hellos()
    world.pass_time(0.1)
    assert [(one.task, one.attempt) for one in world.of(Returned)][:1] == [(2, 1)]


def test_what_was_on_its_way_does_not_begin_and_what_follows_the_answer_does(world: World) -> None:
    stand_still(world)
    world.end(1)
    number = hello_number(world)
    world.order(run(3))
    assert world.begun() == []
    assert world.agent.state.ignored[IgnoredOrder.BEFORE_RESYNC] == 1
    world.order(welcome(number), run(4))
    assert world.begun() == [(4, 1)]


def test_the_answer_to_an_earlier_hello_is_not_waited_for(world: World) -> None:
    earlier = world.agent.state.hello_number
    stand_still(world)
    world.end(1)
    number = hello_number(world)
    assert earlier < number
    world.order(welcome(earlier), run(3))
    assert world.begun() == []
    assert world.agent.state.resyncing
    world.order(welcome(number))
    world.order(run(3))
    assert world.begun() == [(3, 1)]


def test_a_boss_of_a_former_release_answers_by_any_welcome_after_the_hello(world: World) -> None:
    stand_still(world)
    world.end(1)
    hello_number(world)
    world.order(Welcome(heartbeat_seconds=5.0, orphan_after_seconds=600.0), run(3))
    assert world.begun() == [(3, 1)]


def test_what_runs_goes_on_to_its_end(world: World) -> None:
    stand_still(world)
    assert world.executing() == [(1, 1)]
    world.end(1)
    assert world.phases()[1, 1] == "ended"


def test_a_suspended_machine_counts_although_its_clock_does_not(world: World) -> None:
    world.event(Suspended(LEASE / 2))
    assert world.phases()[2, 1] == "staged"
    world.event(Suspended(LEASE * 2))
    assert world.phases()[2, 1] == "returned"


def test_a_shorter_pause_changes_nothing(world: World) -> None:
    stand_still(world, LEASE - 1.0)
    world.end(1)
    assert world.begun() == [(2, 1)]


def test_without_a_boss_work_goes_on_however_long_a_task_takes(world: World) -> None:
    world.event(LinkDisconnected())
    world.pass_time(10 * LEASE)
    world.end(1)
    assert world.begun() == [(2, 1)]
    assert not world.agent.state.resyncing


def test_a_message_that_waited_is_handled_after_the_gap_is_known(world: World) -> None:
    world.end(1)
    world.end(2)
    world.clear()
    message = world.message(run(3), number=world.number + 1)
    world.now += LEASE + 1.0
    world.event(OrdersArrived(message))
    assert world.begun() == []
