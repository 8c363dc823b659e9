"""Which batches are versions of one another, so that a push is the next version of those before it.

The same batch: the same project, the same name and the same submitter; where the name is only the file's, also the
same file, so that the `tasks.json` of two users are never versions of each other. What is not known (rows of older
programs, pushes that state no submitter) tells nothing apart. Values only; `boss.database` finds the rows.
"""

from __future__ import annotations

import shlex

from boss.core.model import Submission
from boss.core.rows import BatchRow


def is_version_of(submission: Submission, row: BatchRow) -> bool:
    """The push is another version of this batch."""
    if (submission.project, submission.name) != (row.project, row.name):
        return False
    if _differ(submission.submitter, row.submitter):
        return False
    return submission.named or not _differ(submission.source, row.source)


def _differ(one: str, other: str) -> bool:
    return bool(one and other) and one != other


def described(name: str, submitter: str) -> str:
    """A batch in a sentence."""
    return f"batch {name!r}" + (f" of {submitter}" if submitter else "")


def way_out(submission: Submission, row: BatchRow) -> str:
    """Why the push is no version of this batch, and what its user may type."""
    name = shlex.quote(row.name)
    if submission.name != row.name:
        mean = f"--name {name} if this is its next version"
        why = "another name"
    elif _differ(submission.submitter, row.submitter):
        mean = "--merge_strategy replace if you mean to change theirs"
        why = "another submitter"
    else:
        mean = f"--name {name} if this is its next version (a file that was moved)"
        why = "another file of that name"
    return f"{why}: {mean}, --project NAME for tasks of your own, or give them other ids"
