"""What kind of command a task is, as its profile says: few kinds whatever a push holds, and no part of its content."""

from __future__ import annotations

import json
from array import array

from boss.core.model import Submission
from boss.intake.collector import Collector

HEAD = b'{"version":1}\n'


def collect(*commands: str) -> Submission:
    collector = Collector()
    collector.feed(HEAD)
    for number, command in enumerate(commands):
        task = {"id": f"t{number}", "execution": {"commands": [command]}}
        collector.feed(json.dumps(task).encode() + b"\n")
    return collector.finish()


def kinds(submission: Submission) -> list[int]:
    return [submission.profiles[number].template for number in array("I", submission.profile_of)]


def test_tasks_of_one_form_share_a_profile_and_others_do_not() -> None:
    found = collect("run 1", "run 2", "evaluate 1")
    assert len(found.profiles) == 2
    first, second, third = kinds(found)
    assert first == second != third


def test_a_push_of_endless_forms_has_few_profiles() -> None:
    found = collect(*("run " + "x" * number for number in range(400)))
    assert len(found.profiles) == 257
    assert kinds(found)[-1] == 0


def test_the_kind_is_no_part_of_what_makes_a_task_the_same() -> None:
    forms = [f"run {'x' * number}" for number in range(300)]
    late, early = collect(*forms), collect(forms[-1])
    assert kinds(late)[-1] != kinds(early)[0]
    assert late.contents[-1] == early.contents[0]
