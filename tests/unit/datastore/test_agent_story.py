"""What the datastore's agent remembers of an attempt's results, and that an error of ours tells it."""

from __future__ import annotations

from itertools import pairwise

import pytest

from datastore.agent import DatastoreAgent
from datastore.agent.check import check
from datastore.agent.events import (
    FilesPlaced,
    IncomingSynced,
    LinkConnected,
    Ordered,
    RecordsWritten,
    ResultsFetched,
    Started,
    Swept,
    TransferEnded,
)
from datastore.agent.moves import move
from datastore.agent.state import STORY_MOVES, DatastoreAgentState, Step
from datastore.agent.story import IllegalMoveError, InvariantError, story
from wire.messages import VERSION, Collect, CollectFile, DatastoreOrders, Place

KEY = (7, 1)


def fetching() -> tuple[DatastoreAgent, DatastoreAgentState]:
    """An agent that fetches the results of one attempt."""
    agent = DatastoreAgent("d", "now")
    file = CollectFile(source="out", target="default/out", size=1, digest="b2:" + "0" * 64)
    order = Collect(task=7, attempt=1, worker="w", place=Place(path="/home/worker"), files=[file])
    message = DatastoreOrders(version=VERSION, deployment="d", receiver="now", epoch=1, number=1, orders=[order])
    for event in (Started(1, []), FilesPlaced(), Swept(), LinkConnected(), Ordered(message)):
        agent.handle(event, 100.0)
    return agent, agent.state


def test_the_story_of_an_attempt_is_the_steps_of_its_results_in_order() -> None:
    agent, state = fetching()
    events = (ResultsFetched(KEY), TransferEnded(1), IncomingSynced(), RecordsWritten(), FilesPlaced())
    for event in events:
        agent.handle(event, 101.0)
        check(state)
    steps = [Step.NEW, Step.WAITING, Step.FETCHING, Step.FETCHED, Step.PUBLISHING, Step.PUBLISHED]
    assert [(one.before, one.after) for one in story(state, KEY)] == list(pairwise(steps))


def test_no_more_than_so_many_moves_are_remembered() -> None:
    _, state = fetching()
    collection = state.collections[KEY]
    for _ in range(STORY_MOVES):
        move(state, collection, Step.WAITING)
        move(state, collection, Step.FETCHING)
    assert len(state.story) == STORY_MOVES


def test_an_illegal_move_is_raised_with_the_story_of_its_attempt() -> None:
    _, state = fetching()
    with pytest.raises(
        IllegalMoveError, match=r"the results of attempt 7\.1: fetching -> publishing is not in the table"
    ) as caught:
        move(state, state.collections[KEY], Step.PUBLISHING)
    assert caught.value.story == story(state, KEY) != []
    assert "attempt 1 waiting -> fetching" in str(caught.value)


def test_what_is_inconsistent_is_raised_with_the_story_of_its_attempt() -> None:
    _, state = fetching()
    state.lanes.running[1].keys.clear()
    with pytest.raises(InvariantError, match="is fetched without a transfer") as caught:
        check(state)
    assert caught.value.story == story(state, KEY) != []
