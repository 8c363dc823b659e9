"""What is not used any more is removed beside the work; what attempts hold between two tries is remembered."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from datastore.disk.janitor import AT_ONCE, Janitor
from datastore.transfers.fetching import HeldResults
from tests.worlds.waiting import wait_for
from wire.messages import CollectFile

FILE = CollectFile(source="a", target="a", size=1, digest="b2:" + "0" * 64)


@pytest.fixture
def janitor(tmp_path: Path) -> Iterator[Janitor]:
    fd = os.open(tmp_path, os.O_RDONLY)
    made = Janitor(fd)
    yield made
    made.stop()
    os.close(fd)


def make(folder: Path, count: int) -> list[str]:
    names = [f"{number}" for number in range(count)]
    for name in names:
        (folder / name / "deeper").mkdir(parents=True)
        (folder / name / "file").write_bytes(b"x")
    return names


def test_a_few_folders_are_gone_at_once_and_many_after_a_while(janitor: Janitor, tmp_path: Path) -> None:
    janitor.remove(make(tmp_path, AT_ONCE))
    assert list(tmp_path.iterdir()) == []
    janitor.remove(make(tmp_path, 3 * AT_ONCE))
    wait_for(lambda: not list(tmp_path.iterdir()), "all are gone")


def test_what_is_not_there_or_cannot_go_holds_up_nothing(janitor: Janitor, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    names = make(tmp_path, 1)
    janitor.remove(["no such folder", "file", *names], many=True)
    wait_for(lambda: [path.name for path in tmp_path.iterdir()] == ["file"], "the folder is gone")


def test_its_end_does_not_wait_for_all_that_is_left(janitor: Janitor, tmp_path: Path) -> None:
    janitor.remove(make(tmp_path, 200))
    janitor.stop()
    janitor.remove(["0"], many=True)
    assert len(list(tmp_path.iterdir())) <= 200


def test_what_has_come_of_an_attempt_is_known_until_it_ends_and_by_its_receive_folder() -> None:
    held = HeldResults()
    assert held.begin((1, 1), "from-w1") == {} == held.begin((2, 1), "from-w1")
    held.add((1, 1), 3, FILE)
    assert held.begin((1, 1), "from-w1") == {3: FILE} == held.came((1, 1))
    assert held.in_folder("from-w1") == {(1, 1), (2, 1)}
    assert held.in_folder("from-w1", besides=[(1, 1)]) == {(2, 1)} and held.in_folder("from-w2") == set()
    assert held.end((1, 1)) == "from-w1" and held.end((1, 1)) == ""
    held.add((1, 1), 4, FILE)  # given up meanwhile
    assert held.came((1, 1)) == {} and held.in_folder("from-w1") == {(2, 1)}
