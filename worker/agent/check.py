"""What must always hold inside an agent. Used by tests and the simulator after every step."""

from __future__ import annotations

from worker.agent.state import MOVES, Held, State, fits, memory_of, slots_of


class Broken(AssertionError):
    """Something that must always hold does not; the text names it."""


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise Broken(what)


def check(state: State) -> None:
    """Compare every redundancy of the state with what it is made from."""
    _check_counts(state)
    _check_slots(state)
    _check_waiting(state)
    _check_ready(state)
    _check_outbox(state)
    for held in state.held.values():
        _check_held(state, held)


def _check_counts(state: State) -> None:
    for phase in MOVES:
        found = sum(held.phase == phase for held in state.held.values())
        _require(state.counts[phase] == found, f"{found} attempts are {phase}, counted are {state.counts[phase]}")


def _check_slots(state: State) -> None:
    runs = [held.run for held in state.held.values() if held.phase == "executing" and held.run is not None]
    slots = sum(slots_of(state, run) for run in runs)
    memory = sum(memory_of(state, run) for run in runs)
    _require(state.used_slots == slots, f"{slots} slots are used, counted are {state.used_slots}")
    _require(state.used_memory == memory, f"{memory} bytes are used, counted are {state.used_memory}")
    _require(slots <= state.options.slots, f"{slots} of {state.options.slots} slots are used")


def _check_waiting(state: State) -> None:
    for init, keys in state.waiting.items():
        _require(init not in state.initialized, f"init {init} has succeeded and attempts wait for it: {list(keys)}")
        _require(bool(keys), f"nobody waits for init {init}, and it is listed")
        for key in keys:
            _require(key in state.held and init in state.held[key].waits_for, f"{key} does not wait for init {init}")


def _check_ready(state: State) -> None:
    """Nothing that could run waits: what is staged is in the queue, and the first that fits has begun."""
    queued = {(key, arrival) for _, arrival, key in state.ready}
    waiting = [held for held in state.held.values() if held.phase == "staged" and not held.waits_for]
    for held in waiting:
        _require((held.key, held.arrival) in queued, f"attempt {held.key} is staged and not in the queue")
    if waiting and not state.exited:
        first = min(waiting, key=lambda held: (not (held.run is not None and held.run.init), held.arrival))
        _require(first.run is not None and not fits(state, first.run), f"attempt {first.key} fits and has not begun")
    if state.draining:
        _require(not waiting, "a draining worker holds attempts that have not begun")


def _check_outbox(state: State) -> None:
    """What is to be said has a time at which it goes out."""
    if state.outbox or state.confirms:
        _require(state.flush_at is not None, f"{len(state.outbox)} reports wait, and nothing sends them")


def _check_held(state: State, held: Held) -> None:
    name = f"attempt {held.task}.{held.attempt}"
    _require((held.outcome is not None) == (held.phase == "ended"), f"{name} is {held.phase}: {held.outcome}")
    _require(not held.unwanted or held.phase == "executing", f"{name} is unwanted and {held.phase}")
    _require(held.run is not None or held.phase in ("ended", "returned"), f"{name} is {held.phase} without a Run")
    _require(not held.placing or held.phase in ("staging", "ended", "returned"), f"{name} is {held.phase}, and placed")
    if not held.unwanted:
        _require(state.highest.get(held.task, 0) >= held.attempt, f"{name} is above the highest of its task")
    for init in held.waits_for:
        _require(held.key in state.waiting.get(init, {}), f"{name} waits for init {init} unknown to it")
