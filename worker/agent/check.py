"""What must always hold inside the agent: every redundancy of its state. Used by tests and the simulator after every
step. Raises InvariantError with the story of the attempt in question.
"""

from __future__ import annotations

from wire.messages import AttemptKey
from worker.agent.legal import InvariantError, story
from worker.agent.state import PHASES, Held, WorkerAgentState, fits, memory_of, slots_of, waits_for_disk


def check(state: WorkerAgentState) -> None:
    """Raise InvariantError unless all of it holds."""
    _check_counts(state)
    _check_slots(state)
    _check_waiting(state)
    _check_ready(state)
    _check_outbox(state)
    for held in state.held.values():
        _check_held(state, held)
    _require(state, not state.effects, "effects were left behind")


def _require(state: WorkerAgentState, holds: bool, text: str, key: AttemptKey | None = None) -> None:
    if not holds:
        raise InvariantError(text, story(state, key) if key is not None else ())


def _check_counts(state: WorkerAgentState) -> None:
    for phase in PHASES:
        found = sum(held.phase == phase for held in state.held.values())
        _require(
            state, state.counts[phase] == found, f"{found} attempts are {phase}, counted are {state.counts[phase]}"
        )


def _check_slots(state: WorkerAgentState) -> None:
    runs = [held.run for held in state.held.values() if held.phase == "executing" and held.run is not None]
    slots = sum(slots_of(state, run) for run in runs)
    memory = sum(memory_of(state, run) for run in runs)
    _require(state, state.used_slots == slots, f"{slots} slots are used, counted are {state.used_slots}")
    _require(state, state.used_memory == memory, f"{memory} bytes are used, counted are {state.used_memory}")
    _require(state, slots <= state.options.slots, f"{slots} of {state.options.slots} slots are used")


def _check_waiting(state: WorkerAgentState) -> None:
    for init, keys in state.waiting.items():
        text = f"init {init} has succeeded and attempts wait for it: {list(keys)}"
        _require(state, init not in state.initialized, text)
        _require(state, bool(keys), f"no attempt waits for init {init}, and it is listed")
        for key in keys:
            waits = key in state.held and init in state.held[key].waits_for
            _require(state, waits, f"{key} does not wait for init {init}", key)


def _check_ready(state: WorkerAgentState) -> None:
    """Nothing that could run waits: what is staged is in the queue, and the first that fits has begun."""
    queued = {(key, arrival) for _, arrival, key in state.ready}
    waiting = [held for held in state.held.values() if held.phase == "staged" and not held.waits_for]
    for held in waiting:
        there = (held.key, held.arrival) in queued
        _require(state, there, f"attempt {held.key} is staged and not in the queue", held.key)
    if waiting and not state.exited and not waits_for_disk(state):
        first = min(waiting, key=lambda held: (not (held.run is not None and held.run.init), held.arrival))
        waits = first.run is not None and not fits(state, first.run)
        _require(state, waits, f"attempt {first.key} fits and has not begun", first.key)
    if state.draining:
        _require(state, not waiting, "a draining worker holds attempts that have not begun")


def _check_outbox(state: WorkerAgentState) -> None:
    """What is to be said has a time at which it goes out."""
    if state.outbox or state.confirms:
        _require(state, state.flush_at is not None, f"{len(state.outbox)} reports wait, and nothing sends them")


def _check_held(state: WorkerAgentState, held: Held) -> None:
    key, phase, name = held.key, held.phase, f"attempt {held.task}.{held.attempt}"
    _require(state, (held.outcome is not None) == (phase == "ended"), f"{name} is {phase}: {held.outcome}", key)
    _require(state, not held.unwanted or phase == "executing", f"{name} is unwanted and {phase}", key)
    _require(state, held.run is not None or phase in ("ended", "returned"), f"{name} is {phase} without a Run", key)
    placing = not held.placing or phase in ("staging", "ended", "returned")
    _require(state, placing, f"{name} is {phase}, and placed", key)
    if not held.unwanted:
        highest = state.highest.get(held.task, 0)
        _require(state, highest >= held.attempt, f"{name} is above the highest of its task, {highest}", key)
    for init in held.waits_for:
        waits = key in state.waiting.get(init, {})
        _require(state, waits, f"{name} waits for init {init} unknown to it", key)
