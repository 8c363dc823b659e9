"""Every table there and back, on SQLite and on a real MariaDB."""

from __future__ import annotations

import msgspec
import pytest

from boss.core.model import InitSpec, Profile
from boss.core.rows import Changes, FileRow, InstanceRow, Move, ResultRow
from boss.database import Database
from tests.worlds.database import C, F, P, Q, R, S, attempt, moved, push, turn_on_disk, worker
from wire.messages import CommandSummary, EpanetRun, Execution, Input, ManifestEntry

DIGEST = "b2:" + "ab" * 32


def test_an_empty_database_loads_as_nothing(database: Database) -> None:
    loaded = database.load()
    assert (loaded.epoch, turn_on_disk(database)) == (1, 0)
    assert (loaded.next_task, loaded.next_batch, loaded.next_instance) == (1, 1, 1)
    assert not (loaded.batches or loaded.attempts or loaded.workers or loaded.files or loaded.records)
    assert loaded.deployment == database.deployment and len(loaded.deployment) == 32


def test_an_accepted_push_comes_back_as_the_same_columns(database: Database) -> None:
    wide = Profile(slots=2, labels={"os": "linux"}, priority=3, staging=True)
    made = push(database, {"a": [], "b": ["a"], "c": ["a", "b"]}, profiles={"c": wide}, results=[("out/c", "c")])
    (batch,) = database.load().batches
    assert batch.row == made.accepted().batch
    assert list(batch.states) == [Q, P, P]
    assert [batch.profiles[index] for index in batch.profile_of] == [Profile(), Profile(), wide]
    assert list(batch.dependency_starts) == [0, 0, 1, 3]
    assert list(batch.dependency_targets) == [1, 1, 2]
    assert batch.with_results == {2}
    assert list(batch.sizes) == [len(execution) for execution in made.submission().executions]
    assert list(batch.attempts) == list(batch.failures) == list(batch.deaths) == [0, 0, 0]


def test_what_moved_since_stands_over_what_was_accepted(database: Database) -> None:
    push(database, {"a": [], "b": ["a"]})
    row = moved(1, R, attempt=2)
    row.failures, row.deaths, row.cancelling = 3, 4, True
    database.commit(Changes(tasks={1: row}), 2.0)
    (batch,) = database.load().batches
    assert list(batch.states) == [R, P]
    assert (batch.attempts[0], batch.failures[0], batch.deaths[0]) == (2, 3, 4)
    assert batch.cancelling == {1}
    database.commit(Changes(tasks={1: moved(1, S, attempt=2)}), 3.0)
    (batch,) = database.load().batches
    assert list(batch.states) == [S, P] and not batch.cancelling


def test_a_push_and_its_first_moves_may_be_of_one_turn(database: Database) -> None:
    from tests.worlds.database import Push

    accepted = Push({"a": [], "b": ["a"]}).accepted()
    database.commit(Changes(accepted=[accepted], tasks={1: moved(1, C)}, batches={1: accepted.batch}), 1.0)
    (batch,) = database.load().batches
    assert list(batch.states) == [C, P]


def test_every_field_of_an_attempt_comes_back(database: Database) -> None:
    push(database, {"a": []})
    full = attempt(
        1,
        phase="collecting",
        reason="why",
        fault="task",
        exit_code=-9,
        command="echo 'quoted' \"twice\" \\ % ; --",
        commands=b'[{"a":1}]',
        inputs=bytes(range(256)),
        manifest=b"\0\xff'\"\\%",
        figures=b"{}",
        stdout_tail="line\nzwei\t\x1b[31m",
        stderr_tail="\0 null, ünïcode, 🚰",
        seconds=1.25,
        abandoning="lost",
        began_at=8.5,
        ended_at=9.75,
    )
    database.commit(Changes(attempts={(1, 1): full}), 2.0)
    assert database.load().attempts == [full]
    full.ended = "failed"
    database.commit(Changes(attempts={(1, 1): full}), 3.0)
    assert database.load().attempts == []


