"""A database that an older program filled is brought up to date with all that is in it; a newer one is left alone."""

from __future__ import annotations

from array import array
from pathlib import Path

import msgspec
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, MetaData, Table, inspect

from boss.core.check import check
from boss.core.effects import Answer
from boss.core.events import Submitted
from boss.core.model import Profile, Submission, TaskState
from boss.core.plan import Plan
from boss.core.policy import Policy
from boss.core.rows import Changes, Known
from boss.core.scheduler import Scheduler
from boss.database import Database, SchemaTooNewError, SchemaTooOldError, schema
from boss.database.engine import parse_url, writer_engine
from boss.database.store import DatabaseStore
from boss.turn import decide, record
from tests.worlds.database import moved, turn_on_disk
from tests.worlds.stored_database import STORED, dump, restore

FIRST = (STORED / "first_schema.json").read_text()


@pytest.fixture
def old_url(database_url: str) -> str:
    """What the program of the first form left: three pushes, of which one is half done."""
    restore(database_url, FIRST)
    return database_url


def test_a_database_of_the_first_form_is_loaded_whole(old_url: str) -> None:
    database = Database.open(old_url)
    loaded = database.load()
    assert (loaded.deployment, loaded.epoch, turn_on_disk(database)) == ("f" * 32, 1, 6)
    (two, three) = loaded.batches
    assert (two.row.number, two.row.paused, two.row.warnings) == (2, "a person asked for it", ["one warning"])
    assert two.row.counts == [1, 1, 1, 0, 1, 1, 1]
    assert [TaskState(state).word for state in two.states] == [
        "running",
        "failed",
        "blocked",
        "pending",
        "cancelled",
        "queued",
    ]
    assert list(two.attempts) == [2, 2, 0, 0, 1, 0]
    assert (three.row.project, list(three.states)) == ("leaks", [TaskState.QUEUED])
    assert [(one.task, one.attempt, one.worker) for one in loaded.attempts] == [(3, 2, "worker-1")]
    assert {one.id: one.state for one in loaded.workers} == {"worker-1": "online", "worker-2": "lost"}
    assert [one.number for one in loaded.instances] == [1]
    assert [file.name for file in loaded.files] == ["net.inp"]
    assert loaded.records == [(1, 1)]
    database.close()


def test_what_users_read_of_it_is_as_it_was(old_url: str) -> None:
    database = Database.open(old_url)
    reads = database.reads
    detail = reads.task_detail(1)
    assert detail is not None
    assert detail.attempts[0].stdout_tail == "made ä\n"
    assert b'"target":"out/make.txt"' in detail.attempts[0].manifest
    failed = reads.task_detail(4)
    assert failed is not None and failed.task.reason == "exit code 3"
    assert [one.ended for one in failed.attempts] == ["timed_out", "failed"]
    assert [(line.before, line.after) for line in reads.story(1)] == [
        ("queued", "running"),
        ("collecting", "succeeded"),
        ("running", "succeeded"),
    ]
    database.close()


def test_the_work_goes_on_in_it(old_url: str, tmp_path: Path) -> None:
    database = Database.open(old_url)
    database.take_over("second-host", 1)
    store = DatabaseStore(database, tmp_path)
    scheduler = Scheduler(Policy())
    scheduler.restore(store.load(), 100.0, 1_700_000_100.0)
    check(scheduler.state)
    record(decide(scheduler, store, [], 100.0, 1_700_000_100.0), store, 1_700_000_100.0)
    database.commit(Changes(tasks={8: moved(8, TaskState.SUCCEEDED, 1)}), 1_700_000_101.0)
    assert database.load().batches[0].states[5] == TaskState.SUCCEEDED
    numbers = array("q")
    row = database.reads.batch(2)
    assert row is not None
    numbers.frombytes(row.attached)
    assert list(numbers) == [1]
    database.close()


def test_it_is_not_read_before_a_boss_brought_it_up_to_date(old_url: str) -> None:
    if schema.HEAD == "0001":
        Database.open_to_read(old_url).close()
        return
    with pytest.raises(SchemaTooOldError, match="start the boss once"):
        Database.open_to_read(old_url)


