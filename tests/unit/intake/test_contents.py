"""What makes a task the same when it is pushed again, and the form that rows of older programs have it in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from boss.core.model import Submission
from boss.intake.reader import PushOptions, read_file
from tests.worlds.submissions import submit

TASKS: list[dict[str, object]] = [
    {"id": "plain", "commands": ["echo"]},
    {
        "id": "full",
        "commands": ["wc a.csv"],
        "requirements": ["a.csv", "plain.out"],
        "results": ["full.out"],
        "dependencies": ["plain"],
        "timeout": 60,
        "priority": 3,
        "retries": 0,
        "env": {"A": "b"},
        "resources": {"slots": 2},
    },
    {"id": "one", "epanet": {"inp": "net.inp", "scenarios": "rows.csv", "rows": [0, 2]}},
    {"id": "two", "epanet": {"inp": "net.inp", "scenarios": "rows.csv", "rows": [2, 4]}, "results": []},
    {"id": "whole", "epanet": {"inp": "net.inp", "scenarios": "rows.csv"}},
    {"id": "alone", "epanet": {"inp": "net.inp"}},
]
ROWS = "node:J1:demand\n1\n2\n3\n4\n"

#: As the programs wrote them that knew databases up to 0010: never to be changed.
RECORDED = {
    "plain": "9626d9d6275eb351af1cccaadbac9f30",
    "full": "4167e668f79354fa540277e6eab19dcc",
    "one": "8bd6eb0cac2fe6764048dc1f5fbed34b",
    "two": "2dc9555109b69a5be04e63762ac8c81c",
    "alone": "ebe769bad005afbbd2820e0bbc83ce2c",
}
#: With --skip_existing.
RECORDED_SKIPPING = {**RECORDED, "full": "103cb1a23cd68e16163d74771e1a1123"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "net.inp").write_bytes(b"[TITLE]\r\nx\r\n")
    (tmp_path / "rows.csv").write_text(ROWS)
    (tmp_path / "t.json").write_text(json.dumps(TASKS))
    return tmp_path


def read(folder: Path, **options: object) -> Submission:
    return submit(read_file(folder / "t.json", PushOptions(**options)))  # type: ignore[arg-type]


def contents(folder: Path, **options: object) -> dict[str, bytes]:
    made = read(folder, **options)
    return dict(zip(made.ids, made.contents, strict=True))


def changed(before: dict[str, bytes], after: dict[str, bytes]) -> set[str]:
    assert before.keys() == after.keys()
    return {id for id, content in before.items() if after[id] != content}


@pytest.mark.parametrize(("skipping", "recorded"), [(False, RECORDED), (True, RECORDED_SKIPPING)])
def test_what_older_programs_recorded_is_still_the_same_task(
    folder: Path, skipping: bool, recorded: dict[str, str]
) -> None:
    made = read(folder, skip_existing=skipping)
    for index, id in enumerate(made.ids):
        if id in recorded:
            known = {made.contents[index], *made.former_contents.get(index, ())}
            assert bytes.fromhex(recorded[id]) in known, id


def test_a_longer_table_changes_only_the_tasks_whose_rows_have_changed(folder: Path) -> None:
    before = contents(folder)
    (folder / "rows.csv").write_text(ROWS + "5\n6\n")
    assert changed(before, contents(folder)) == {"whole"}
    (folder / "rows.csv").write_text(ROWS.replace("3", "3.5"))
    assert changed(before, contents(folder)) == {"two", "whole"}
    (folder / "rows.csv").write_text(ROWS.replace("demand", "basedemand"))
    assert changed(before, contents(folder)) == {"one", "two", "whole"}


def test_how_lines_end_changes_neither_network_nor_table(folder: Path) -> None:
    before = contents(folder)
    (folder / "net.inp").write_bytes(b"[TITLE]\nx\n")
    (folder / "rows.csv").write_bytes(b"\xef\xbb\xbf" + ROWS.replace("\n", "\r\n").encode())
    assert changed(before, contents(folder)) == set()
    (folder / "net.inp").write_bytes(b"[TITLE]\ny\n")
    assert changed(before, contents(folder)) == {"one", "two", "whole", "alone"}


def test_a_file_of_other_tasks_counts_whole(folder: Path) -> None:
    before = contents(folder)
    (folder / "a.csv").write_text("x,y\r\n1,2\r\n")
    assert changed(before, contents(folder)) == {"full"}


@pytest.mark.parametrize(
    "options",
    [
        {"skip_existing": True},
        {"allow_shared_results": True},
        {"merge_strategy": "replace"},
        {"project": "leaks"},
        {"name": "another"},
        {"submitter": "ana"},
        {"prune": True, "confirmed": True, "dry_run": True},
    ],
)
def test_options_of_a_push_are_no_content(folder: Path, options: dict[str, object]) -> None:
    assert changed(contents(folder), contents(folder, **options)) == set()


def test_skip_existing_holds_for_every_task_with_results(folder: Path) -> None:
    made = read(folder, skip_existing=True)
    profile_of = memoryview(made.profile_of).cast("I")
    skipping = {id for at, id in enumerate(made.ids) if not made.profiles[profile_of[at]].overwrite_result}
    assert skipping == {"full", "one", "whole", "alone"}


def test_a_table_that_cannot_be_read_in_rows_counts_whole(folder: Path) -> None:
    (folder / "rows.csv").write_bytes(b"\xff\xfe1\n2\n3\n4\n")
    before = contents(folder)
    (folder / "rows.csv").write_bytes(b"\xff\xfe1\n2\n3\n4\n5\n")
    assert changed(before, contents(folder)) == {"one", "two", "whole"}


def test_a_file_that_came_to_exist_makes_it_another_version_of_the_task(folder: Path) -> None:
    (folder / "a.csv").unlink()
    before = contents(folder)
    (folder / "a.csv").write_text("x")
    assert changed(before, contents(folder)) == {"full"}


def test_a_batch_is_known_by_its_user_and_by_its_file_where_that_gives_the_name(folder: Path) -> None:
    made = read(folder, submitter="ana")
    assert (made.submitter, made.name, made.named) == ("ana", "t", False)
    (folder / "sub").mkdir()
    (folder / "sub" / "t.json").write_text('[{"id": "a", "commands": []}]')
    other = submit(read_file(folder / "sub" / "t.json"))
    assert other.source and made.source and other.source != made.source
    (folder / "t.json").write_text(json.dumps({"name": "study", "tasks": [{"id": "a", "commands": []}]}))
    named = read(folder)
    assert (named.name, named.named, named.source) == ("study", True, made.source)
    assert read(folder, name="mine").named
