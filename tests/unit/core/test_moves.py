"""The table of legal moves: every move in it can be made, by what the table says, and no other can."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from boss.core import moves
from boss.core.events import CancelAsked, RedoAsked, RetryAsked, Selection
from boss.core.legal import TASK_MOVES
from boss.core.model import Profile, TaskState
from boss.core.story import IllegalMoveError
from tests.worlds.scheduler import FakeWorker, World, published
from wire.messages import Found, StageFailed

_P, _Q, _R, _S, _F, _C, _B = TaskState
NEEDS = {"b": "net.inp"}


class Play:
    """Task `a` (1) and `b` (2) below it, on one worker of one slot."""

    def __init__(self, world: World, **push: object) -> None:
        self.world = world
        world.push({"a": "", "b": "a"}, **push)
        self.worker: FakeWorker = world.worker(slots=1)
        self.attempts = {1: 0, 2: 0}

    def ends(self, task: int, how: str = "succeeded") -> Play:
        """Its newest attempt began, and ends so."""
        self.begins(task)
        self.worker.ended(task, self.newest(task), how, exit_code=int(how != "succeeded"))
        return self

    def begins(self, task: int) -> Play:
        self.world.wait(2.0, self.worker)
        self.worker.began((task, self.newest(task)))
        return self

    def newest(self, task: int) -> int:
        return self.world.store.tasks[task].attempt

    def cancel(self, task: int) -> Play:
        self.world.ask(CancelAsked(selection=Selection(tasks=[task])))
        return self

    def retry(self, task: int) -> Play:
        self.world.ask(RetryAsked(selection=Selection(tasks=[task])))
        return self

    def redo(self, task: int) -> Play:
        self.world.ask(RedoAsked(selection=Selection(tasks=[task])))
        return self

    def replace(self, graph: dict[str, str]) -> Play:
        self.world.push(graph, merge_strategy="replace", commands={"b": "another"})
        return self

    def lost(self) -> Play:
        self.world.wait(60.0)
        return self


RETRIED = Profile(retries=3, retry_delay=0.0)
PLAYS: dict[tuple[TaskState, TaskState], Callable[[World], object]] = {
    (_P, _Q): lambda world: Play(world).ends(1),
    (_P, _B): lambda world: Play(world).ends(1, "failed"),
    (_P, _C): lambda world: Play(world).cancel(2),
    (_Q, _R): lambda world: Play(world).begins(1),
    (_Q, _P): lambda world: _queued_below_a_redone(world),
    (_Q, _S): lambda world: _found(world),
    (_Q, _F): lambda world: _inputs_missing(world),
    (_Q, _C): lambda world: _waits_for_its_retry(world).cancel(1),
    (_Q, _B): lambda world: _sent_below_a_failing(world),
    (_R, _S): lambda world: Play(world).ends(1),
    (_R, _F): lambda world: Play(world).ends(1, "failed"),
    (_R, _C): lambda world: Play(world).begins(1).cancel(1).ends(1, "cancelled"),
    (_R, _Q): lambda world: Play(world).begins(1).lost(),
    (_R, _P): lambda world: Play(world).ends(1).begins(2).redo(1).lost(),
    (_R, _B): lambda world: Play(world).ends(1).begins(2).redo(1).cancel(1).ends(1, "cancelled").lost(),
    (_S, _P): lambda world: Play(world).ends(1).ends(2).redo(1).redo(2),
    (_S, _Q): lambda world: Play(world).ends(1).redo(1),
    (_S, _B): lambda world: Play(world).ends(1).ends(2).redo(1).ends(1, "failed").redo(2),
    (_F, _P): lambda world: Play(world).ends(1).ends(2, "failed").redo(1).retry(2),
    (_F, _Q): lambda world: Play(world).ends(1, "failed").retry(1),
    (_F, _B): lambda world: Play(world).ends(1).ends(2, "failed").redo(1).ends(1, "failed").retry(2),
    (_C, _P): lambda world: Play(world).cancel(2).retry(2),
    (_C, _Q): lambda world: Play(world).ends(1).cancel(2).ends(2, "cancelled").retry(2),
    (_C, _B): lambda world: Play(world).cancel(2).ends(1, "failed").retry(2),
    (_B, _P): lambda world: Play(world).ends(1, "failed").retry(1),
    (_B, _Q): lambda world: Play(world).ends(1, "failed").replace({"b": ""}),
    (_B, _C): lambda world: Play(world).ends(1, "failed").cancel(2),
}


def _waits_for_its_retry(world: World) -> Play:
    return Play(world, profile=Profile(retries=1, retry_delay=99.0)).ends(1, "failed")


def _queued_below_a_redone(world: World) -> None:
    play = Play(world, profiles={"b": Profile(retries=1, retry_delay=99.0)})
    play.ends(1).ends(2, "failed").redo(1)


def _sent_below_a_failing(world: World) -> None:
    """Its answer to being asked back comes after what it depends on was redone, and failed."""
    play = Play(world).ends(1).redo(1)
    play.cancel(1)
    play.worker.ended(1, 2, "cancelled")
    play.worker.returned((2, 1))


def _found(world: World) -> None:
    Play(world, results={"a": "a.out"}, profile=Profile(overwrite_result=False))
    world.datastore.report(Found(task=1, files=published("a.out"), complete=True))


def _inputs_missing(world: World) -> None:
    Play(world, requirements={"a": "net.inp"})
    world.datastore.report(StageFailed(task=1, attempt=1, fault="input", reason="net.inp is not there"))


LEGAL = [(before, after) for before, targets in TASK_MOVES.items() for after in targets]


@pytest.mark.parametrize(("before", "after"), LEGAL, ids=lambda state: state.word)
def test_every_move_of_the_table_can_be_made(world: World, before: TaskState, after: TaskState) -> None:
    PLAYS[(before, after)](world)
    made = {(move.before, move.after) for move in world.state.story if move.what == "task"}
    assert (before.word, after.word) in made
    world.ignore()


def test_no_move_is_tried_that_the_table_does_not_have() -> None:
    assert set(PLAYS) == set(LEGAL)


def test_an_illegal_move_raises_with_the_tasks_story(world: World) -> None:
    Play(world).ends(1)
    batch, index = world.state.batches[1], 0
    with pytest.raises(IllegalMoveError, match="task 1: succeeded -> running") as caught:
        moves.move(world.state, batch, index, TaskState.RUNNING, "a bug")
    text = str(caught.value)
    assert "queued -> running: started on w" in text
    assert "running -> succeeded: its attempt succeeded" in text
    world.ignore()