def test_every_step_may_be_the_last_one_and_the_next_program_goes_on(old_url: str) -> None:
    """A database may stand at any form that ever was; from each of them it comes up to date."""
    for revision in schema.REVISIONS:
        engine = writer_engine(parse_url(old_url))
        with engine.begin() as connection:
            upgrade(connection, revision)
        engine.dispose()
    database = Database.open(old_url)
    assert [batch.row.number for batch in database.load().batches] == [2, 3]
    database.close()


@pytest.mark.parametrize("revision", [each for each in schema.REVISIONS if each < "0009"])
def test_the_table_that_nothing_used_is_gone_whatever_form_the_database_had(old_url: str, revision: str) -> None:
    """A row stands in it, and a first try may have dropped it already where DDL is no part of a transaction."""
    engine = writer_engine(parse_url(old_url))
    with engine.begin() as connection:
        upgrade(connection, revision)
    assert inspect(engine).has_table("context")
    Database.open(old_url).close()
    assert not inspect(engine).has_table("context")
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0008'")
    database = Database.open(old_url)
    assert [batch.row.number for batch in database.load().batches] == [2, 3]
    database.close()
    engine.dispose()


#: Sentence in the row -> the kind that it is given.
QUARANTINED = {
    "": "",
    "by hand: init task 'a' is odd": "operator",
    "its host is not trusted: it states another host key than the pinned one: none at h:22": "other_host_key",
    "its host is not trusted: it states no host key, so that its host cannot be told from another one": "no_host_key",
    "its host is not trusted: w sent a symbolic link": "untrusted",
    "3 attempts in a row failed by its own fault": "failures",
    "3 attempts in a row failed by its own fault, the last: by hand: no": "failures",
    "init task 'fetch' failed 3 times here: exit code 1": "init_task",
    "task 7: Uploading results failed: by hand: no": "results",
}
PAUSED = {
    "": "",
    "a person asked for it": "operator",
    "100 % of it has used up its welcome": "operator",
    "it has used up the 2 worker-hours that pool cloud gives a batch; resumed, it gets as many again": "budget",
    "its init task 'fetch' cannot run: net.inp is not there": "init_task",
}


@pytest.mark.parametrize("revision", [each for each in schema.REVISIONS if each < "0008"])
def test_reasons_get_their_kinds_from_the_sentences_of_former_programs(old_url: str, revision: str) -> None:
    engine = writer_engine(parse_url(old_url))
    with engine.begin() as connection:
        upgrade(connection, revision)
        for number, text in enumerate(QUARANTINED, 10):
            copy_row(connection, "workers", "id", "worker-1", id=f"worker-{number}", quarantined=text)
        for number, text in enumerate(PAUSED, 10):
            copy_row(connection, "batches", "number", 3, number=number, first=1000, count=0, paused=text)
    engine.dispose()
    database = Database.open(old_url)
    rows = database.reads.workers()
    assert {row.quarantined: row.quarantined_kind for row in rows} == QUARANTINED
    assert {row.quarantined: row.quarantined_kind for row in database.load().workers if row.quarantined} == {
        text: kind for text, kind in QUARANTINED.items() if kind
    }
    assert {row.paused: row.paused_kind for row in database.reads.batches()} == PAUSED
    assert [batch.row.paused_kind for batch in database.load().batches][:2] == ["operator", ""]
    database.close()


@pytest.mark.parametrize("revision", [each for each in schema.REVISIONS if each < "0010"])
def test_the_nic_of_an_instance_keeps_its_name_from_wherever_it_comes(old_url: str, revision: str) -> None:
    engine = writer_engine(parse_url(old_url))
    with engine.begin() as connection:
        upgrade(connection, revision)
        if revision >= "0006":  # before, no instance had one
            copy_row(connection, "instances", "number", 1, number=7, card="-3")
    engine.dispose()
    database = Database.open(old_url)
    assert {one.number: one.nic for one in database.load().instances} == {
        1: "",
        **({7: "-3"} if revision >= "0006" else {}),
    }
    database.close()


