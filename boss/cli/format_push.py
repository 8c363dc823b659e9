"""What push_tasks.py prints of a file that it checked, of a push that is accepted, and of one that has ended. Pure."""

from __future__ import annotations

import shlex
from pathlib import Path

from boss.api.schema import BatchAnswer, SubmitAnswer, TaskAnswer
from boss.cli.format_tasks import reason_of
from boss.cli.terminal import duration, format_size, harmless
from boss.common.plural import plural
from boss.intake.reader import CheckedFile, TaskFile
from boss.intake.shape import Shape, shape_of

DETACHED = "The boss works on without a follower. Watch it: admin.py status; the same push follows it again."


# --- a push that is accepted -------------------------------------------------------------------------


def format_sending(done: int, total: int) -> str:
    """How far it is, beside the progress bar."""
    return f"sending files: {format_size(done)} of {format_size(total)}"


def new_and_kept(file: TaskFile, accepted: SubmitAnswer) -> tuple[int, int]:
    """How many of its tasks are new, and how many the boss had already."""
    kept = accepted.done.get("attached", 0)
    kept = kept if isinstance(kept, int) else 0
    return file.tasks - kept, kept


def accepted_lines(file: TaskFile, accepted: SubmitAnswer) -> list[str]:
    """What it does, said before it begins."""
    new, kept = new_and_kept(file, accepted)
    if not kept or not accepted.plan:
        lines = [
            f"Accepted as batch {accepted.batch}: {plural(new, 'task')}"
            + (f" new, {kept:,} known already." if kept else ".")
        ]
        return lines + accepted.plan[1:]
    return [f"Accepted as batch {accepted.batch}: {accepted.plan[0]}.", *accepted.plan[1:]]


def stale_tasks(accepted: SubmitAnswer) -> list[str]:
    """Some of the tasks that are kept although they are not up to date (`keep_succeeded`); none: there are none."""
    plan = accepted.done.get("plan")
    stale = plan.get("stale") if isinstance(plan, dict) else None
    ids = stale.get("ids") if isinstance(stale, dict) else None
    return [str(id) for id in ids] if isinstance(ids, list) else []


# --- a push that has ended ---------------------------------------------------------------------------


def summary(
    file: TaskFile,
    accepted: SubmitAnswer,
    batch: BatchAnswer,
    failed: list[TaskAnswer],
    results: Path | None,
    exit_code: int,
) -> dict[str, object]:
    """What --json prints of a push.

    `failed`: the first tasks that did not succeed. `results`: where they are, if that is on this machine.
    """
    new, kept = new_and_kept(file, accepted)
    return {
        "batch": batch.number,
        "project": batch.project,
        "name": batch.name,
        "new": new,
        "kept": kept,
        "finished": batch.finished,
        "counts": batch.counts,
        "failed": [{"id": task.id, "reason": reason_of(task), "exit_code": task.exit_code} for task in failed],
        "results": str(results or ""),
        "plan": accepted.plan,
        "stale": stale_tasks(accepted),
        "warnings": accepted.warnings,
        "exit_code": exit_code,
    }


def summary_lines(
    file: TaskFile, accepted: SubmitAnswer, batch: BatchAnswer, failed: list[TaskAnswer], results: Path | None
) -> list[str]:
    """Of the same, for a terminal: counts, the first that failed, where results are, what to do next."""
    counts = batch.counts
    if not file.tasks:
        return ["There is nothing to do: the push has no tasks."]
    parts = [f"{counts.succeeded:,} of {plural(file.tasks, 'task')} succeeded"]
    parts += [f"{count:,} {word}" for word, count in _bad_counts(file, batch).items() if count]
    lines = [", ".join(parts) + "."]
    lines += [
        f"  {harmless(task.id)}: {harmless(reason_of(task) or task.state)}{_format_code(task)}" for task in failed
    ]
    left = counts.failed + counts.blocked - len(failed)
    if failed and left:
        lines.append(f"  ... and {left:,} more")
    if results is not None and counts.succeeded:
        lines.append(f"Results: {results}")
    elif counts.succeeded:
        lines.append(f"Results are on the datastore's host; fetch them: admin.py get --batch {batch.number} DIRECTORY")
    if stale := stale_tasks(accepted):
        named = ", ".join(map(harmless, stale[:3])) + (", ..." if len(stale) > 3 else "")
        lines.append(
            f"Not up to date: {named}. Push again without --merge_strategy to run those whose inputs have changed."
        )
    if counts.cancelled and not failed:
        lines.append("Cancelled tasks stay cancelled: admin.py show_cancelled; to run one: admin.py redo_task ID")
    if failed:
        id = shlex.quote(harmless(failed[0].id))
        lines.append(f"See why: admin.py show_task {id}; run them again: admin.py retry_failed")
    return lines


def _bad_counts(file: TaskFile, batch: BatchAnswer) -> dict[str, int]:
    counts = batch.counts
    return {
        "failed": counts.failed,
        "not run (dependencies failed)": counts.blocked,
        "cancelled": counts.cancelled,
        "dropped": file.tasks - batch.total,
    }


def _format_code(task: TaskAnswer) -> str:
    """The exit code, unless the reason has it."""
    code = f"code {task.exit_code}"
    return f" (exit {code})" if task.exit_code and code not in reason_of(task) else ""


# --- a file that was checked -------------------------------------------------------------------------


#: A longer path is shown by its two ends.
_PATH_SHOWN = 10


def checked_lines(checked: CheckedFile) -> list[str]:
    """For a terminal."""
    words = plural(checked.tasks, "task")
    init = f" and {plural(checked.inits, 'init task')}" if checked.inits else ""
    files = f"; a push sends {plural(len(checked.files), 'file')} along" if checked.files else ""
    return [f"{harmless(checked.path)} is valid: {words}{init}{files}.", *_shape_lines(checked)]


def checked_json(checked: CheckedFile) -> dict[str, object]:
    """For programs."""
    shape = shape_of(checked.graph)
    return {
        "valid": True,
        "tasks": checked.tasks,
        "inits": checked.inits,
        "warnings": checked.warnings,
        "levels": shape.levels,
        "widest_level": shape.widest,
        "critical_path": [checked.graph.ids[index] for index in shape.critical_path],
        "critical_path_seconds": shape.seconds,
    }


def _shape_lines(checked: CheckedFile) -> list[str]:
    shape = shape_of(checked.graph)
    if shape.levels < 2:
        return []  # nothing depends on anything
    levels = f"{plural(shape.levels, 'level')}, {plural(shape.widest, 'task')} on the widest"
    takes = f", {duration(shape.seconds)} as expected" if shape.seconds else ""
    path = f"critical path of {plural(len(shape.critical_path), 'task')}{takes}"
    return [f"Its graph has {levels}; {path}: {_path_text(checked.graph.ids, shape)}"]


def _path_text(ids: list[str], shape: Shape) -> str:
    words = [harmless(ids[index]) for index in shape.critical_path]
    if len(words) > _PATH_SHOWN:
        half = _PATH_SHOWN // 2
        words = [*words[:half], "...", *words[-half:]]
    return " -> ".join(words)
