"""One turn is one transaction, whole or not at all, once, and by one boss only: on SQLite and on a real MariaDB."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest
from sqlalchemy import Connection

from boss.core.rows import AttemptRow, Changes, WorkerRow
from boss.core.store import TurnRefusedError
from boss.database import (
    Database,
    DatabaseHeldError,
    DatabaseUnavailableError,
    RowTooLargeError,
    SupersededError,
    commit,
)
from boss.database.store import DatabaseStore
from tests.worlds.database import Push, Q, R, moved, push, taken_over, turn_on_disk, whole_turn, worker
from tests.worlds.mariadb import MariaDb, largest_packet
from tests.worlds.waiting import scaled
from wire.messages import Execution

ROOT = Path(__file__).parents[2]


def fail_after(monkeypatch: pytest.MonkeyPatch, error: Exception, times: int = 1) -> list[Exception]:
    """All of the turn is written, and then `error` comes instead of the commit."""
    write, remaining = commit.write_changes, [error] * times

    def wrapped(connection: Connection, *rest: object) -> None:
        write(connection, *rest)  # type: ignore[arg-type]
        if remaining:
            raise remaining.pop()

    monkeypatch.setattr(commit, "write_changes", wrapped)
    return remaining


def test_a_turn_that_breaks_before_its_end_leaves_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_after(monkeypatch, ValueError("a bug of ours"))
    with pytest.raises(ValueError, match="a bug"):
        database.commit(whole_turn(), 1.0)
    loaded = database.load()
    assert (turn_on_disk(database), loaded.next_task, database.turn) == (0, 1, 0)
    assert not (loaded.batches or loaded.workers or loaded.records or database.reads.story(1))
    database.commit(whole_turn(), 1.0)
    assert turn_on_disk(database) == database.turn == 1


def test_a_turn_is_tried_again_when_the_connection_breaks(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    remaining = fail_after(monkeypatch, ConnectionResetError("cut"), times=2)
    database.commit(whole_turn(), 1.0)
    assert not remaining
    assert turn_on_disk(database) == 1 and list(database.load().batches[0].states) == [R, 0]


def test_a_turn_whose_answer_was_lost_is_not_written_twice(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    first = [True]
    original = database._try_turn

    def answer_lost(turn: int, write: object) -> None:
        original(turn, write)  # type: ignore[arg-type]
        if first:
            first.clear()
            raise ConnectionResetError("cut after the commit")

    monkeypatch.setattr(database, "_try_turn", answer_lost)
    database.commit(whole_turn(), 1.0)
    assert database.turn == turn_on_disk(database) == 1
    database.commit(Changes(tasks={2: moved(2, Q)}), 2.0)
    assert turn_on_disk(database) == 2


def test_who_reaches_a_timeout_says_so_and_has_left_nothing(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    database = taken_over(database_url, timeout=0.1)
    fail_after(monkeypatch, ConnectionResetError("cut"), times=1000)
    with pytest.raises(DatabaseUnavailableError, match="cannot be reached"):
        database.commit(whole_turn(), 1.0)
    assert turn_on_disk(database) == 0
    database.close()


def test_a_turn_waits_for_a_lock_that_is_let_go(database: Database, database_url: str) -> None:
    other = Database.open(database_url)
    connection = other._writers.connect()
    connection.exec_driver_sql("UPDATE deployment SET turn = turn")
    timer = threading.Timer(0.3, connection.close)
    timer.start()
    database.commit(whole_turn(), 1.0)
    timer.join()
    other.close()
    assert turn_on_disk(database) == 1


def test_nothing_is_written_before_the_database_was_taken_over(database_url: str) -> None:
    database = Database.open(database_url)
    with pytest.raises(RuntimeError, match="take_over"):
        database.commit(whole_turn(), 1.0)
    database.close()


def test_profiles_are_shared_by_later_pushes_and_later_starts(database: Database, database_url: str) -> None:
    push(database, {"a": []})
    push(database, {"b": []}, first=2, batch=2)
    database.close()
    later = taken_over(database_url)
    push(later, {"c": []}, first=3, batch=3)
    with later._readers.connect() as connection:
        assert connection.exec_driver_sql("SELECT COUNT(*) FROM profiles").scalar() == 1
    assert [batch.profiles for batch in later.load().batches] == [batch.profiles for batch in later.load().batches]
    later.close()


def test_a_boss_that_was_superseded_writes_nothing(database_url: str) -> None:
    old, new = Database.open(database_url), Database.open(database_url)
    assert old.take_over("first-host", 11, wall=0.0) == (1, "")
    old.commit(Changes(workers={"worker-1": worker()}), 1.0)
    if database_url.startswith("mysql"):
        old._drop_writer()  # its connection breaks, so the early lock is free
    epoch, before = new.take_over("second-host", 22)
    assert epoch == 2 and before == "first-host, process 11, since 1970-01-01 00:00:00 UTC"
    with pytest.raises(SupersededError, match=r"second-host, process 22 \(epoch 2, mine was 1\)"):
        old.commit(whole_turn(), 2.0)
    with pytest.raises(SupersededError):
        old.prune_events(before=2.0)
    new.commit(whole_turn(), 3.0)
    assert turn_on_disk(new) == new.turn == 2
    old.close()
    new.close()


def test_a_deployment_keeps_its_id(database_url: str) -> None:
    first = Database.open(database_url, deployment_id="d" * 32)
    second = Database.open(database_url, deployment_id="e" * 32)
    assert first.deployment == second.deployment == "d" * 32
    first.close()
    second.close()


_CHILD = """
import sys, time
from boss.database import Database, commit
from tests.worlds.database import whole_turn
database = Database.open(sys.argv[1])
database.take_over("child", 1)
write = commit.write_changes
def stuck(*arguments):
    write(*arguments)
    sys.stdout.write("written\\n")
    sys.stdout.flush()
    time.sleep(100)
