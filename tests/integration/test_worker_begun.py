"""What had begun when an agent was killed is reported by its journal to the next one, once."""

from __future__ import annotations

from pathlib import Path

from wire.messages import Outcome
from worker.journal import Journal


def test_what_began_and_was_not_seen_to_end_is_reported_once_to_the_next_agent(tmp_path: Path) -> None:
    first = Journal(tmp_path / "journal.jsonl")
    for task in (1, 2, 3):
        first.begin(task, 1)
    first.keep(Outcome(task=2, attempt=1, ended="succeeded"))
    first.forget(3, 1)
    first.flush()
    second = Journal(tmp_path / "journal.jsonl")
    assert second.forget_begun() == [(1, 1)]
    assert list(second.kept) == [(2, 1)]
    assert Journal(tmp_path / "journal.jsonl").forget_begun() == []
