"""Which sent files tasks share: noted in profiles, for preference only."""

from __future__ import annotations

from array import array

import msgspec

from boss.core.model import SentFile, Submission
from boss.intake import finish
from boss.intake.collector import Collector


def pushed(needs: list[str], files: dict[str, int], results: dict[int, str] | None = None) -> Submission:
    """One task for each word list of requirements; `files`: name -> size of what is sent along."""
    sent = [SentFile(name=name, digest=f"b2:{at:064x}", size=size) for at, (name, size) in enumerate(files.items())]
    head = {"version": 1, "files": sent}
    lines = [msgspec.json.encode(head)]
    for at, names in enumerate(needs):
        made = [{"source": "out", "target": target} for place, target in (results or {}).items() if place == at]
        task = {
            "id": f"t{at}",
            "requirements": [(name, name) for name in names.split()],
            "execution": {"commands": ["true"], "results": made},
        }
        lines.append(msgspec.json.encode(task))
    collector = Collector()
    collector.feed(b"\n".join(lines) + b"\n")
    return collector.finish()


def sizes(submission: Submission) -> list[list[int]]:
    """Of each task, the sizes of what it shares."""
    numbers = array("I")
    numbers.frombytes(submission.profile_of)
    return [[size for _, size in submission.profiles[number].inputs] for number in numbers]


def test_files_that_several_tasks_need_are_noted_the_largest_first() -> None:
    made = pushed(["net own0 small", "net small", "other", ""], {"small": 1, "net": 50, "own0": 9, "other": 7})
    assert sizes(made) == [[50, 1], [50, 1], [], []]
    assert len(made.profiles) == 2 + 1  # with the set, with an own file only, without files


def test_a_push_that_shares_nothing_has_the_profiles_that_it_had() -> None:
    made = pushed(["a", "b", ""], {"a": 1, "b": 2})
    assert sizes(made) == [[], [], []]


def test_a_result_of_the_push_is_no_shared_file() -> None:
    made = pushed(["", "net", "net"], {"net": 5}, {0: "net"})
    assert sizes(made) == [[], [], []]


def test_what_a_task_is_does_not_depend_on_what_others_need() -> None:
    alone, shared_by_two = pushed(["net"], {"net": 5}), pushed(["net", "net"], {"net": 5})
    assert alone.contents[0] == shared_by_two.contents[0]


def test_one_file_named_twice_by_one_task_counts_once() -> None:
    assert sizes(pushed(["net net2", "net"], {"net": 5, "net2": 5})) == [[5], [5]]


def test_sets_are_bounded(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(finish, "MAX_SETS", 3)
    made = pushed([f"f{n}" for n in range(8) for _ in range(2)], {f"f{n}": 10 - n for n in range(8)})
    assert [one for one in sizes(made) if one] == [[10], [10], [9], [9]]


def test_a_folder_of_files_that_all_tasks_need_costs_a_bounded_number_of_looks() -> None:
    files = {f"f{n}": 100 - n for n in range(50)}
    made = pushed([" ".join(files)] * 20, files)
    assert sizes(made) == [[100, 99, 98, 97]] * 20
