"""Whether what tasks of a push have left is still on the datastore, looked at before the push is decided.

Only names and sizes are looked at: reading all results again would cost more than many a study. Where the tree is on
another host it is not looked at here.
"""

from __future__ import annotations

from boss.api.local_tree import LocalTree
from boss.core.model import Submission
from boss.database import DatabaseLookups


def without_results(lookups: DatabaseLookups, tree: LocalTree | None, submission: Submission) -> list[str]:
    """Ids of tasks of the push that have succeeded and of whose results at least one is not there as it was left."""
    if tree is None or not submission.results:
        return []
    gone: dict[str, None] = {}
    for id, name, digest, size in lookups.published(submission):
        if id not in gone and not (tree.has_size(name, size) if digest else tree.has(name)):
            gone[id] = None
    return list(gone)
