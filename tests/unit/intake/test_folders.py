"""Folders and patterns in task files: what becomes a dependency, what is sent along, what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from boss.intake import columns, producers
from boss.intake.errors import InputRejectedError
from boss.intake.reader import PushOptions, TaskFile, read_file
from boss.intake.stream import SentFolder
from tests.worlds.submissions import dependencies, inputs, submit
from wire.messages import Input

OPTIONS = PushOptions()


def task(id: str, requirements: object = (), results: object = (), **more: object) -> dict[str, object]:
    return {"id": id, "commands": [], "requirements": list(requirements), "results": list(results), **more}  # type: ignore[call-overload]


def read(folder: Path, *tasks: dict[str, object], options: PushOptions = OPTIONS) -> TaskFile:
    (folder / "tasks.json").write_text(json.dumps(tasks))
    return read_file(folder / "tasks.json", options)


def rejection(folder: Path, *tasks: dict[str, object]) -> str:
    with pytest.raises(InputRejectedError) as caught:
        read(folder, *tasks)
    return str(caught.value)


def fill(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)


def needs(folder: Path, *tasks: dict[str, object], of: str = "z") -> set[str]:
    return dependencies(submit(read(folder, *tasks)), of)


# --- dependencies -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mesh", "mesh/part", "mesh/a/b"])
def test_what_is_or_is_in_a_declared_result_makes_a_dependency(tmp_path: Path, name: str) -> None:
    assert needs(tmp_path, task("z", [name]), task("m", (), ["mesh"]), task("n", (), ["mesh2"])) == {"m"}


def test_a_folder_in_which_results_lie_depends_on_all_their_tasks(tmp_path: Path) -> None:
    makers = [task("a", (), ["runs/1.csv"]), task("b", (), ["runs/deep/2.csv"]), task("c", (), ["runs/[0-9]/*"])]
    assert needs(tmp_path, *makers, task("d", (), ["runs2/x"]), task("z", ["runs"])) == {"a", "b", "c"}


@pytest.mark.parametrize("name", ["out/a.csv", "out/sub/b.csv", "out/1"])
def test_what_a_pattern_could_match_makes_a_dependency(tmp_path: Path, name: str) -> None:
    makers = [task("a", (), ["out/*.csv"]), task("b", (), ["out/**/*.csv"]), task("c", (), ["out/[0-9]"])]
    wanted = {"out/a.csv": {"a", "b"}, "out/sub/b.csv": {"b"}, "out/1": {"c"}}
    assert needs(tmp_path, *makers, task("z", [name])) == wanted[name]


def test_a_file_of_a_folder_that_a_pattern_takes_whole_makes_a_dependency(tmp_path: Path) -> None:
    assert needs(tmp_path, task("a", (), ["runs/*"]), task("z", ["runs/1/deep/file"])) == {"a"}


def test_a_pattern_is_asked_last_a_file_beside_the_task_file_comes_before(tmp_path: Path) -> None:
    fill(tmp_path, "in.csv")
    read_in = read(tmp_path, task("a", (), ["*.csv"]), task("z", ["in.csv"]))
    assert [file.sent.name for file in read_in.files] == ["in.csv"]
    assert dependencies(submit(read_in), "z") == set()
    assert needs(tmp_path, task("a", (), ["*.csv"]), task("b", (), ["x.csv"]), task("z", ["x.csv"])) == {"b"}


def test_a_task_does_not_wait_for_its_own_patterns_and_folders(tmp_path: Path) -> None:
    assert needs(tmp_path, task("z", ["data/in", "old.csv"], ["data/out", "*.csv"])) == set()


def test_a_local_copy_of_a_results_folder_is_not_sent(tmp_path: Path) -> None:
    fill(tmp_path, "mesh/part", "runs/1.csv")
    makers = [task("m", (), ["mesh"]), task("r", (), ["runs/1.csv"])]
    read_in = read(tmp_path, *makers, task("z", ["mesh/part", "runs"]))
    assert read_in.files == [] and read_in.header.folders == []
    assert dependencies(submit(read_in), "z") == {"m", "r"}


def test_more_names_and_patterns_than_can_be_compared_are_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producers, "MAX_TESTS", 50)
    makers = [task(f"m{n}", (), [f"out/*-{n}"]) for n in range(10)]
    takers = [task(f"t{n}", [f"out/x-{n}"]) for n in range(10)]
    assert "more requirements and patterns of results than can be compared" in rejection(tmp_path, *makers, *takers)
    apart = [task(f"m{n}", (), [f"out/{n}-*"]) for n in range(10)]
    takers = [task(f"t{n}", [f"out/{n}-x"]) for n in range(10)]
    assert needs(tmp_path, *apart, *takers, of="t7") == {"m7"}


def test_created_ids_follow_patterns_and_folders(tmp_path: Path) -> None:
    def ids(command: str) -> list[str]:
        maker = task("a", (), ["out/*.csv", "mesh"]) | {"commands": [command]}
        takers = [task("y", ["out/1.csv"]), task("z", ["mesh/part"])]
        return submit(read(tmp_path, maker, *takers, options=PushOptions(create_ids=True))).ids

    assert len(set(ids("x")) | set(ids("y"))) == 6


# --- clashes ----------------------------------------------------------------------------------------


def test_a_result_in_another_tasks_folder_is_a_fault_and_by_a_pattern_a_warning(tmp_path: Path) -> None:
    assert "`mesh/a` lies in `mesh`" in rejection(tmp_path, task("a", (), ["mesh"]), task("b", (), ["mesh/a"]))
    assert "`mesh/*` lies in `mesh`" in rejection(tmp_path, task("a", (), ["mesh"]), task("b", (), ["mesh/*"]))
    (warning,) = read(tmp_path, task("a", (), ["out/*.csv"]), task("b", (), ["out/b.csv"])).warnings
    assert 'task "b"' in warning and '"a" could leave by a pattern' in warning


def test_two_tasks_may_have_one_pattern(tmp_path: Path) -> None:
    (warning,) = read(tmp_path, task("a", (), ["out/*.csv"]), task("b", (), ["out/*.csv"])).warnings
    assert "is also a result of task" in warning
    assert needs(tmp_path, *(task(i, (), ["out/*.csv"]) for i in "ab"), task("z", ["out/1.csv"])) == {"a", "b"}


# --- local folders ----------------------------------------------------------------------------------


def test_a_folder_beside_the_task_file_is_sent_as_its_files(tmp_path: Path) -> None:
    fill(tmp_path, "data/b", "data/a.x", "data/sub/c", "data/.hidden", "data/.ecloud/boss.json", "other/x")
    (tmp_path / "data/none/inner").mkdir(parents=True)
    (tmp_path / "data/a.x").chmod(0o755)
    read_in = read(tmp_path, task("z", [["data", "in"]]))
    assert [file.sent.name for file in read_in.files] == ["data/.hidden", "data/a.x", "data/b", "data/sub/c"]
    assert read_in.header.folders == [
        SentFolder(name="data", files=[".hidden", "a.x", "b", "sub/c"], empty=["none/inner"])
    ]
    submission = submit(read_in)
    found = inputs(submission, "z")
    assert [(each.name, each.path) for each in found if each.digest] == [
        ("data/.hidden", "in/.hidden"),
        ("data/a.x", "in/a.x"),
        ("data/b", "in/b"),
        ("data/sub/c", "in/sub/c"),
    ]
    assert found[-1] == Input(name="data/none/inner", path="in/none/inner", folder=True)
    assert [each.executable for each in found] == [False, True, False, False, False]
    assert submission.external_names == [] and read_in.warnings == []


def test_an_empty_folder_is_a_requirement_too(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    submission = submit(read(tmp_path, task("z", ["data"])))
    assert inputs(submission, "z") == [Input(name="data", path="data", folder=True)]
    assert submission.external_names == []


def test_a_task_is_another_one_when_a_file_of_its_folder_has_changed(tmp_path: Path) -> None:
    fill(tmp_path, "data/b", "data/a")

    def content() -> bytes:
        return submit(read(tmp_path, task("z", ["data"]))).contents[0]

    first = content()
    assert content() == first
    (tmp_path / "data/a").write_text("changed")
    second = content()
    (tmp_path / "data/new").mkdir()
    assert len({first, second, content()}) == 3


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("/etc/passwd", "leads out of its folder"),
        ("..", "leads out of its folder"),
        ("../beside", "leads out of its folder"),
        ("sub", "symbolic link to a folder"),
        ("gone", "symbolic link to nothing"),
    ],
)
def test_a_link_in_a_folder_is_not_followed_out_of_it(tmp_path: Path, target: str, words: str) -> None:
    fill(tmp_path, "data/sub/a", "beside")
    (tmp_path / "data/link").symlink_to(target)
    assert words in rejection(tmp_path, task("z", ["data"]))


def test_a_link_within_a_folder_is_sent_as_what_it_leads_to(tmp_path: Path) -> None:
    fill(tmp_path, "data/sub/a")
    (tmp_path / "data/link").symlink_to("sub/a")
    digests = {file.sent.name: file.sent.digest for file in read(tmp_path, task("z", ["data"])).files}
    assert digests["data/link"] == digests["data/sub/a"]


def test_a_pipe_and_a_name_that_is_no_text_in_a_folder_are_reported(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    os.mkfifo(tmp_path / "data/pipe")
    assert "is no ordinary file" in rejection(tmp_path, task("z", ["data"]))
    (tmp_path / "data/pipe").unlink()
    with open(os.fsencode(tmp_path) + b"/data/\xff", "w"):
        pass
    assert "control character" in rejection(tmp_path, task("z", ["data"]))


def test_a_task_that_writes_into_its_own_folder_gets_the_one_that_was_sent(tmp_path: Path) -> None:
    fill(tmp_path, "data/a")
    submission = submit(read(tmp_path, task("y", ["data"], ["data/out"]), task("z", ["data"])))
    assert [each.name for each in inputs(submission, "y")] == ["data/a"]
    assert inputs(submission, "z") == [Input(name="data", path="data")]
    assert dependencies(submission, "z") == {"y"} and dependencies(submission, "y") == set()
    assert [file.name for file in submission.files] == ["data/a"]


def test_an_init_task_may_require_a_folder(tmp_path: Path) -> None:
    fill(tmp_path, "tools/a")
    (tmp_path / "tools/none").mkdir()
    init = {"id": "i", "init": True, "commands": ["true"], "requirements": ["tools"]}
    read_in = read(tmp_path, init, task("z"))
    assert read_in.warnings == [] and [file.sent.name for file in read_in.files] == ["tools/a"]


def test_a_folder_of_too_many_files_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, *(f"data/{number}" for number in range(20)))
    monkeypatch.setattr(columns, "INPUT_BYTES", 1000)
    rejected = rejection(tmp_path, task("z", ["data"]))
    assert "20 files and folders" in rejected and "Pack them" in rejected


def test_names_of_every_kind_are_sent_as_they_are(tmp_path: Path) -> None:
    names = ["a b", "'\"$`\\", "new\nline", "-rf", "*", "[a]", "e\u0301", "é", "x" * 255, "tab\t"]
    fill(tmp_path, *(f"data/{name}" for name in names), *names)
    read_in = read(tmp_path, task("y", ["data"]), task("z", names))
    assert sorted(file.sent.name for file in read_in.files) == sorted([*names, *(f"data/{name}" for name in names)])
    submit(read_in)