def test_a_renamed_column_whose_revision_was_not_recorded_is_no_obstacle(old_url: str) -> None:
    """MariaDB does not roll back the change of a table."""
    engine = writer_engine(parse_url(old_url))
    with engine.begin() as connection:
        upgrade(connection, "0010")
        copy_row(connection, "instances", "number", 1, number=7, nic="3")
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0009'")
    engine.dispose()
    database = Database.open(old_url)
    assert [one.nic for one in database.load().instances] == ["", "3"]
    database.close()


def upgrade(connection: Connection, revision: str) -> None:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(schema._MIGRATIONS))
    command.upgrade(config, revision)


def copy_row(connection: Connection, name: str, key: str, of: object, **values: object) -> None:
    """One more row of the table as it is now, with these values."""
    table = Table(name, MetaData(), autoload_with=connection)
    row = connection.execute(table.select().where(table.c[key] == of)).one()
    connection.execute(table.insert().values(dict(row._mapping) | values))


def test_a_newer_database_is_refused_with_its_rows_untouched(old_url: str) -> None:
    database = Database.open(old_url)
    before = dump(database)
    with database._writers.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    for opened in (Database.open, Database.open_to_read):
        with pytest.raises(SchemaTooNewError, match="a newer ecloud has used it"):
            opened(old_url)
    again = Database(parse_url(old_url))
    assert dump(again) == before.replace(f'"{schema.HEAD}"', '"9999"')
    again.close()


@pytest.mark.parametrize("revision", [each for each in schema.REVISIONS if each < "0011"])
def test_what_has_succeeded_is_unchanged_when_it_is_pushed_again(old_url: str, tmp_path: Path, revision: str) -> None:
    """By any user, as none is on record; and where contents have another form by now, in that of the row."""
    engine = writer_engine(parse_url(old_url))
    with engine.begin() as connection:
        upgrade(connection, revision)
        rows = connection.exec_driver_sql(
            "SELECT id, content, execution FROM tasks WHERE batch = 1 ORDER BY number"
        ).all()
        names = connection.exec_driver_sql("SELECT name, task FROM results WHERE task IN (1, 2)").all()
    engine.dispose()
    database = Database.open(old_url)
    database.take_over("second-host", 1)
    store = DatabaseStore(database, tmp_path)
    scheduler = Scheduler(Policy())
    scheduler.restore(store.load(), 100.0, 1_700_000_100.0)
    made = Submission(
        name="push 1",
        submitter="ana",
        source="0" * 32,
        named=False,
        ids=[id for id, _, _ in rows],
        executions=[bytes(execution) for _, _, execution in rows],
        requirements=[b""] * len(rows),
        contents=[b"another form.. " + bytes([at]) if at else bytes(row[1]) for at, row in enumerate(rows)],
        former_contents={at: (bytes(row[1]),) for at, row in enumerate(rows) if at},
        profiles=[Profile()],
        profile_of=array("I", [0] * len(rows)).tobytes(),
        dependency_starts=array("I", [0] * (len(rows) + 1)).tobytes(),
        results=[(name, task - 1) for name, task in names],
    )
    event = Submitted(submission=made, known=Known(), reply=1)
    decided = decide(scheduler, store, [event], 101.0, 1_700_000_101.0)
    (answer,) = [effect for effect in decided.effects if isinstance(effect, Answer)]
    plan = answer.value["plan"]
    assert isinstance(plan, Plan)
    assert (plan.tasks, plan.unchanged, plan.done, plan.left_out.count) == (2, 2, True, 0)
    record(decided, store, 1_700_000_101.0)
    known = database.lookups.known(made)
    assert [known.tasks[id][2] for id in made.ids] == made.contents, "the row has the present form from now on"
    row = database.reads.batch(4)
    assert row is not None and (row.submitter, row.source) == ("ana", "0" * 32)
    other = database.lookups.known(msgspec.structs.replace(made, submitter="bob"))
    assert not other.foreign, "whose batch 1 is, is not known"
    database.close()
