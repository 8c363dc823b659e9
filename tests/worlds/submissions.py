"""What the boss would receive of a task file, and parts of it."""

from __future__ import annotations

from array import array

import msgspec

from boss.core.model import Submission
from boss.intake.collector import Collector
from boss.intake.reader import TaskFile, encode_stream
from wire.messages import Input


def submit(task_file: TaskFile) -> Submission:
    collector = Collector()
    for chunk in encode_stream(task_file):
        collector.feed(chunk)
    return collector.finish()


def inputs(submission: Submission, id: str) -> list[Input]:
    encoded = submission.requirements[submission.ids.index(id)]
    return msgspec.json.decode(encoded, type=list[Input]) if encoded else []


def dependencies(submission: Submission, id: str) -> set[str]:
    starts, targets = array("I", submission.dependency_starts), array("I", submission.dependency_targets)
    index = submission.ids.index(id)
    row = targets[starts[index] : starts[index + 1]]
    assert len(set(row)) == len(row)
    return {submission.ids[target] for target in row}
