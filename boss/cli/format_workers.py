"""Workers, and what became of those that an operator changed, as lines of text. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from boss.api.schema import ChangeAnswer, WorkerAnswer
from boss.api.schema_pools import DroppedAnswer, TerminatedAnswer
from boss.cli.terminal import harmless


def worker_line(worker: WorkerAnswer) -> str:
    doing = ", ".join(harmless(held.id) for held in worker.holding if held.phase in ("executing", "collecting"))
    parts = [
        f"ID: {harmless(worker.id)}",
        f"IP: {harmless(worker.address)}",
        f"Doing: {doing or 'nothing'}",
        f"Persistent: {worker.keep_alive}",
        f"State: {worker.state}" + (" (not connected)" if worker.connected is False else ""),
    ]
    if worker.quarantined:
        parts.append(f"Quarantined: {harmless(worker.quarantined)}")
    return "  ".join(parts)


def worker_change_lines(change: ChangeAnswer) -> Iterator[str]:
    """What became of a worker that a person set aside, let in, drained or resumed."""
    worker = harmless(str(change.done.get("worker", "")))
    if "quarantined" in change.done:
        reason = harmless(str(change.done["quarantined"]))
        yield f"Worker {worker} is set aside: {reason}" if reason else f"Worker {worker} may be sent tasks."
    else:
        yield f"Worker {worker} is {change.done.get('state')}."
    yield from filter(None, [change.carry_on])


def terminated_lines(answer: TerminatedAnswer) -> Iterator[str]:
    if answer.ended:
        yield f"Ended: {_listed(answer.ended)}"
    if answer.draining:
        yield f"Ending when they have finished: {_listed(answer.draining)}"
    if not answer.ended and not answer.draining:
        yield "There was nothing to end."
    yield from note_lines(answer.notes)


def dropped_lines(answer: DroppedAnswer) -> Iterator[str]:
    yield f"Dropped: {_listed(answer.dropped)}" if answer.dropped else "There was nothing to drop."
    yield from note_lines(answer.notes)


def note_lines(notes: list[str]) -> Iterator[str]:
    return (f"Note: {harmless(note)}." for note in notes)


def _listed(workers: list[str]) -> str:
    return ", ".join(map(harmless, workers))
