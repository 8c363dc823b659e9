"""The tables are made, brought up to date and refused as they should be; and what a sick disk does to SQLite."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from boss.core.rows import Changes
from boss.database import (
    Database,
    DatabaseError,
    DatabaseFullError,
    NoDatabaseError,
    NotWritableError,
    SchemaTooNewError,
    SchemaTooOldError,
    schema,
    tables,
)
from tests.worlds.database import Push, moved, taken_over, turn_on_disk, worker
from tests.worlds.mariadb import MariaDb
from wire.messages import Execution


def test_the_migrations_make_the_tables_that_the_program_knows(database: Database) -> None:
    with database._writers.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.metadata) == []


def test_every_migration_is_in_the_list() -> None:
    files = (Path(schema.__file__).parent / "migrations" / "versions").glob("r*.py")
    assert sorted(file.name[1:5] for file in files) == list(schema.REVISIONS)


def test_nothing_is_left_in_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    Database.open(f"sqlite:///{tmp_path / 'it.sqlite'}").close()
    assert list(here.iterdir()) == []


def test_a_newer_database_is_refused_and_unchanged(database_url: str) -> None:
    database = taken_over(database_url)
    with database._writers.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    for opened in (Database.open, Database.open_to_read):
        with pytest.raises(SchemaTooNewError, match=r"form 9999.*newer ecloud.*Update this program"):
            opened(database_url)


def test_an_older_database_is_not_read_before_it_was_brought_up_to_date(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "REVISIONS", (*schema.REVISIONS, "9998"))
    monkeypatch.setattr(schema, "HEAD", "9998")
    with pytest.raises(SchemaTooOldError, match="start the boss once"):
        Database.open_to_read(database_url)


def test_programs_that_start_at_once_make_one_database(database_url: str) -> None:
    made: list[str] = []

    def start() -> None:
        database = Database.open(database_url)
        made.append(database.deployment)
        database.close()

    # Alembic's module-wide context is not made for threads: a first start in each process is the case that counts.
    Database.open(database_url).close()
    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4 and len(set(made)) == 1


def test_an_interrupted_first_start_is_completed_by_the_next(mariadb_server: MariaDb) -> None:
    """On SQLite all of it is one transaction, and this state cannot be."""
    database_url = mariadb_server.fresh_url()
    Database.open(database_url).close()
    database = Database.open(database_url)
    with database._writers.begin() as connection:
        for statement in ("DELETE FROM alembic_version", "DROP TABLE results", "DELETE FROM deployment"):
            connection.exec_driver_sql(statement)
    database.close()
    again = taken_over(database_url)
    again.commit(Changes(accepted=[Push({"a": []}, results=[("r", "a")]).accepted()]), 1.0)
    loaded = again.load()
    assert (turn_on_disk(again), len(loaded.batches)) == (1, 1) and again.deployment
    again.close()


# --- SQLite's file and its disk ----------------------------------------------------------------------


def test_a_file_that_is_no_database_is_called_that(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("these are notes, more than enough of them to fill a header\n" * 100)
    with pytest.raises(DatabaseError, match=r"notes\.txt.*no SQLite database"):
        Database.open(f"sqlite:///{file}")
    assert file.read_text().startswith("these are notes")


def test_an_empty_file_has_no_database_in_it(tmp_path: Path) -> None:
    file = tmp_path / "empty.sqlite"
    file.touch()
    with pytest.raises(NoDatabaseError):
        Database.open_to_read(f"sqlite:///{file}")


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotWritableError, match=r"nowhere/it\.sqlite.*check that its directory exists"):
        Database.open(f"sqlite:///{tmp_path / 'nowhere' / 'it.sqlite'}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount the small disk that this test fills: run the tests as root")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_is_said_and_loses_nothing(small_disk: Path) -> None:
    database = taken_over(f"sqlite:///{small_disk / 'it.sqlite'}")
    database.commit(Changes(workers={"worker-1": worker()}), 1.0)
    big = Push({"a": []}, executions={"a": Execution(commands=["x" * 10_000_000])}).accepted()
    with pytest.raises(DatabaseFullError, match=r"it\.sqlite.*disk is full"):
        database.commit(Changes(accepted=[big]), 2.0)
    loaded = database.load()
    assert turn_on_disk(database) == 1 and loaded.batches == [] and len(loaded.workers) == 1
    database.commit(Changes(tasks={}, workers={"worker-2": worker("worker-2")}), 3.0)
    assert len(database.load().workers) == 2
    database.close()


def test_the_same_turn_goes_through_once_there_is_room_again(small_disk: Path) -> None:
    database = taken_over(f"sqlite:///{small_disk / 'it.sqlite'}")
    ballast = small_disk / "ballast"
    fill(ballast)
    changes = Changes(accepted=[Push({f"t{number}": [] for number in range(3000)}).accepted()], tasks={1: moved(1, 2)})
    with pytest.raises(DatabaseFullError):
        database.commit(changes, 2.0)
    with pytest.raises(DatabaseFullError):
        database.commit(changes, 3.0)
    ballast.unlink()
    database.commit(changes, 4.0)
    database.close()
    later = taken_over(f"sqlite:///{small_disk / 'it.sqlite'}")
    loaded = later.load()
    assert (turn_on_disk(later), loaded.next_task, loaded.batches[0].states[0]) == (1, 3001, 2)
    later.close()


def fill(file: Path) -> None:
    with open(file, "wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(bytes(4096))
        except OSError:
            return


def test_a_directory_without_the_right_to_write_is_named(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(NotWritableError, match=r"it\.sqlite.*check"):
        Database.open(f"sqlite:///{small_disk / 'it.sqlite'}")


def test_a_file_without_the_right_to_write_is_named(small_disk: Path) -> None:
    url = f"sqlite:///{small_disk / 'it.sqlite'}"
    taken_over(url).close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(NotWritableError, match=r"it\.sqlite.*check"):
        taken_over(url)