commit.write_changes = stuck
database.commit(whole_turn(), 1.0)
"""


def test_a_boss_killed_between_write_and_commit_leaves_nothing(database_url: str) -> None:
    command = [sys.executable, "-c", _CHILD, database_url]
    with subprocess.Popen(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"written\n"
        child.kill()
    database = taken_over_soon(database_url)
    loaded = database.load()
    assert (loaded.epoch, turn_on_disk(database), loaded.next_task, loaded.batches) == (2, 0, 1, [])
    database.commit(whole_turn(), 1.0)
    assert turn_on_disk(database) == 1
    database.close()


def taken_over_soon(url: str) -> Database:
    """A server notices within a moment that a client was killed; until then its lock is held."""
    ends = time.monotonic() + scaled(30)
    while True:
        database = Database.open(url)
        try:
            database.take_over("host", 2)
            return database
        except DatabaseHeldError:
            assert time.monotonic() < ends
            time.sleep(0.05)


# --- only on a server --------------------------------------------------------------------------------


def test_a_second_boss_reports_who_the_first_is(mariadb_server: MariaDb) -> None:
    url = mariadb_server.fresh_url("mariadb")
    first, second = Database.open(url), Database.open(url)
    first.take_over("boss-vm", 4711, wall=0.0)
    with pytest.raises(DatabaseHeldError, match="in use by the boss on boss-vm, process 4711, since 1970-01-01"):
        second.take_over("laptop", 1)
    first.commit(whole_turn(), 1.0)
    first.close()
    third = Database.open(url)
    assert third.take_over("laptop", 1)[0] == 2
    third.keep_alive()
    third.close()


@pytest.fixture
def own_server(mariadb_server: MariaDb) -> Iterator[MariaDb]:
    """The session's server, which this test may kill; it runs again afterwards."""
    yield mariadb_server
    try:
        mariadb_server.connect().close()
    except pymysql.Error:
        mariadb_server.start()


