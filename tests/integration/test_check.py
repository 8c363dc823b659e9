"""`python -m boss --check` tells what cannot be in a database, by task, and changes nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from boss.database import Database
from boss.database.check import check_database
from tests.worlds.stored_database import STORED, dump, restore
from tests.worlds.waiting import scaled

TOP = Path(__file__).resolve().parents[2]
#: Three pushes: finished, half done (3 runs, 4 failed, 5 blocked, 6 pending, 7 cancelled, 8 queued), and new.
FIRST = (STORED / "first_schema.json").read_text()


def errors(url: str) -> list[str]:
    lines: list[str] = []
    database = Database.open_to_read(url)
    count = check_database(database, lines.append)
    database.close()
    assert count == len(lines) - 1
    return lines


@pytest.fixture
def url(database_url: str) -> str:
    restore(database_url, FIRST)
    Database.open(database_url).close()
    return database_url


def test_a_database_in_order_is_called_so_and_left_as_it_is(url: str) -> None:
    database = Database.open_to_read(url)
    before = dump(database)
    (line,) = errors(url)
    assert line.endswith(": 3 batches with 9 tasks, all of it holds together.")
    assert dump(database) == before
    database.close()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("UPDATE batches SET counts = '[0,0,0,1,1,0,0]' WHERE number = 1", "batch 1 counts 1 succeeded, 1 failed, and"),
        ("UPDATE batches SET finished_at = 5 WHERE number = 2", "batch 2 is finished and has tasks that are not"),
        ("DELETE FROM tasks WHERE number = 8", "batch 2 cannot be loaded"),
        ("DELETE FROM profiles", "a row of it is damaged or missing"),
        ("UPDATE task_states SET state = 3 WHERE number = 3", "task 3 ('run' of project 'default') is succeeded, and"),
        ("UPDATE task_states SET state = 2 WHERE number = 4", "is running, and its attempt 2 has ended as failed"),
        ("UPDATE task_states SET state = 3 WHERE number = 4", "is succeeded, and its attempt 2 has ended as failed"),
        ("UPDATE task_states SET state = 0 WHERE number = 5", "is pending with 1 unmet dependencies, 1 of them broken"),
        ("UPDATE task_states SET state = 6 WHERE number = 7", "is blocked, and none of its dependencies failed"),
        ("UPDATE task_states SET state = 1 WHERE number = 5", "is queued with 1 unmet dependencies"),
        ("UPDATE task_states SET attempt = 3 WHERE number = 3", "is at attempt 3, of which there is no row"),
        ("UPDATE attempts SET ended = '' WHERE task = 3", "has 2 live attempts: [1, 2]"),
        ("UPDATE task_states SET attempt = 1 WHERE number = 4", "has an attempt 2 above its newest one"),
        ("UPDATE attempts SET task = 77 WHERE task = 7", "task 77 has an attempt 1 and is not there"),
        ("INSERT INTO task_states VALUES (66, 3, 0, 0, 0, '', 0, 0, 0, NULL)", "task 66 has only a state"),
        ("DELETE FROM workers WHERE id = 'worker-1'", "task 3 ('run' of project 'default') is with worker worker-1"),
        ("UPDATE results SET task = 55 WHERE task = 1", "task 55 has only a result, out/make.txt"),
        ("UPDATE results SET digest = '' WHERE task = 1", "and of its result out/make.txt no digest is on record"),
        ("UPDATE results SET attempt = 9 WHERE task = 1", "has a result out/make.txt of an attempt above its newest"),
        ("UPDATE crossing SET dependency = 44 WHERE dependant = 4", "depends on task 44, which is not there"),
        ("UPDATE records SET attempt = 8", "has a publish record of attempt 8, of which there is no row"),
        ("UPDATE files SET batch = 9 WHERE name = 'run.sh'", "file run.sh belongs to a batch that is not there"),
        ("UPDATE tasks SET batch = 1 WHERE number = 9 OR number = 10", "is of batch 1, which is not there or does not"),
    ],
)
def test_what_is_inconsistent_is_reported_with_its_task(tmp_path: Path, damage: str, words: str) -> None:
    url = f"sqlite:///{tmp_path / 'it.sqlite'}"
    restore(url, FIRST)
    lines = damaged(url, damage)
    assert any(words in line for line in lines), lines
    assert "that cannot be" in lines[-1]


def damaged(url: str, *damages: str) -> list[str]:
    database = Database.open(url)
    with database._writers.begin() as connection:
        for damage in damages:
            connection.exec_driver_sql(damage)
    database.close()
    return errors(url)


def test_several_errors_are_all_reported_whatever_the_server(url: str) -> None:
    lines = damaged(
        url,
        "UPDATE task_states SET state = 2 WHERE number = 4",
        "UPDATE attempts SET task = 77 WHERE task = 7",
        "UPDATE results SET digest = '' WHERE task = 1",
        "UPDATE crossing SET dependency = 44 WHERE dependant = 4",
    )
    for words in ("task 4 ('fail' of", "task 77 has an", "task 1 ('make' of", "depends on task 44", "batch 2 counts"):
        assert any(words in line for line in lines), (words, lines)
    assert lines[-1].endswith(f"{len(lines) - 1} things that cannot be.")


def run(home: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ECLOUD_")}
    environment |= {"ECLOUD_HOME": str(home), "PYTHONPATH": str(TOP)}
    command = [sys.executable, "-P", "-m", "boss", "--check"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=scaled(60), check=False)


def test_the_command_ends_with_what_it_found(tmp_path: Path) -> None:
    home = tmp_path / ".ecloud"
    assert run(home).returncode == 3
    home.mkdir(mode=0o700)
    nothing = run(home)
    assert (nothing.returncode, "Traceback" in nothing.stderr) == (3, False)
    url = f"sqlite:///{home / 'ecloud.sqlite'}"
    restore(url, FIRST)
    Database.open(url).close()
    good = run(home)
    assert (good.returncode, "all of it holds together" in good.stdout) == (0, True)
    database = Database.open(url)
    with database._writers.begin() as connection:
        connection.exec_driver_sql("UPDATE tasks SET id = 'a\x1b[31m' WHERE number = 4")
        connection.exec_driver_sql("UPDATE task_states SET state = 3 WHERE number = 4")
    database.close()
    bad = run(home)
    assert bad.returncode == 1 and "\x1b" not in bad.stdout
    assert "is succeeded, and its attempt 2 has ended as failed" in bad.stdout
