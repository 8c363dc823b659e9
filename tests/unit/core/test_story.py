"""What is remembered of a task, and that an error of ours tells it."""

from __future__ import annotations

import pytest

from boss.core.check import check
from boss.core.policy import Policy
from boss.core.scheduler import Scheduler
from boss.core.story import InvariantError, story
from tests.worlds.scheduler import World


def test_the_story_of_a_task_is_its_moves_and_those_of_its_attempts_in_order(world: World) -> None:
    world.push({"a": ""})
    worker = world.worker()
    worker.began((1, 1))
    worker.restarted()
    assert [(move.what, move.before, move.after) for move in story(world.state, 1)][:5] == [
        ("attempt", "new", "staged"),
        ("attempt", "staged", "executing"),
        ("task", "queued", "running"),
        ("attempt", "executing", "lost"),
        ("task", "running", "queued"),
    ]
    world.ignore()


def test_a_story_has_nothing_of_other_tasks() -> None:
    scheduler = Scheduler(Policy())
    scheduler.state.journal("task", "12", 0, "queued", "running", "started on w")
    assert story(scheduler.state, 1) == []
    assert len(story(scheduler.state, 12)) == 1


def test_what_is_inconsistent_is_raised_with_the_story_of_its_task() -> None:
    world = World()
    world.push({"a": ""})
    world.worker().began((1, 1))
    world.state.delayed[1] = 0.0
    with pytest.raises(InvariantError, match="task 1 is running and waits in a queue") as caught:
        check(world.state)
    assert caught.value.story == story(world.state, 1) != []
    assert "task 1 queued -> running: started on w" in str(caught.value)