def test_a_killed_server_that_comes_back_loses_and_doubles_nothing(own_server: MariaDb) -> None:
    database = taken_over(own_server.fresh_url(), timeout=60.0)
    database.commit(whole_turn(), 1.0)
    own_server.kill()
    changes = Changes(workers={"worker-2": worker("worker-2")})
    writing = threading.Thread(target=database.commit, args=(changes, 2.0))
    writing.start()
    time.sleep(0.3)
    own_server.start()
    writing.join()
    loaded = database.load()
    assert turn_on_disk(database) == 2 and [row.id for row in loaded.workers] == ["worker-1", "worker-2"]
    assert list(loaded.batches[0].states) == [R, 0]
    database.close()


def test_a_server_that_is_away_is_named_without_the_password(own_server: MariaDb) -> None:
    url = own_server.fresh_url()
    own_server.kill()
    with pytest.raises(
        DatabaseUnavailableError, match=r"test_\d+ on 127\.0\.0\.1: the server cannot be reached"
    ) as caught:
        Database.open(url)
    assert "secret" not in str(caught.value)


@pytest.fixture
def small_packets(mariadb_server: MariaDb) -> Iterator[MariaDb]:
    with largest_packet(mariadb_server, 65536):
        yield mariadb_server


def test_statements_stay_below_what_the_server_accepts(small_packets: MariaDb) -> None:
    database = taken_over(small_packets.fresh_url())
    workers: dict[str, WorkerRow] = {f"w{number}": worker(f"w{number}") for number in range(2000)}
    database.commit(Changes(workers=workers), 1.0)
    assert len(database.load().workers) == 2000
    database.close()


def test_a_row_above_the_servers_limit_is_refused_by_name_and_the_boss_goes_on(small_packets: MariaDb) -> None:
    database = taken_over(small_packets.fresh_url())
    large = Push({"small": [], "large": []}, executions={"large": Execution(commands=["x" * 70_000])})
    with pytest.raises(RowTooLargeError, match=r"max_allowed_packet.*largest task of this push is 'large'"):
        database.commit(Changes(accepted=[large.accepted()]), 1.0)
    database.commit(whole_turn(), 1.0)
    assert turn_on_disk(database) == 1
    database.close()


def test_an_attempt_whose_row_is_above_the_servers_limit_is_named_as_it_was_to_be_sent(
    small_packets: MariaDb, tmp_path: Path
) -> None:
    """Quotes are sent as two characters each: the limit is met by fewer bytes than it has."""
    database = taken_over(small_packets.fresh_url())
    store = DatabaseStore(database, tmp_path)
    listed = b'["' * 20_000  # 40,000 bytes, and 60,000 as they are sent
    small = AttemptRow(1, 1, "w", "w.1", "executing", manifest=b"[]")
    large = AttemptRow(2, 3, "w", "w.1", "executing", manifest=listed, stdout_tail="x" * 5_000)
    with pytest.raises(TurnRefusedError, match=r"40,000 of them list its result files.*max_allowed_packet") as caught:
        store.commit(Changes(attempts={(1, 1): small, (2, 3): large}), 1.0)
    assert caught.value.attempt == (2, 3)
    store.commit(Changes(attempts={(1, 1): small}), 1.0)
    assert turn_on_disk(database) == 1
    database.close()


def test_a_refused_push_is_no_matter_of_an_attempt(small_packets: MariaDb, tmp_path: Path) -> None:
    database = taken_over(small_packets.fresh_url())
    large = Push({"large": []}, executions={"large": Execution(commands=["x" * 70_000])})
    with pytest.raises(TurnRefusedError, match="largest task of this push is 'large'") as caught:
        DatabaseStore(database, tmp_path).commit(Changes(accepted=[large.accepted()]), 1.0)
    assert caught.value.attempt is None
    database.close()
