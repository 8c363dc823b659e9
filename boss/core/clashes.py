"""What a push is refused for where it meets what its project has: ids, dependencies, names of results.

Reads only. All faults are told at once, each naming the task; a merge strategy makes clashes of ids none.
"""

from __future__ import annotations

from boss.core.merge import Merge
from boss.core.model import Submission, TaskState
from boss.core.rows import Known
from wire.patterns import folders_above, is_pattern

#: Clashes told one by one.
SHOWN = 50


def clashes(submission: Submission, known: Known, merge: Merge) -> list[str]:
    faults = _clashing_ids(submission, known, merge) if known.tasks and not submission.merge_strategy else []
    faults += _unknown_dependencies(submission, known)
    if not submission.allow_shared_results and known.results:
        faults += _shared_results(submission, known, merge)
    return _capped(faults)


def _clashing_ids(submission: Submission, known: Known, merge: Merge) -> list[str]:
    faults = []
    replaced = set(merge.replaced)  # dropped ones
    for index, task_id in enumerate(submission.ids):
        old = known.tasks.get(task_id)
        if old is not None and old[2] != submission.contents[index] and index not in replaced:
            faults.append(
                f"task {task_id!r}: project {submission.project!r} has a task of this id with another content"
                f" (batch {old[3]}, {TaskState(old[1]).word}); give it another id, push into another --project,"
                " or say --merge_strategy replace (or keep_succeeded)"
            )
    return faults


def _unknown_dependencies(submission: Submission, known: Known) -> list[str]:
    return [
        f"task {submission.ids[index]!r}: dependency {needed!r} is neither in this file"
        f" nor in project {submission.project!r}"
        for index, needed in submission.external
        if needed not in known.tasks
    ]


def _shared_results(submission: Submission, known: Known, merge: Merge) -> list[str]:
    """What a replaced task declared counts no more: this push says what it declares now."""
    faults = []
    replaced = {submission.ids[index] for index in merge.replaced}
    kept_otherwise = set(merge.kept_otherwise)
    for name, index in submission.results:
        if index in kept_otherwise:
            continue
        # Two tasks may have one pattern.
        for place in folders_above(name) if is_pattern(name) else (name, *folders_above(name)):
            owner = known.results.get(place)
            if owner is not None and owner[2] != submission.ids[index] and owner[2] not in replaced:
                words = "is also" if place == name else f"lies in {place!r},"
                faults.append(
                    f"task {submission.ids[index]!r}: result {name!r} {words} a result of task {owner[2]!r}"
                    f" of project {submission.project!r}; --allow_shared_results makes this a warning"
                )
                break
    return faults


def _capped(faults: list[str]) -> list[str]:
    if len(faults) > SHOWN:
        return [*faults[:SHOWN], f"... and {len(faults) - SHOWN} more"]
    return faults