def test_only_live_attempts_of_unfinished_batches_are_loaded_with_those_of_inits(database: Database) -> None:
    push(database, {"a": [], "b": []}, inits=[InitSpec(id="setup", execution=b"{}", requirements=b"")])
    live = {(1, 2): attempt(1, 2), (3, 1): attempt(3, 1)}
    ended = {(1, 1): attempt(1, 1, ended="lost"), (2, 1): attempt(2, 1, ended="succeeded")}
    database.commit(Changes(attempts=ended | live), 2.0)
    loaded = database.load()
    assert loaded.attempts == [live[1, 2], live[3, 1]]
    assert loaded.next_task == 4
    (init,) = loaded.batches[0].inits
    assert (init.number, init.position, init.spec.id, init.attempt) == (3, 0, "setup", 0)
    init.attempt = 1
    database.commit(Changes(inits={3: init}), 3.0)
    assert database.load().batches[0].inits[0].attempt == 1


def test_a_finished_batch_is_not_loaded_until_it_is_asked_for(database: Database) -> None:
    made = push(database, {"a": []})
    row = made.accepted().batch
    row.finished_at, row.counts, row.paused = 9.0, [0, 0, 0, 1, 0, 0, 0], "by an operator"
    row.paused_kind = "operator"
    database.commit(Changes(batches={1: row}, tasks={1: moved(1, S)}), 2.0)
    assert database.load().batches == []
    batches, outside, crossing = database.load_batches([1])
    assert [batch.row for batch in batches] == [row]
    assert (outside, crossing) == ({}, [])
    row.finished_at = 0.0
    database.commit(Changes(batches={1: row}, tasks={1: moved(1, Q)}), 3.0)
    assert [batch.row for batch in database.load().batches] == [row]


def test_edges_between_batches_are_known_from_both_ends(database: Database) -> None:
    push(database, {"a": [], "b": ["a"]})
    push(database, {"c": [1, 2], "d": ["c", 2]}, first=3, batch=2)
    database.commit(Changes(tasks={1: moved(1, S)}), 2.0)
    edges = [(1, 3), (2, 3), (2, 4)]
    loaded = database.load()
    assert (loaded.outside, loaded.crossing) == ({}, edges)
    (second,), outside, crossing = database.load_batches([2])
    assert (outside, crossing) == ({1: S, 2: P}, edges)
    assert list(second.dependency_targets) == [1, 2, 3, 2]
    _, outside, crossing = database.load_batches([1])
    assert (outside, crossing) == ({3: P, 4: P}, edges)


def test_a_kept_task_is_not_written_again(database: Database) -> None:
    push(database, {"a": []}, results=[("a.out", "a")])
    database.commit(Changes(tasks={1: moved(1, S)}), 2.0)
    again = push(database, {"a": [], "b": ["a"]}, first=2, batch=2, kept={"a": 1}, results=[("a.out", "a")])
    loaded = database.load()
    second = loaded.batches[1]
    assert (second.row.first, second.row.count) == (2, 1)
    assert second.row.attached == again.accepted().batch.attached != b""
    assert list(second.dependency_targets) == [1]
    assert loaded.crossing == [(1, 2)]
    assert database.lookups.states([1, 2]) == {1: S, 2: P}


def test_an_empty_push_is_a_batch_of_no_tasks(database: Database) -> None:
    push(database, {})
    (batch,) = database.load().batches
    assert (batch.row.count, len(batch.states), list(batch.dependency_starts)) == (0, 0, [0])


def test_workers_and_instances_come_back_while_they_are_there(database: Database) -> None:
    here, gone = worker(quarantined="bad disk", quarantined_kind="failures", draining=True), worker("worker-2", "gone")
    here.keep_alive = True
    running = InstanceRow(1, "worker-1", "local", "local", "running", "123 456", "", 1.0, 2.0)
    ended = InstanceRow(2, "worker-2", "local", "local", "gone", "", "ended", 1.0, 2.0)
    changes = Changes(workers={w.id: w for w in (here, gone)}, instances={1: running, 2: ended})
    database.commit(changes, 1.0)
    loaded = database.load()
    assert loaded.workers == [here] and loaded.instances == [running] and loaded.next_instance == 3
    assert database.reads.workers() == [here, gone]
    assert database.reads.instances() == [running, ended]
    database.commit(Changes(workers={"worker-1": worker(state="gone")}), 2.0)
    assert database.load().workers == []


