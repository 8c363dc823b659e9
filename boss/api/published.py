"""Whether what tasks of a push have left is still on the datastore, looked at before the push is decided.

Only names and sizes are looked at: reading all results again would cost more than many a study. Where the tree is on
another host the datastore is asked, in parts; where that does not answer it is said that nothing was looked at.
"""

from __future__ import annotations

from boss.api.backend import Backend
from boss.api.local_tree import LocalTree
from boss.core.events import ResultsAsked
from boss.core.model import Submission

#: Names in one question to a datastore elsewhere.
NAMES_AT_ONCE = 2_000
UNSEEN = (
    "the datastore does not answer, so it was not looked at whether the results of tasks that have succeeded are still "
    "there; push again when it does"
)

#: (id, name inside the tree, digest, size) as `DatabaseLookups.published` has it.
_Left = tuple[str, str, str, int]


def without_results(backend: Backend, tree: LocalTree | None, submission: Submission) -> list[str] | None:
    """Ids of tasks of the push that have succeeded and of whose results at least one is not there as it was left.

    None: that cannot be known at present. Blocks on the database, and on the tree or the datastore. Raises
    BackendUnavailableError: no boss answers; DatabaseError; OSError: the tree cannot be looked at.
    """
    left = backend.lookups.published(submission) if submission.results else []
    if tree is not None:
        gone = [id for id, name, digest, size in left if not (tree.has_size(name, size) if digest else tree.has(name))]
        return list(dict.fromkeys(gone))
    left = [one for one in left if one[2]]  # without a content on record it may be a folder: that is not asked for
    gone = []
    for start in range(0, len(left), NAMES_AT_ONCE):
        part = left[start : start + NAMES_AT_ONCE]
        found = _sizes(backend, submission, part)
        if found is None:
            return None
        gone += [id for id, name, _, size in part if found.get(name) != size]
    return list(dict.fromkeys(gone))


def _sizes(backend: Backend, submission: Submission, part: list[_Left]) -> dict[str, int] | None:
    label = backend.lookups.task_numbers(submission.project, [part[0][0]]).get(part[0][0], 0)
    answer = backend.ask(ResultsAsked(task=label, names=[name for _, name, _, _ in part]))
    found = answer.value.get("found")
    return found if isinstance(found, dict) and not answer.rejections else None
