"""What admin.py prints of status, tasks, batches and the journal, as text from the API's answers. Pure; lines that
scripts parse keep their legacy form.

Everything that a user or a worker wrote goes through `harmless` before it reaches a terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from boss.api.schema import (
    AttemptAnswer,
    BatchAnswer,
    ChangeAnswer,
    DerivedCommand,
    EventAnswer,
    StatusAnswer,
    StoryAnswer,
    TaskAnswer,
    TaskDetail,
)
from boss.cli.terminal import duration, format_progress, harmless
from boss.common.plural import plural
from boss.common.times import format_moment

#: Of `boss.core.reasons.ReportRejection` and `MessageRejection`.
REJECTED_REPORTS = {
    "other_worker": "in the name of another worker",
    "other_deployment": "of workers of another deployment",
    "datastore_of_other_deployment": "of a datastore of another deployment",
    "former_incarnation": "of former incarnations of workers",
    "other_version": "of agents that speak another version of the protocol",
    "other_host_key": "from hosts with another key than the pinned one",
    "started_too_often": "of agents that were started again and again within a minute",
    "too_large": "above the size of a message",
    "malformed": "that fit no schema",
    "misplaced": "on a topic of another agent",
    "too_many": "of agents of which too much waited already",
}


def status_lines(status: StatusAnswer) -> Iterator[str]:
    yield f"{status.workers} workers created."
    yield f"{status.in_queue} tasks in queue of which {status.available} are currently available."
    yield f"{status.in_progress} tasks in progress."
    yield f"{status.finished} tasks finished. {status.succeeded} succeeded and {status.failed} failed."
    if status.cancelled:
        yield f"{plural(status.cancelled, 'task')} cancelled."
    if not status.running and status.in_queue + status.in_progress:
        yield "No boss is running: nothing goes on until `push_tasks.py` or `python -m boss` starts one."
    if status.running and not status.broker_connected:
        yield "The boss is not connected to its broker; work goes on as soon as it reconnects."
    if status.running and not status.datastore_connected:
        yield "The datastore is not connected; tasks with files wait until it is."
    yield from (harmless(sentence) for sentence in status.warnings)
    if status.rejected_reports:
        yield f"The boss has rejected reports since its start: {_rejected(status.rejected_reports)}."


def _rejected(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {REJECTED_REPORTS.get(reason, harmless(reason))}" for reason, count in counts.items())


def command_lines(commands: Iterable[str]) -> Iterator[str]:
    """Each command tab-indented, its further lines too."""
    for command in commands:
        yield "\t" + harmless(command, lines=True).replace("\n", "\n\t")


def queued_lines(tasks: Iterable[TaskAnswer]) -> Iterator[str]:
    for task in tasks:
        waits = "\twaits for its dependencies" if task.state == "pending" else ""
        yield f"ID: {harmless(task.id)}{waits}"
        yield from command_lines(task.commands)


def in_progress_lines(tasks: Iterable[TaskAnswer]) -> Iterator[str]:
    for task in tasks:
        yield f"Task {harmless(task.id)} is being performed by {harmless(task.worker)} ({harmless(task.address)})"
        yield from command_lines(task.commands)


def ended_lines(tasks: Iterable[TaskAnswer]) -> Iterator[str]:
    """The legacy header (a short one where no worker ever had it), then the commands."""
    for task in tasks:
        where = f"\tWorker ID: {harmless(task.worker)}\tWorker address: {harmless(task.address)}" if task.worker else ""
        code = "" if task.exit_code is None else task.exit_code
        yield f"ID: {harmless(task.id)}{where}\tExit code: {code}\tReason: {harmless(reason_of(task))}"
        yield from command_lines(task.commands)


def reason_of(task: TaskAnswer) -> str:
    return one_line(task.reason)


def one_line(text: str) -> str:
    """EPANET's errors have several lines, with columns of blanks between their words."""
    return "; ".join(" ".join(line.split()) for line in text.splitlines() if line.strip())


def task_lines(detail: TaskDetail) -> Iterator[str]:
    """All of one task: its description, its state, each attempt, and what the last one wrote."""
    task = detail.task
    yield f"Task {harmless(task.id)} of project {harmless(task.project)}, batch {task.batch}"
    yield from task_status_lines(detail)
    if detail.dependencies:
        yield f"Dependencies: {' '.join(map(harmless, detail.dependencies))}"
    for name, files in (("Requirements", detail.requirements), ("Results", detail.results)):
        if files:
            yield f"{name}: {', '.join(harmless(each.name) for each in files)}"
    yield "Commands:"
    yield from command_lines(task.commands)
    for attempt in detail.attempts:
        yield from attempt_lines(attempt)
    if detail.attempts:
        yield from output_lines(detail.attempts[-1])


def task_status_lines(detail: TaskDetail) -> Iterator[str]:
    task = detail.task
    phase = f" ({task.phase})" if task.phase and task.state in ("queued", "running") else ""
    yield f"Status: {task.state}{phase}"
    if task.worker:
        yield f"Worker: {harmless(task.worker)}\tIP: {harmless(task.address)}"
    if task.state in ("succeeded", "failed", "cancelled", "blocked"):
        code = "" if task.exit_code is None else task.exit_code
        yield f"Success: {task.state == 'succeeded'}\tExit code: {code}\tReason: {harmless(reason_of(task))}"


