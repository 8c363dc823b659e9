"""What a push is refused for where it meets what its project has: ids, dependencies, names of results.

Reads only. All rejections are given at once, each naming the task; a merge strategy makes clashes of ids none.
"""

from __future__ import annotations

from boss.core.merge import Merge
from boss.core.model import Submission, TaskState
from boss.core.reasons import Rejection, RejectionKind
from boss.core.rows import Known
from wire.patterns import folders_above, is_pattern

#: Clashes given one by one.
SHOWN = 50


def clashes(submission: Submission, known: Known, merge: Merge) -> list[Rejection]:
    found = _clashing_ids(submission, known, merge) if known.tasks and not submission.merge_strategy else []
    found += _unknown_dependencies(submission, known)
    if not submission.allow_shared_results and known.results:
        found += _shared_results(submission, known, merge)
    return _capped(found)


def _clashing_ids(submission: Submission, known: Known, merge: Merge) -> list[Rejection]:
    found = []
    replaced = set(merge.replaced)  # dropped ones
    for index, task_id in enumerate(submission.ids):
        old = known.tasks.get(task_id)
        if old is not None and old[2] != submission.contents[index] and index not in replaced:
            text = (
                f"task {task_id!r}: project {submission.project!r} has a task of this id with another content"
                f" (batch {old[3]}, {TaskState(old[1]).word}); give it another id, push into another --project,"
                " or use --merge_strategy replace (or keep_succeeded)"
            )
            found.append(Rejection(RejectionKind.ID_CLASH, text))
    return found


def _unknown_dependencies(submission: Submission, known: Known) -> list[Rejection]:
    return [
        Rejection(
            RejectionKind.UNKNOWN_DEPENDENCY,
            f"task {submission.ids[index]!r}: dependency {needed!r} is neither in this file"
            f" nor in project {submission.project!r}",
        )
        for index, needed in submission.external
        if needed not in known.tasks
    ]


def _shared_results(submission: Submission, known: Known, merge: Merge) -> list[Rejection]:
    """What a replaced task declared counts no more: what this push declares counts."""
    found = []
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
                text = (
                    f"task {submission.ids[index]!r}: result {name!r} {words} a result of task {owner[2]!r}"
                    f" of project {submission.project!r}; --allow_shared_results makes this a warning"
                )
                found.append(Rejection(RejectionKind.RESULT_CLASH, text))
                break
    return found


def _capped(found: list[Rejection]) -> list[Rejection]:
    if len(found) > SHOWN:
        return [*found[:SHOWN], Rejection(found[SHOWN].kind, f"... and {len(found) - SHOWN} more")]
    return found
