"""Ids out of contents: stable from push to push, and a parent's change is its descendants' change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from boss.intake import stream
from boss.intake.errors import InputRejectedError
from boss.intake.reader import PushOptions, TaskFile, read_file

CREATE = PushOptions(create_ids=True)


def read(folder: Path, tasks: object, options: PushOptions = CREATE) -> TaskFile:
    path = folder / "tasks.json"
    path.write_text(json.dumps(tasks))
    return read_file(path, options)


def lines(task_file: TaskFile) -> list[stream.StreamTask]:
    return stream.decode_lines(b"".join(task_file.chunks))


def ids(folder: Path, tasks: object) -> list[str]:
    return [line.id for line in lines(read(folder, tasks))]


def test_tasks_without_ids_get_the_same_unique_ids_at_each_push(tmp_path: Path) -> None:
    tasks = [{"commands": f"echo {number}"} for number in range(50)]
    first = ids(tmp_path, tasks)
    assert len(set(first)) == 50
    assert all(len(id) == 16 and int(id, 16) >= 0 for id in first)
    assert ids(tmp_path, tasks[::-1]) == first[::-1]


def test_without_the_option_a_task_needs_an_id(tmp_path: Path) -> None:
    with pytest.raises(InputRejectedError, match="id"):
        read(tmp_path, [{"commands": "true"}], PushOptions())


def test_the_same_task_twice_in_one_file_is_numbered(tmp_path: Path) -> None:
    first, second, third = ids(tmp_path, [{"commands": "roll dice"}] * 3)
    assert (second, third) == (f"{first}-2", f"{first}-3")


def test_what_a_task_is_called_in_the_file_is_no_part_of_it(tmp_path: Path) -> None:
    one = [{"id": "a", "commands": "x"}, {"id": "b", "commands": "y", "dependencies": ["a"]}]
    other = [{"id": "p", "commands": "x"}, {"id": "q", "commands": "y", "dependencies": ["p"]}]
    assert ids(tmp_path, one) == ids(tmp_path, other)
    first, second = lines(read(tmp_path, one))
    assert second.dependencies == [first.id]


def test_changing_one_parent_changes_its_descendants_only(tmp_path: Path) -> None:
    def graph(command: str) -> list[dict[str, object]]:
        return [
            {"id": "left", "commands": command},
            {"id": "right", "commands": "right"},
            {"id": "below", "commands": "below", "dependencies": ["left"]},
            {"id": "end", "commands": "end", "dependencies": ["below", "right"]},
            {"id": "apart", "commands": "apart", "dependencies": ["right"]},
        ]

    before, after = ids(tmp_path, graph("one")), ids(tmp_path, graph("two"))
    assert [a == b for a, b in zip(before, after, strict=True)] == [False, True, False, False, True]


def test_a_parent_may_be_known_by_what_it_leaves(tmp_path: Path) -> None:
    def chain(command: str) -> list[dict[str, object]]:
        return [
            {"commands": command, "results": ["table"]},
            {"commands": "use table", "requirements": ["table"]},
        ]

    before, after = ids(tmp_path, chain("one")), ids(tmp_path, chain("two"))
    assert before[0] != after[0] and before[1] != after[1]


def test_another_content_of_a_sent_file_is_another_task(tmp_path: Path) -> None:
    tasks = [{"commands": "use net.inp", "requirements": ["net.inp"]}, {"commands": "else"}]
    (tmp_path / "net.inp").write_text("one")
    before = ids(tmp_path, tasks)
    (tmp_path / "net.inp").write_text("two")
    after = ids(tmp_path, tasks)
    assert before[0] != after[0] and before[1] == after[1]


def test_dependencies_on_earlier_pushes_stay_as_they_are(tmp_path: Path) -> None:
    (line,) = lines(read(tmp_path, [{"commands": "x", "dependencies": ["of yesterday"]}]))
    assert line.dependencies == ["of yesterday"]


def test_a_run_without_an_id_has_its_results_in_the_folder_of_its_created_id(tmp_path: Path) -> None:
    run = {"epanet": {"inp": "net.inp", "scenarios": [{"id": 1}]}}
    (tmp_path / "net.inp").write_text("[JUNCTIONS]")
    alone = ids(tmp_path, [run])
    _other, line = lines(read(tmp_path, [{"commands": "x"}, run]))
    assert [line.id] == alone
    targets = [item.target for item in stream.decode_execution(line.execution).results]
    assert targets and all(target.startswith(f"{line.id}/") for target in targets)


@pytest.mark.parametrize(
    ("tasks", "words"),
    [
        (
            [{"id": "a", "commands": "x", "dependencies": ["b"]}, {"id": "b", "commands": "y", "dependencies": ["a"]}],
            "->",
        ),
        ([{"id": "a", "commands": "x"}, {"id": "a", "commands": "y"}], "twice"),
    ],
)
def test_cycles_and_double_ids_are_reported_in_the_words_of_the_file(tmp_path: Path, tasks: object, words: str) -> None:
    with pytest.raises(InputRejectedError, match=words) as caught:
        read(tmp_path, tasks)
    assert '"a"' in str(caught.value)


def test_init_tasks_get_ids_as_well(tmp_path: Path) -> None:
    task_file = read(tmp_path, [{"init": True, "commands": "prepare"}, {"commands": "work"}])
    assert (task_file.inits, task_file.tasks) == (1, 1)


def test_a_retry_that_is_written_out_as_the_default_is_the_same_task(tmp_path: Path) -> None:
    plain, written = {"commands": "true"}, {"commands": "true", "retries": 0, "retry_delay": 1}
    assert ids(tmp_path, [plain]) == ids(tmp_path, [written]) != ids(tmp_path, [{**plain, "retries": 1}])
