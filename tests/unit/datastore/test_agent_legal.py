"""The tables of legal moves of collections and batches: every move in them can be made; test_model sees that nothing
that happens makes another.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import pytest

from datastore.agent import DatastoreAgent, Record, RecordedFile
from datastore.agent.check import check
from datastore.agent.events import (
    Discarded,
    Event,
    FetchFailed,
    FilesPlaced,
    IncomingSynced,
    LinkConnected,
    Ordered,
    RecordsWritten,
    ResultsFetched,
    Started,
    StepFailed,
    Swept,
)
from datastore.agent.legal import BATCH_MOVES, COLLECTION_MOVES
from datastore.agent.moves import move_batch
from datastore.agent.state import BATCH, PublishStep, Step
from datastore.agent.story import IllegalMoveError, story
from wire.messages import VERSION, Abandon, AttemptKey, Collect, CollectFile, DatastoreOrder, DatastoreOrders, Place

KEY = (7, 1)
DIGEST = "b2:" + "0" * 64
STARTED = (Started(1, []), FilesPlaced(), Swept(), LinkConnected())


def ordered(number: int, *orders: DatastoreOrder) -> Ordered:
    return Ordered(
        DatastoreOrders(version=VERSION, deployment="d", receiver="now", epoch=1, number=number, orders=list(orders))
    )


def collect(task: int) -> Collect:
    file = CollectFile(source="out", target=f"default/{task}", size=1, digest=DIGEST)
    return Collect(task=task, attempt=1, worker="w", place=Place(path="/home/worker"), files=[file])


COLLECT = ordered(1, collect(7))
#: Another one is fetched from the same worker first.
COLLECT_LATER = ordered(1, collect(9)), ordered(2, collect(7))
GIVE_UP = ordered(3, Abandon(task=7, attempt=1))
FETCHED, SYNCED, RECORDED, PLACED = ResultsFetched(KEY), IncomingSynced(), RecordsWritten(), FilesPlaced()


def failed(fault: str) -> FetchFailed:
    return FetchFailed(KEY, fault, "why")  # type: ignore[arg-type]


#: What happens to the results of attempt 7.1 -> the move that comes last.
COLLECTIONS: dict[tuple[Step, Step], tuple[Event, ...]] = {
    (Step.NEW, Step.WAITING): COLLECT_LATER,
    (Step.WAITING, Step.FETCHING): (COLLECT,),
    (Step.WAITING, Step.DISCARDING): (COLLECT, failed("transfer"), GIVE_UP),
    (Step.WAITING, Step.ABANDONED): (*COLLECT_LATER, GIVE_UP),
    (Step.FETCHING, Step.FETCHED): (COLLECT, FETCHED),
    (Step.FETCHING, Step.WAITING): (COLLECT, failed("no_space")),
    (Step.FETCHING, Step.DISCARDING): (COLLECT, GIVE_UP, FETCHED),
    (Step.FETCHING, Step.ABANDONED): (COLLECT, failed("path")),
    (Step.FETCHED, Step.PUBLISHING): (COLLECT, FETCHED),
    (Step.FETCHED, Step.DISCARDING): (COLLECT, FETCHED, StepFailed("no"), GIVE_UP),
    (Step.PUBLISHING, Step.PUBLISHED): (COLLECT, FETCHED, SYNCED, RECORDED, PLACED),
    (Step.PUBLISHING, Step.FETCHED): (COLLECT, FETCHED, StepFailed("no")),
    (Step.PUBLISHING, Step.DISCARDING): (COLLECT, FETCHED, GIVE_UP, SYNCED),
    (Step.DISCARDING, Step.ABANDONED): (COLLECT, FETCHED, GIVE_UP, SYNCED, Discarded([KEY])),
}
BATCHES: dict[tuple[PublishStep, PublishStep], tuple[Event, ...]] = {
    (PublishStep.NEW, PublishStep.SYNC): (COLLECT, FETCHED),
    (PublishStep.NEW, PublishStep.PLACE): (),
    (PublishStep.SYNC, PublishStep.RECORD): (COLLECT, FETCHED, SYNCED),
    (PublishStep.SYNC, PublishStep.OVER): (COLLECT, FETCHED, GIVE_UP, SYNCED),
    (PublishStep.RECORD, PublishStep.PLACE): (COLLECT, FETCHED, SYNCED, RECORDED),
    (PublishStep.RECORD, PublishStep.OVER): (COLLECT, FETCHED, SYNCED, StepFailed("no space left", full=True)),
    (PublishStep.PLACE, PublishStep.OVER): (COLLECT, FETCHED, SYNCED, RECORDED, PLACED),
}


def after(events: tuple[Event, ...]) -> DatastoreAgent:
    """An agent that was started, and to which these happened."""
    agent = DatastoreAgent("d", "now")
    for event in (*STARTED, *events):
        agent.handle(event, 100.0)
        check(agent.state)
    return agent


def made(agent: DatastoreAgent, key: AttemptKey) -> list[tuple[StrEnum, StrEnum]]:
    return [(move.before, move.after) for move in story(agent.state, key)]


def legal(table: Mapping[StrEnum, Mapping[StrEnum, str]]) -> set[tuple[StrEnum, StrEnum]]:
    return {(before, to) for before, targets in table.items() for to in targets}


def test_the_moves_that_are_tried_are_those_of_the_tables() -> None:
    assert set(COLLECTIONS) == legal(COLLECTION_MOVES)
    assert set(BATCHES) == legal(BATCH_MOVES)
    assert set(COLLECTION_MOVES) == set(Step)
    assert set(BATCH_MOVES) == set(PublishStep)


@pytest.mark.parametrize("move", COLLECTIONS, ids="-".join)
def test_every_move_of_a_collection_can_be_made(move: tuple[Step, Step]) -> None:
    assert move in made(after(COLLECTIONS[move]), KEY)


@pytest.mark.parametrize("move", BATCHES, ids="-".join)
def test_every_move_of_a_batch_can_be_made(move: tuple[PublishStep, PublishStep]) -> None:
    assert move in made(after(BATCHES[move]), BATCH)


def test_what_a_former_start_recorded_is_placed_first() -> None:
    agent = DatastoreAgent("d", "now")
    agent.handle(Started(1, [Record("d", "before", 7, 1, [RecordedFile("r/7", 3, DIGEST)])]), 100.0)
    assert made(agent, BATCH) == [(PublishStep.NEW, PublishStep.PLACE)]
    agent.handle(PLACED, 100.0)
    assert made(agent, BATCH)[1:] == [(PublishStep.PLACE, PublishStep.OVER)] and agent.state.publishing is None


def test_an_illegal_move_of_a_batch_is_raised_with_the_story_of_the_batches() -> None:
    state = after((COLLECT, FETCHED)).state
    assert state.publishing is not None
    with pytest.raises(IllegalMoveError, match="the batch: sync -> place is not in the table") as caught:
        move_batch(state, state.publishing, PublishStep.PLACE)
    assert caught.value.story == story(state, BATCH) != []
    assert "batch new -> sync" in str(caught.value)