def test_files_wait_until_they_are_stored(database: Database) -> None:
    long_name = "nets/" + "ü" * 900
    files = [FileRow("nets/Net3.inp", DIGEST, 10, False, 1), FileRow(long_name, DIGEST, 0, True, 1)]
    push(database, {"a": []}, files=files)
    assert sorted(database.load().files, key=lambda file: file.name) == files
    database.commit(Changes(stored=[("nets/Net3.inp", DIGEST)]), 2.0)
    assert database.load().files == [files[1]]


def test_a_version_that_is_sent_again_is_stored_again(database: Database) -> None:
    push(database, {"a": []}, files=[FileRow("f", DIGEST, 1, False, 1)])
    database.commit(Changes(stored=[("f", DIGEST)]), 2.0)
    again = [FileRow("f", DIGEST, 1, False, 2)]
    push(database, {"b": []}, first=2, batch=2, files=again)
    assert database.load().files == again


def test_publish_records_are_kept_until_forgotten(database: Database) -> None:
    database.commit(Changes(records={(1, 1): True, (2, 3): True}), 1.0)
    database.commit(Changes(records={(1, 1): True}), 2.0)
    assert database.load().records == [(1, 1), (2, 3)]
    database.commit(Changes(records={(1, 1): False, (9, 9): False}), 3.0)
    assert database.load().records == [(2, 3)]


def test_a_requirement_gets_the_digest_of_the_published_result(database: Database) -> None:
    wanted = {"b": [Input(name="a.out", path="in"), Input(name="sent", path="s", digest=DIGEST, size=3)]}
    init = InitSpec(id="i", execution=b"{}", requirements=msgspec.json.encode([Input(name="a.out", path="x")]))
    push(database, {"a": [], "b": ["a"]}, results=[("a.out", "a")], requirements=wanted, inits=[init])
    assert database.lookups.requirements([1, 2]) == {1: [], 2: wanted["b"]}
    result = ResultRow("default", "a.out", 1, 1, "b2:" + "cd" * 32, 42)
    database.commit(Changes(results={("default", "a.out"): result}), 2.0)
    bound = database.lookups.requirements([2, 3])
    assert bound[2] == [Input(name="a.out", path="in", digest=result.digest, size=42), wanted["b"][1]]
    assert bound[3][0].digest == result.digest


def test_a_requirement_may_be_executed_if_the_published_result_may(database: Database) -> None:
    wanted = {"b": [Input(name="model", path="model"), Input(name="folder", path="in")]}
    push(database, {"a": [], "b": ["a"]}, results=[("model", "a")], requirements=wanted)
    rows = [ResultRow("default", name, 1, 1, DIGEST, 42, executable=True) for name in ("model", "folder/run")]
    rows.append(ResultRow("default", "folder/data", 1, 1, DIGEST, 42))
    database.commit(Changes(results={("default", row.name): row for row in rows}), 2.0)
    bound = database.lookups.requirements([2])[2]
    assert [(one.path, one.executable) for one in bound] == [("model", True), ("in/data", False), ("in/run", True)]


def test_a_name_that_is_declared_again_keeps_its_version_until_the_new_one(database: Database) -> None:
    push(database, {"a": []}, results=[("out", "a")])
    database.commit(Changes(results={("default", "out"): ResultRow("default", "out", 1, 1, DIGEST, 1)}), 2.0)
    wanted = {"c": [Input(name="out", path="in")]}
    push(database, {"b": [], "c": [1]}, first=2, batch=2, results=[("out", "b")], requirements=wanted)
    assert database.lookups.requirements([3])[3][0].digest == DIGEST
    assert database.lookups.result_names([1, 2]) == {1: [], 2: ["out"]}


