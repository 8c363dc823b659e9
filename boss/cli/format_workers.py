"""Workers, the outcome of commands on them, and pools with their plans, as lines of text. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from boss.api.schema import ChangeAnswer, DroppedAnswer, PoolAnswer, TerminatedAnswer, WorkerAnswer
from boss.cli.terminal import harmless
from boss.common.plural import plural
from boss.common.times import format_moment


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


# --- pools -------------------------------------------------------------------------------------------


#: What a plan was decided on -> what is counted, if it is, and the text around it; in this order.
_NUMBERS = {
    "runnable_slots": ("slot", "{} required now"),
    "needed_after_boot": ("slot", "{} required one boot from now"),
    "workers": ("worker", "{} running or starting"),
    "end_seconds": ("", "the work ends in {} s as things are"),
    "end_seconds_with_start": ("", "in {} s with what was started"),
}


def pool_lines(pool: PoolAnswer) -> Iterator[str]:
    there = ", ".join(f"{count} {state}" for state, count in pool.instances.items()) or "no instances"
    role = ", the datastore's machine" if pool.role == "datastore" else ""
    limits = f"at least {pool.min}, at most {pool.max}"
    limits += f", {pool.spare} spare" if pool.spare else ""
    yield f"Pool {harmless(pool.name)} ({harmless(pool.provider)}{role}): {there}; {limits}"
    when = f" (decided {format_moment(pool.plan.decided_at)})" if pool.plan.decided_at else ""
    yield f"\tPlan: {harmless(pool.plan.reason)}{when}"
    if pool.plan.why_not_more:
        yield f"\tWhy not more: {harmless(pool.plan.why_not_more)}"
    if pool.plan.why_not_fewer:
        yield f"\tWhy not fewer: {harmless(pool.plan.why_not_fewer)}"
    if pool.plan.numbers:
        yield f"\tNumbers: {', '.join(_format_numbers(pool.plan.numbers))}"
    if not pool.in_settings:
        return
    yield f"\tA boot takes {pool.boot_seconds:.0f} s, {_format_origin(pool)}"
    yield from _limit_lines(pool)
    if pool.hours_left is not None:
        spent = f"{pool.hours_spent:.2f} worker-hours"
        yield f"\tSpent in 30 days: {spent}; the budget leaves {pool.hours_left:.2f}"
    elif pool.grows:
        yield f"\tSpent in 30 days: {pool.hours_spent:.2f} worker-hours"


def _format_numbers(numbers: dict[str, float | None]) -> Iterator[str]:
    for name, (counted, text) in _NUMBERS.items():
        if name in numbers:
            number = numbers[name]
            if number is None:
                yield text.replace("in {} s", "never")
            else:
                yield text.format(plural(round(number), counted) if counted else f"{number:,.0f}")


def _format_origin(pool: PoolAnswer) -> str:
    if pool.boots_measured:
        return f"measured over the last {plural(pool.boots_measured, 'boot')}"
    return "as configured, until a few boots are measured"


def _limit_lines(pool: PoolAnswer) -> Iterator[str]:
    again = f"; the boss retries at {format_moment(pool.retry_at)}" if pool.retry_at else ""
    if pool.full:
        yield f"\tIt cannot grow: {harmless(pool.full)}{again}"
    elif pool.failures:
        yield f"\t{plural(pool.failures, 'failure')} in a row, the last: {harmless(pool.failed)}{again}"
    if pool.more is not None:
        why = f" ({harmless(pool.limited_by)})" if pool.limited_by else ""
        yield f"\tThe provider can start {pool.more:,} more{why}"
