"""The reserve beside the database: made where there is room, given up once the disk has been full for a while."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.database.reserve import LOOK_SECONDS, WAIT_SECONDS, Reserve

MIB = 1024 * 1024


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.fail("this test mounts a small tmpfs: run it as root")
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=50m", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def free(disk: Path) -> int:
    about = os.statvfs(disk)
    return about.f_bavail * about.f_frsize


def test_it_takes_a_fiftieth_of_the_disk_and_really_takes_it(disk: Path) -> None:
    before = free(disk)
    reserve = Reserve(disk / "r")
    assert not reserve.held
    reserve.on_written(0.0)
    assert reserve.held and before - free(disk) == MIB


def test_it_is_given_up_once_the_disk_has_been_full_for_a_while_and_made_again_with_room(disk: Path) -> None:
    reserve = Reserve(disk / "r")
    reserve.on_written(0.0)
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free(disk))
    reserve.on_full(100.0)
    reserve.on_full(100.0 + WAIT_SECONDS - 1)
    assert reserve.held and free(disk) == 0, "what grows is to be stopped first"
    reserve.on_full(100.0 + WAIT_SECONDS)
    assert not reserve.held and free(disk) == MIB
    reserve.on_full(100.0 + WAIT_SECONDS + 1)
    reserve.on_written(200.0)
    assert not reserve.held, "there is hardly any room yet"
    ballast.unlink()
    reserve.on_written(200.0 + LOOK_SECONDS)
    assert reserve.held


def test_a_disk_that_was_full_twice_for_a_moment_was_not_full_for_long(disk: Path) -> None:
    reserve = Reserve(disk / "r")
    reserve.on_written(0.0)
    reserve.on_full(100.0)
    reserve.on_written(101.0)
    reserve.on_full(100.0 + WAIT_SECONDS)
    assert reserve.held


def test_a_database_on_a_server_has_none(tmp_path: Path) -> None:
    assert Reserve.beside("mysql://user@host/name") is None
    assert Reserve.beside(f"sqlite:///{tmp_path}/e.sqlite") is not None


def test_where_it_cannot_be_made_there_is_none(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "no" / "such" / "folder")
    reserve.on_written(0.0)
    reserve.on_full(0.0)
    assert not reserve.held
