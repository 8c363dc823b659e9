"""Folders and patterns as inputs and in look-ups: what is below them, and nothing that a link leads to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from datastore import expanding
from datastore.agent.events import InputsStaged
from datastore.expanding import TransferAnswer, expand
from tests.worlds.datastore import Disk, digest
from wire.messages import Found, Input, LookUp, Stage, StageDone, StageFailed


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path / "tree").start()
    yield disk
    disk.close()


def fill(disk: Disk, *names: str) -> None:
    for name in names:
        (disk.root / name).parent.mkdir(parents=True, exist_ok=True)
        (disk.root / name).write_bytes(name.encode())


def staged(disk: Disk, *inputs: Input) -> StageDone | StageFailed:
    """As the program does it."""
    answers: list[TransferAnswer] = []
    job = Stage(task=1, attempt=1, worker="w", place=disk.place, inputs=list(inputs))
    jobs, tell = expand(disk.tree, [job], answers.append)
    disk.local.stage(jobs, tell)
    (answer,) = answers
    assert isinstance(answer, InputsStaged)
    return answer.answer


def look_up(disk: Disk, *names: str) -> tuple[list[str], bool]:
    found: Found = disk.storage.look_up(LookUp(task=1, names=list(names)))
    return [file.name for file in found.files], found.complete


# --- inputs -----------------------------------------------------------------------------------------


def test_a_folder_is_staged_as_its_files_and_its_empty_folders(disk: Disk) -> None:
    fill(disk, "data/a", "data/sub/b")
    (disk.root / "data/sub/b").chmod(0o755)
    (disk.root / "data/none/inner").mkdir(parents=True)
    answer = staged(disk, Input(name="data", path="in"), Input(name="data/a", path="other"))
    assert isinstance(answer, StageDone)
    assert [(each.path, each.digest, each.executable) for each in answer.inputs if not each.folder] == [
        ("in/a", digest(b"data/a"), False),
        ("in/sub/b", digest(b"data/sub/b"), True),
        ("other", digest(b"data/a"), False),
    ]
    assert [each.path for each in answer.inputs if each.folder] == ["in/none/inner"]


def test_an_empty_folder_is_staged_as_one(disk: Disk) -> None:
    (disk.root / "data").mkdir()
    answer = staged(disk, Input(name="data", path="in"))
    assert isinstance(answer, StageDone)
    assert answer.inputs == [Input(name="data", path="in", folder=True)]


def test_a_folder_that_is_to_be_made_needs_nothing_on_the_datastore(disk: Disk) -> None:
    answer = staged(disk, Input(name="data/none", path="in/none", folder=True))
    assert isinstance(answer, StageDone) and answer.inputs[0].folder


@pytest.mark.parametrize("kind", ["link out", "link inside", "folder link", "pipe"])
def test_a_folder_with_something_else_in_it_is_not_sent(disk: Disk, tmp_path: Path, kind: str) -> None:
    fill(disk, "data/a")
    odd = disk.root / "data/odd"
    if kind == "pipe":
        os.mkfifo(odd)
    else:
        odd.symlink_to({"link out": "/etc/passwd", "link inside": "a", "folder link": str(tmp_path)}[kind])
    answer = staged(disk, Input(name="data", path="in"))
    assert isinstance(answer, StageFailed) and answer.fault == "input"
    assert "'data/odd' on the datastore is a" in answer.reason


def test_a_name_below_a_linked_folder_is_not_there(disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "secret/sub").mkdir(parents=True)
    (disk.root / "data").symlink_to(tmp_path / "secret")
    for name in ("data", "data/sub"):
        answer = staged(disk, Input(name=name, path="in"))
        assert isinstance(answer, StageFailed) and answer.fault == "input"


def test_more_files_than_a_message_can_name_fail_with_a_sentence(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(disk, "data/a", "data/b", "data/c")
    monkeypatch.setattr(expanding, "MAX_BYTES", 500)
    answer = staged(disk, Input(name="data", path="in"))
    assert isinstance(answer, StageFailed) and answer.fault == "input"
    assert "3 files of the folder 'data'" in answer.reason and "pack them" in answer.reason


# --- look-ups ---------------------------------------------------------------------------------------


def test_a_folder_that_is_looked_for_is_there_with_all_its_files(disk: Disk) -> None:
    fill(disk, "data/a", "data/sub/b")
    (disk.root / "empty").mkdir()
    assert look_up(disk, "data", "empty") == (["data/a", "data/sub/b"], True)
    assert look_up(disk, "data", "gone") == (["data/a", "data/sub/b"], False)


def test_a_pattern_that_is_looked_for_is_there_if_something_matches(disk: Disk) -> None:
    fill(disk, "out/a.csv", "out/b.csv", "out/c.txt", "out/sub/d.csv", "top.csv")
    assert look_up(disk, "out/*.csv") == (["out/a.csv", "out/b.csv"], True)
    assert look_up(disk, "out/**/*.csv") == (["out/a.csv", "out/b.csv", "out/sub/d.csv"], True)
    assert look_up(disk, "out/s*") == (["out/sub/d.csv"], True)
    assert look_up(disk, "*.csv") == (["top.csv"], True)
    assert look_up(disk, "**/d.csv") == (["out/sub/d.csv"], True)
    assert look_up(disk, "out/*.json") == ([], False)


def test_the_datastores_own_folder_is_never_looked_into(disk: Disk) -> None:
    fill(disk, "a")
    assert look_up(disk, ".ecloud/*") == ([], False)
    assert look_up(disk, ".ecloud") == ([], False)
    assert look_up(disk, ".*") == ([], False)