def attempt_lines(attempt: AttemptAnswer) -> Iterator[str]:
    words = [f"Attempt {attempt.attempt}: {attempt.ended or attempt.phase}"]
    if attempt.worker:
        words.append(f"on {harmless(attempt.worker)}")
    if attempt.ended_at:
        words.append(f"in {attempt.seconds:.2f} s, ended {format_moment(attempt.ended_at)}")
    if attempt.exit_code is not None:
        words.append(f"exit code {attempt.exit_code}")
    if attempt.reason:
        words.append(harmless(one_line(attempt.reason)))
    yield ", ".join(words)
    for command in attempt.commands:
        yield f"\t[{command.exit_code}] {command.seconds:.2f} s  {harmless(_first_line(command.command))}"
    if attempt.figures:
        yield "\t" + ", ".join(f"{harmless(name)} {value:g}" for name, value in attempt.figures.items())


def output_lines(attempt: AttemptAnswer) -> Iterator[str]:
    for name, text in (("stdout", attempt.stdout_tail), ("stderr", attempt.stderr_tail)):
        if text:
            yield f"End of {name} of attempt {attempt.attempt}:"
            yield from command_lines([text.rstrip("\n")])


def dependency_line(detail: TaskDetail) -> str:
    """Ids of the tasks that must succeed before it, with blanks between them."""
    return " ".join(map(harmless, detail.dependencies))


def derived_lines(commands: Iterable[DerivedCommand]) -> Iterator[str]:
    for command in commands:
        yield f"{command.kind}\t{harmless(command.text, lines=True)}"


def batch_line(batch: BatchAnswer) -> str:
    state = "finished" if batch.finished else "paused" if batch.paused else "unfinished"
    name = f" {harmless(batch.name)}" if batch.name else ""
    took = f", took {duration(batch.finished_at - batch.created_at)}" if batch.finished_at else ""
    when = f", pushed {format_moment(batch.created_at)}" if batch.created_at else ""
    project = harmless(batch.project)
    return f"Batch {batch.number}{name} (project {project}): {state}, {format_progress(batch)}{when}{took}"


#: What the boss counts of a change -> how it is printed.
_CHANGES = {
    "cancelled": "cancelled",
    "asked": "being cancelled",
    "retried": "queued to run again",
    "redone": "queued to run again",
    "dropped": "dropped",
    "needed": "kept, because unfinished tasks require their results",
}


def change_lines(change: ChangeAnswer) -> Iterator[str]:
    parts = [
        f"{plural(count, 'task')} {words}"
        for name, words in _CHANGES.items()
        if isinstance(count := change.done.get(name), int) and count
    ]
    yield ", ".join(parts) + "." if parts else "There is nothing to do."
    if not parts:
        yield from _untouched_lines(change)
    if parts and change.carry_on:
        yield change.carry_on


#: State of a task that a command left as it is -> why, and what to type.
_UNTOUCHED = {
    "pending": "waits for its dependencies and runs then",
    "queued": "waits to run already",
    "running": "runs at present; cancel it first: admin.py cancel ID",
    "succeeded": "has succeeded; to run it again: admin.py redo_task ID",
    "cancelled": "was cancelled; to run it: admin.py redo_task ID",
    "blocked": "is blocked by tasks that failed or were cancelled; to run those: admin.py retry_failed",
}


def _untouched_lines(change: ChangeAnswer) -> Iterator[str]:
    """Why a command that was to run tasks again did nothing."""
    states = change.done.get("untouched_states")
    for state, count in states.items() if isinstance(states, dict) else ():
        if state in _UNTOUCHED:
            yield f"  {plural(count, 'task')}: {_UNTOUCHED[state]}"


def pause_lines(batch: int, change: ChangeAnswer, *, paused: bool) -> Iterator[str]:
    yield f"Batch {batch} is paused: its queued tasks wait." if paused else f"Batch {batch} is resumed."
    yield from filter(None, [change.carry_on])


def _first_line(text: str) -> str:
    line, _, rest = text.partition("\n")
    return f"{line} ..." if rest else line


# --- the journal --------------------------------------------------------------------------------------


def event_line(event: EventAnswer) -> str:
    cause = f": {harmless(event.cause)}" if event.cause else ""
    return f"{_moment(event.time)}  {_subject(event)}  {event.before} -> {event.after}{cause}"


def _subject(event: EventAnswer) -> str:
    if event.what not in ("task", "attempt"):
        return f"{event.what} {harmless(event.key)}"
    project = f" of project {harmless(event.project)}" if event.project not in ("", "default") else ""
    task = f"task {harmless(event.id) or event.key}{project}"
    return f"{task}, attempt {event.attempt}" if event.what == "attempt" else task


def story_lines(story: StoryAnswer) -> Iterator[str]:
    """What it is now, then everything that led there."""
    task = story.task
    reason = f": {harmless(reason_of(task))}" if reason_of(task) else ""
    yield f"Task {harmless(task.id)} of project {harmless(task.project)}, batch {task.batch}: {task.state}{reason}"
    for event in story.events:
        subject = f"attempt {event.attempt}" if event.what == "attempt" else "task"
        cause = f": {harmless(event.cause)}" if event.cause else ""
        yield f"{_moment(event.time)}  {subject}  {event.before} -> {event.after}{cause}"
    if not story.events:
        yield "The journal has no events of it: nothing has happened to it, or longer ago than the journal is kept."


def _moment(seconds: float) -> str:
    return f"{format_moment(seconds)}.{int(seconds % 1.0 * 1000):03}"
