"""`python -m boss --reset`: counts are zero afterwards, all that was there is archived, and workers join again."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from boss.core.rows import Changes, InstanceRow
from boss.database import Database, DatabaseBusyError, DatabaseHeldError
from boss.database.reset import archive, reset
from boss.state_directory.lock import CannotStartError, lock
from tests.worlds.database import push, taken_over


@pytest.fixture
def used(database_url: str) -> str:
    """A database with two tasks."""
    database = taken_over(database_url)
    push(database, {"a": [], "b": ["a"]})
    database.close()
    return database_url


def left_in(url: str) -> tuple[int, str]:
    """How many tasks there are, and whose."""
    database = Database.open(url)
    try:
        return sum(database.reads.counts()), database.deployment
    finally:
        database.close()


@pytest.mark.needs("mariadb")
def test_the_next_boss_begins_with_nothing_and_the_old_rows_are_kept(used: str, tmp_path: Path) -> None:
    tasks, before = left_in(used)
    sentence = reset(tmp_path, used)
    assert "begins with nothing" in sentence and "before" in sentence
    assert tasks == 2
    now, deployment_id = left_in(used)
    assert now == 0 and deployment_id != before
    if used.startswith("sqlite"):
        (kept,) = tmp_path.glob("ecloud.before-*.sqlite")
        assert left_in(f"sqlite:///{kept}") == (2, before)
        assert str(kept) in sentence


@pytest.mark.needs("mariadb")
def test_where_there_is_nothing_nothing_is_done(database_url: str, tmp_path: Path) -> None:
    assert "nothing to archive" in reset(tmp_path, database_url)
    assert archive(database_url, "now") == ""


@pytest.mark.needs("mariadb")
def test_what_a_boss_has_started_must_end_before(used: str, tmp_path: Path) -> None:
    database = taken_over(used)
    rows = {1: InstanceRow(1, "local-1", "local", "local", "running"), 2: InstanceRow(2, "x", "local", "local", "gone")}
    database.commit(Changes(instances=rows), 2.0)
    database.close()
    with pytest.raises(CannotStartError, match=r"1 workers .*\(local-1\).*nothing was changed"):
        reset(tmp_path, used)
    assert left_in(used)[0] == 2


def test_a_boss_that_runs_is_left_alone(tmp_path: Path) -> None:
    descriptor = lock(tmp_path)
    try:
        with pytest.raises(CannotStartError, match="a boss runs on the state directory"):
            reset(tmp_path, f"sqlite:///{tmp_path / 'ecloud.sqlite'}")
    finally:
        os.close(descriptor)


def test_a_file_that_is_being_read_is_left_as_it_is(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ecloud.sqlite'}"
    database = taken_over(url)
    push(database, {"a": []})
    database.close()
    reader = sqlite3.connect(tmp_path / "ecloud.sqlite", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM deployment").fetchall()
    try:
        with pytest.raises(DatabaseBusyError, match="locked"):
            reset(tmp_path, url)
    finally:
        reader.close()
    assert left_in(url)[0] == 1


@pytest.mark.needs("mariadb")
def test_a_server_that_a_boss_elsewhere_uses_is_left_as_it_is(mariadb_server: object, tmp_path: Path) -> None:
    url = mariadb_server.fresh_url()  # type: ignore[attr-defined]
    database = taken_over(url)
    try:
        push(database, {"a": []})
        with pytest.raises(DatabaseHeldError, match="in use by a boss"):
            reset(tmp_path, url)
    finally:
        database.close()
    assert left_in(url)[0] == 1
