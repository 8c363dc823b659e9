"""What must always hold inside the agent: every redundancy of its state. Used by tests and the simulator after every
step. Raises InvariantError with the story of the attempt in question.
"""

from __future__ import annotations

from datastore.agent.state import DatastoreAgentState, PublishStep, Step
from datastore.agent.story import InvariantError, story
from wire.messages import AttemptKey


def check(state: DatastoreAgentState) -> None:
    """Raise InvariantError unless all of it holds."""
    _check_lanes(state)
    _check_collections(state)
    _check_publishing(state)
    _check_stagings(state)
    _require(state, not (state.stores.keys() & state.storing.keys()), "a sent file waits and is under way")
    _require(state, not state.effects, "effects were left behind")
    if state.publishing is None or not state.publishing.recovering:
        _require(state, not state.collections or state.ready, "work before recovery was over")


def _require(state: DatastoreAgentState, holds: bool, text: str, key: AttemptKey | None = None) -> None:
    if not holds:
        raise InvariantError(text, story(state, key) if key is not None else ())


def _check_lanes(state: DatastoreAgentState) -> None:
    lanes = state.lanes
    _require(state, len(lanes.running) <= lanes.limit, "more transfers than the limit")
    busy = {transfer.lane for transfer in lanes.running.values()}
    _require(state, lanes.busy == busy, "busy lanes are those of transfers")
    _require(state, len(lanes.busy) == len(lanes.running), "two transfers in one lane")
    _require(state, all(lanes.waiting.values()), "an empty lane is kept")
    free = sorted(lane for lane in lanes.waiting if lane not in lanes.busy)
    _require(state, sorted(lanes.turns) == free, "turns are not the lanes that wait")


def _check_collections(state: DatastoreAgentState) -> None:
    by_step: dict[Step, set[AttemptKey]] = {step: set() for step in Step}
    for key, collection in state.collections.items():
        _require(state, collection.key == key, f"{collection.key} stands under {key}", key)
        by_step[collection.step].add(key)
        _require(state, key not in state.ended, f"{key} is under way and has ended", key)
    in_lanes = {key for lane, keys in state.lanes.waiting.items() if lane.direction == "collect" for key in keys}
    waiting = by_step[Step.WAITING]
    _require(state, waiting == in_lanes | state.retries.keys(), "waiting collections are in a lane or a retry")
    _require(state, not (in_lanes & state.retries.keys()), "a collection waits twice")
    running = state.lanes.running.values()
    under_way = {key for each in running for key in each.keys if each.lane.direction == "collect"}
    for key in by_step[Step.FETCHING] - under_way:
        _require(state, False, f"{key} is fetched without a transfer", key)
    _require(state, by_step[Step.FETCHED] == state.fetched.keys(), "fetched collections are listed")
    _require(state, state.without_room.keys() <= state.collections.keys(), "what has ended waits for room")
    reported = not state.without_room or "fetch" in state.warnings
    _require(state, reported, "what waits for disk space is reported")
    for step in (Step.NEW, Step.PUBLISHED, Step.ABANDONED):
        for key in by_step[step]:
            _require(state, False, f"{key} is {step} and still held", key)
    for key in by_step[Step.DISCARDING]:
        _require(state, state.collections[key].ending is not None, f"{key} is discarded without an end", key)
    for key in by_step[Step.WAITING] | by_step[Step.FETCHED]:
        _require(state, state.collections[key].ending is None, f"{key} was given up and still waits", key)


def _check_publishing(state: DatastoreAgentState) -> None:
    publishing = {key for key, each in state.collections.items() if each.step is Step.PUBLISHING}
    batch = state.publishing
    if batch is None or batch.recovering:
        _require(state, not publishing, f"publishing without a batch: {publishing}")
    else:
        of_batch = {record.key for record in batch.records}
        _require(state, publishing == of_batch, f"the batch is {of_batch}, publishing are {publishing}")
        _require(state, len(publishing) == len({task for task, _ in publishing}), "two attempts of a task in a batch")
    recorded = state.records.keys() & state.collections.keys()
    placing = batch is not None and batch.step is PublishStep.PLACE
    _require(state, not recorded or (placing and recorded == publishing), "a recorded attempt is not being placed")
    for key in state.records.keys() & state.ended.keys():
        _require(state, False, f"{key} is published and abandoned", key)
    for task, attempt in state.records:
        fence = state.fences.get(task, attempt)
        _require(state, fence >= attempt, f"the fence of task {task} is {fence}", (task, attempt))


def _check_stagings(state: DatastoreAgentState) -> None:
    in_lanes = {key for lane, keys in state.lanes.waiting.items() if lane.direction == "stage" for key in keys}
    waiting = {key for key, staging in state.stagings.items() if not staging.running}
    _require(state, waiting == in_lanes | state.held_stagings.keys(), "waiting stagings are in a lane or held")
    _require(state, not (in_lanes & state.held_stagings.keys()), "a staging waits twice")
    if state.held_stagings:
        _require(state, bool(state.stores or state.storing), "stagings are held for nothing")
