"""The journal on real databases: what is written is read again, by task, by turn and by time, and pruned by age."""

from __future__ import annotations

from boss.core.rows import Changes, Move
from boss.database import Database


def moved(task: int, after: str, attempt: int = 1) -> Move:
    return Move("task", str(task), attempt, "queued", after, f"because of {after}")


def turn(database: Database, time: float, *moves: Move) -> None:
    database.commit(Changes(moves=list(moves)), time)


def fill(database: Database, turns: int, moves: int = 3) -> None:
    """Turn t (from 1) is at time 100 + t and moves tasks 10 t + 1, 10 t + 2 ..."""
    for number in range(1, turns + 1):
        turn(database, 100.0 + number, *(moved(10 * number + one, "running") for one in range(1, moves + 1)))


def test_the_journal_is_read_from_its_start_page_by_page(database: Database) -> None:
    fill(database, 10)
    seen, after = [], 0
    while True:
        page = database.reads.events(after=after, limit=4)
        seen += [(line.turn, line.key) for line in page.lines]
        after = page.turn
        if not page.more:
            break
        assert len(page.lines) == 6  # whole turns
    assert seen == [(t, str(10 * t + one)) for t in range(1, 11) for one in (1, 2, 3)]
    assert database.reads.events(after=after).lines == []


def test_more_rows_than_are_fetched_at_once_are_all_returned(database: Database) -> None:
    fill(database, 210, moves=1)
    assert len(database.reads.events(limit=10_000).lines) == 210
    assert len(database.reads.last_events(205).lines) == 205
    assert [line.key for line in database.reads.last_events(10_000, task=31).lines] == ["31"]


def test_what_comes_after_a_turn_is_reported_once_it_is_there(database: Database) -> None:
    fill(database, 2)
    page = database.reads.last_events(1)
    assert ([line.key for line in page.lines], page.turn) == (["23"], 2)
    assert database.reads.events(after=page.turn).lines == []
    turn(database, 103.0, Move("worker", "local-1", 0, "online", "lost", "silent for 30 s"))
    later = database.reads.events(after=page.turn)
    assert [(line.what, line.key, line.before, line.after, line.cause) for line in later.lines] == [
        ("worker", "local-1", "online", "lost", "silent for 30 s")
    ]


def test_one_task_is_shown_without_its_neighbours(database: Database) -> None:
    turn(database, 1.0, moved(1, "running"), moved(2, "running"), moved(9, "running"))
    turn(database, 2.0, Move("attempt", "2", 1, "executing", "succeeded", ""), Move("worker", "2", 0, "a", "b", "c"))
    turn(database, 3.0, moved(2, "succeeded"))
    for lines in (
        database.reads.events(task=2).lines,
        database.reads.last_events(100, task=2).lines,
        database.reads.story(2),
    ):
        assert [(line.turn, line.what, line.after) for line in lines] == [
            (1, "task", "running"),
            (2, "attempt", "succeeded"),
            (3, "task", "succeeded"),
        ]


def test_the_journal_is_read_from_a_time_on(database: Database) -> None:
    fill(database, 10)
    assert {line.turn for line in database.reads.events(since=108.0).lines} == {8, 9, 10}
    assert database.reads.events(since=200.0).lines == []


def test_old_turns_are_pruned_a_bounded_number_at_a_time(database: Database) -> None:
    fill(database, 10)
    assert database.prune_events(before=108.5, limit=5) == 5
    assert {line.turn for line in database.reads.events().lines} == set(range(6, 11))
    assert database.prune_events(before=108.5, limit=5) == 3
    assert database.prune_events(before=108.5, limit=5) == 0
    assert {line.turn for line in database.reads.events().lines} == {9, 10}
    turn(database, 120.0, moved(1, "running"))
    assert database.reads.last_events(1).lines[0].turn == database.turn


def test_an_empty_journal_has_no_end_and_no_beginning(database: Database) -> None:
    assert (database.reads.last_events(5).lines, database.reads.last_events(5).turn) == ([], 0)
    assert database.reads.events().lines == [] and database.reads.story(1) == []
    assert database.prune_events(before=1e12) == 0
