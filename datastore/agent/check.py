"""The agent's invariants: every redundancy of its state, checked after each step in tests and simulation. Pure."""

from __future__ import annotations

from datastore.agent.state import PublishStep, State, Step
from wire.messages import AttemptKey


def check(state: State) -> None:
    state.lanes.check()
    _check_collections(state)
    _check_publishing(state)
    _check_stagings(state)
    assert not (state.stores.keys() & state.storing.keys()), "a sent file waits and is under way"
    assert not state.effects, "effects were left behind"
    if state.publishing is None or not state.publishing.recovering:
        assert not state.collections or state.ready, "work before recovery was over"


def _check_collections(state: State) -> None:
    by_step: dict[Step, set[AttemptKey]] = {step: set() for step in Step}
    for key, collection in state.collections.items():
        assert collection.key == key
        by_step[collection.step].add(key)
        assert key not in state.ended, f"{key} is under way and has ended"
    in_lanes = {key for lane, keys in state.lanes.waiting.items() if lane.direction == "collect" for key in keys}
    assert by_step[Step.WAITING] == in_lanes | state.retries.keys(), "waiting collections are in a lane or a retry"
    assert not (in_lanes & state.retries.keys()), "a collection waits twice"
    under_way = {key for each in state.lanes.running.values() for key in each.keys if each.lane.direction == "collect"}
    assert by_step[Step.FETCHING] <= under_way, "fetching without a transfer"
    assert by_step[Step.FETCHED] == state.fetched.keys(), "fetched collections are listed"
    assert state.without_room.keys() <= state.collections.keys(), "what has ended waits for room"
    assert not state.without_room or "fetch" in state.hindrances, "nobody is told what waits for room"
    for key in by_step[Step.DISCARDING]:
        assert state.collections[key].ending is not None, f"{key} is discarded without an end"
    for key in by_step[Step.WAITING] | by_step[Step.FETCHED]:
        assert state.collections[key].ending is None, f"{key} was given up and still waits"


def _check_publishing(state: State) -> None:
    publishing = {key for key, each in state.collections.items() if each.step is Step.PUBLISHING}
    batch = state.publishing
    if batch is None or batch.recovering:
        assert not publishing, "publishing without a batch"
    else:
        assert publishing == {record.key for record in batch.records}, "the batch is not what is publishing"
        assert len(publishing) == len({task for task, _ in publishing}), "two attempts of a task in a batch"
    recorded = state.records.keys() & state.collections.keys()
    placing = batch is not None and batch.step is PublishStep.PLACE
    assert not recorded or (placing and recorded == publishing), "a recorded attempt is not being placed"
    assert not (state.records.keys() & state.ended.keys()), "an attempt is published and abandoned"
    for task, attempt in state.records:
        assert state.fences.get(task, attempt) >= attempt, f"the fence of task {task} is too low"


def _check_stagings(state: State) -> None:
    in_lanes = {key for lane, keys in state.lanes.waiting.items() if lane.direction == "stage" for key in keys}
    waiting = {key for key, staging in state.stagings.items() if not staging.running}
    assert waiting == in_lanes | state.held_stagings.keys(), "waiting stagings are in a lane or held"
    assert not (in_lanes & state.held_stagings.keys()), "a staging waits twice"
    if state.held_stagings:
        assert state.stores or state.storing, "stagings are held for nothing"
