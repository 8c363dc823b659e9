"""What a worker's agent remembers of an attempt, and that an error of ours tells it."""

from __future__ import annotations

import pytest

from tests.worlds.agent import World, run
from worker.agent.check import check
from worker.agent.legal import IllegalMoveError, InvariantError, story
from worker.agent.moves import _move
from worker.agent.state import STORY_MOVES


def test_the_story_of_an_attempt_is_its_moves_in_order() -> None:
    world = World()
    world.order(run(1), run(2))
    world.end(1)
    world.acknowledge((1, 1))
    assert [(move.before, move.after) for move in story(world.agent.state, (1, 1))] == [
        ("new", "staged"),
        ("staged", "executing"),
        ("executing", "ended"),
        ("ended", "gone"),
    ]


def test_no_more_than_so_many_moves_are_remembered() -> None:
    world = World()
    for task in range(1, STORY_MOVES):
        world.order(run(task))
        world.end(task)
        world.acknowledge((task, 1))
    assert len(world.agent.state.story) == STORY_MOVES
    assert story(world.agent.state, (1, 1)) == []


def test_an_illegal_move_is_raised_with_the_story_of_its_attempt() -> None:
    world = World()
    world.order(run(7))
    world.end(7)
    state = world.agent.state
    with pytest.raises(IllegalMoveError, match=r"attempt 7\.1: ended -> staged is not in the table") as caught:
        _move(state, state.held[(7, 1)], "staged")
    assert caught.value.story == story(state, (7, 1)) != []
    assert "attempt 1 executing -> ended" in str(caught.value)


def test_what_is_inconsistent_is_raised_with_the_story_of_its_attempt() -> None:
    world = World()
    world.order(run(7))
    state = world.agent.state
    state.held[(7, 1)].placing = True
    with pytest.raises(InvariantError, match=r"attempt 7\.1 is executing, and placed\nStory:\n") as caught:
        check(state)
    assert caught.value.story == story(state, (7, 1)) != []
