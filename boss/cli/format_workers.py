"""Workers, and the outcome of commands on them, as lines of text. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from boss.api.schema import ChangeAnswer, DroppedAnswer, TerminatedAnswer, WorkerAnswer
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
    """The outcome of quarantine, release, drain and resume."""
    worker = harmless(str(change.done.get("worker", "")))
    if "quarantined" in change.done:
        reason = harmless(str(change.done["quarantined"]))
        yield (
            f"Worker {worker} is quarantined: {reason}"
            if reason
            else f"Worker {worker} is released: it gets tasks again."
        )
    else:
        yield f"Worker {worker} is {change.done.get('state')}."
    yield from filter(None, [change.carry_on])


def terminated_lines(answer: TerminatedAnswer) -> Iterator[str]:
    if answer.ended:
        yield f"Terminated: {_listed(answer.ended)}"
    if answer.draining:
        yield f"Terminated once their tasks have ended: {_listed(answer.draining)}"
    if not answer.ended and not answer.draining:
        yield "There is nothing to terminate."
    yield from note_lines(answer.notes)


def dropped_lines(answer: DroppedAnswer) -> Iterator[str]:
    yield f"Dropped: {_listed(answer.dropped)}" if answer.dropped else "There is nothing to drop."
    yield from note_lines(answer.notes)


def note_lines(notes: list[str]) -> Iterator[str]:
    return (f"Note: {harmless(note)}." for note in notes)


def _listed(workers: list[str]) -> str:
    return ", ".join(map(harmless, workers))