@pytest.mark.parametrize("size", [10_000, 1_000_000, 3_000_000])
def test_a_long_command_comes_back(database: Database, size: int) -> None:
    execution = Execution(commands=["echo " + "x'\"\\ü" * (size // 6)])
    push(database, {"long": []}, executions={"long": execution})
    project, id, blob = database.lookups.executions([1])[1]
    assert (project, id) == ("default", "long")
    assert msgspec.json.decode(blob, type=Execution) == execution


def test_executions_of_tasks_and_inits_come_in_one_call(database: Database) -> None:
    epanet = Execution(epanet=EpanetRun(inp="Net3.inp", scenarios=[{"demand": 1.5}]))
    push(database, {"a": []}, executions={"a": epanet}, inits=[InitSpec(id="setup", execution=b'{"commands":["x"]}')])
    found = database.lookups.executions([1, 2, 99])
    assert set(found) == {1, 2}
    assert msgspec.json.decode(found[1][2], type=Execution) == epanet
    assert found[2] == ("default", "setup", b'{"commands":["x"]}')
    assert database.lookups.batches_of([1, 2, 99]) == {1: 1, 2: 1}


def test_the_journal_tells_the_story_of_one_task(database: Database) -> None:
    moves = [
        Move("task", "1", 0, "pending", "queued", "its last dependency succeeded"),
        Move("attempt", "1", 1, "new", "staging", "sent to worker-1"),
        Move("worker", "1", 0, "lost", "online", "said hello"),
        Move("task", "11", 1, "queued", "running", "began"),
    ]
    database.commit(Changes(moves=moves), 1.0)
    database.commit(Changes(moves=[Move("task", "1", 1, "queued", "running", "began")] * 100), 2.0)
    story = database.reads.story(1)
    assert [(line.turn, line.time, line.what, line.after) for line in story[:3]] == [
        (1, 1.0, "task", "queued"),
        (1, 1.0, "attempt", "staging"),
        (2, 2.0, "task", "running"),
    ]
    assert len(story) == 102 and database.reads.story(2) == []
    assert database.prune_events(before=1.5) == 1
    assert len(database.reads.story(1)) == 100


def test_what_a_worker_words_oddly_is_written_as_near_as_can_be(database: Database) -> None:
    push(database, {"a": []})
    odd = attempt(1, reason="\ud800 half a pair", exit_code=2**70, incarnation="i" * 5000, seconds=float("inf"))
    database.commit(Changes(attempts={(1, 1): odd, (1, 2): attempt(1, 2)}), 2.0)
    first, second = database.load().attempts
    assert first.reason == "? half a pair" and first.exit_code == 2**63 - 1 and len(first.incarnation) == 5000
    assert second == attempt(1, 2)


def test_an_attempt_is_shown_to_users_with_all_its_parts(database: Database) -> None:
    push(database, {"a": [], "b": ["a"]}, requirements={"b": [Input(name="a.out", path="in")]})
    summary, entry = (
        CommandSummary(command="false", exit_code=1, seconds=0.5),
        ManifestEntry(source="o", target="t", size=1, digest=DIGEST),
    )
    ended = attempt(
        2,
        ended="failed",
        exit_code=1,
        command="false",
        commands=msgspec.json.encode([summary]),
        manifest=msgspec.json.encode([entry]),
        figures=b'{"ok":3}',
        stderr_tail="no such file",
    )
    changes = Changes(
        attempts={(2, 1): ended}, tasks={2: moved(2, F, 1, "exit code 1")}, workers={"worker-1": worker()}
    )
    database.commit(changes, 2.0)
    detail = database.reads.task_detail(2)
    assert detail is not None
    assert (detail.task.id, detail.task.state, detail.task.reason) == ("b", "failed", "exit code 1")
    assert detail.execution == Execution(commands=["echo b"])
    assert detail.dependencies == ["a"]
    assert detail.attempts == [ended]
    assert database.reads.task_detail(99) is None
