"""The table of legal moves of attempts on a worker: every move in it can be made; test_agent_random sees that no event
makes another.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.worlds.agent import World, run, succeeded
from wire.messages import Input, Kill, Staged, TakeBack
from worker.agent.events import InputsPlaced
from worker.agent.legal import HELD_MOVES
from worker.agent.state import PHASES, Phase

ONE = {"task": 1, "attempt": 1}


def staging(world: World) -> None:
    world.order(run(1, staging=True))


def placed(world: World) -> None:
    world.order(Staged(**ONE, inputs=[Input(name="net.inp", path="net.inp")]))
    world.event(InputsPlaced(1, 1))


def waiting(world: World) -> None:
    """Another attempt has all slots."""
    world.order(run(9, slots=2), run(1))


def executing(world: World) -> None:
    world.order(run(1))


def killed(world: World) -> None:
    world.order(Kill(**ONE))


def taken_back(world: World) -> None:
    world.order(TakeBack(**ONE))


def superseded(world: World) -> None:
    world.order(run(1, 2))


def unwanted(world: World) -> None:
    world.acknowledge((1, 1))


def ends(world: World) -> None:
    world.end(1)


MOVES: dict[tuple[Phase, Phase], tuple[Callable[[World], None], ...]] = {
    ("new", "staging"): (staging,),
    ("new", "staged"): (waiting,),
    ("new", "ended"): (killed,),
    ("new", "returned"): (taken_back,),
    ("staging", "staged"): (staging, placed),
    ("staging", "ended"): (staging, killed),
    ("staging", "returned"): (staging, taken_back),
    ("staging", "gone"): (staging, superseded),
    ("staged", "executing"): (executing,),
    ("staged", "ended"): (waiting, killed),
    ("staged", "returned"): (waiting, taken_back),
    ("staged", "gone"): (waiting, unwanted),
    ("executing", "ended"): (executing, ends),
    ("executing", "gone"): (executing, unwanted, ends),
    ("ended", "gone"): (executing, ends, unwanted),
    ("returned", "gone"): (taken_back, superseded),
}


def test_the_moves_that_are_tried_are_those_of_the_table() -> None:
    assert set(MOVES) == {(before, after) for before, targets in HELD_MOVES.items() for after in targets}
    assert tuple(HELD_MOVES) == PHASES


@pytest.mark.parametrize("move", MOVES, ids="-".join)
def test_every_move_of_the_table_can_be_made(move: tuple[Phase, Phase]) -> None:
    world = World()
    for step in MOVES[move]:
        step(world)
    assert move in {(one.before, one.after) for one in world.agent.state.story if one.task == 1}


def test_an_outcome_of_an_earlier_start_begins_as_ended() -> None:
    world = World(kept=[succeeded(1)])
    assert [(one.before, one.after) for one in world.agent.state.story] == [("new", "ended")]
