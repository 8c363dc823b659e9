"""What the boss does for its database now and then, and what it says while that is away."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from boss.api.backend import BackendUnavailableError
from boss.api.followers import Followers
from boss.api.live import LiveBackend
from boss.core.effects import Answer
from boss.core.events import PauseAsked
from boss.core.policy import Policy
from boss.core.rows import Changes, Loaded
from boss.core.scheduler import Scheduler
from boss.core.store import DatabaseAwayError
from boss.database import DatabaseFullError, DatabaseUnavailableError, SupersededError
from boss.database.upkeep import ALIVE_SECONDS, PRUNE_SECONDS, STEP_SECONDS, STEP_TURNS
from boss.database.upkeep import Upkeep as DatabaseUpkeep
from boss.inbox import WITHDRAWN, Inbox
from boss.loop import Loop, Upkeep
from tests.worlds.waiting import scaled, wait_for

DAY = 86_400.0


class FakeDatabase:
    """A journal of so many old turns."""

    def __init__(self, old: int = 0) -> None:
        self.old = old
        self.words = 0
        self.before: list[float] = []
        self.error: Exception | None = None
        self.prune_error: Exception | None = None

    def keep_alive(self) -> None:
        if self.error is not None:
            raise self.error
        self.words += 1

    def prune_events(self, before: float, limit: int) -> int:
        if self.prune_error is not None:
            raise self.prune_error
        self.before.append(before)
        pruned = min(self.old, limit)
        self.old -= pruned
        return pruned


def upkeep(database: FakeDatabase, days: float = 30.0) -> DatabaseUpkeep:
    return DatabaseUpkeep(database, days)  # type: ignore[arg-type]


def test_old_journal_goes_in_steps_and_then_not_for_an_hour() -> None:
    database = FakeDatabase(old=STEP_TURNS + 5)
    keep = upkeep(database)
    assert keep(10.0, 100 * DAY) == STEP_SECONDS
    assert keep(11.0, 100 * DAY) == ALIVE_SECONDS
    assert (database.old, database.before) == (0, [70 * DAY, 70 * DAY])
    assert keep(11.0 + PRUNE_SECONDS - 1, 100 * DAY) == ALIVE_SECONDS and len(database.before) == 2
    keep(11.0 + PRUNE_SECONDS, 101 * DAY)
    assert database.before[2] == 71 * DAY
    assert database.words == 4


def test_a_journal_that_is_kept_for_ever_is_not_pruned() -> None:
    database = FakeDatabase(old=5)
    assert upkeep(database, 0.0)(1.0, DAY) == ALIVE_SECONDS
    assert (database.old, database.words) == (5, 1)


def test_a_database_that_is_away_is_reported_and_a_full_disk_only_puts_pruning_off() -> None:
    database = FakeDatabase(old=5)
    database.error = DatabaseUnavailableError("gone")
    with pytest.raises(DatabaseAwayError, match="gone"):
        upkeep(database)(1.0, DAY)
    database.error, database.prune_error = None, DatabaseFullError("no room")
    assert upkeep(database)(1.0, DAY) == ALIVE_SECONDS


def test_a_database_of_another_boss_ends_this_one() -> None:
    database = FakeDatabase()
    database.error = SupersededError("taken over")
    with pytest.raises(SupersededError):
        upkeep(database)(1.0, DAY)


# --- in the loop -------------------------------------------------------------------------------------


class Store:
    """An empty database, away when the test says so."""

    away = False

    def load(self) -> Loaded:
        return Loaded("d", 1, 1, 1, 1, [], [], [], [], [], [], {}, [])

    def executions(self, numbers: object) -> dict[int, object]:
        return {}

    requirements = result_names = executions

    def commit(self, changes: Changes, wall: float, **more: object) -> None:
        self._look()

    def batches_for(self, *arguments: object) -> tuple[list[object], dict[int, int], list[tuple[int, int]]]:
        self._look()
        return [], {}, []

    def _look(self) -> None:
        if self.away:
            raise DatabaseAwayError("no answer from the server")


class Running:
    """A loop in its thread with a backend before it."""

    def __init__(self, directory: Path, keep: Upkeep | None = None) -> None:
        self.inbox = Inbox()
        self.store = Store()
        self.backend = LiveBackend(self.inbox, None, None, directory, Followers())  # type: ignore[arg-type]
        self.loop = Loop(self.inbox, Scheduler(Policy()), self.store, {Answer: self.backend.answer}, keep)  # type: ignore[arg-type]
        self.loop.start()
        self.failed: list[BaseException] = []
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.loop.run()
        except SupersededError as error:
            self.failed.append(error)

    def end(self) -> None:
        self.store.away = False
        self.inbox.stop()
        self.inbox.stop()
        self.thread.join(scaled(30))
        assert not self.thread.is_alive()


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Running:
    monkeypatch.setattr("boss.api.live.AWAY_SECONDS", 0.05)
    monkeypatch.setattr("boss.loop.DATABASE_PAUSE_SECONDS", 0.05)
    return Running(tmp_path)


def test_who_asks_while_the_database_is_away_learns_so_and_what_was_asked_is_not_done(running: Running) -> None:
    try:
        running.store.away = True
        asked = PauseAsked(batch=7, reason="later")
        with pytest.raises(BackendUnavailableError, match=r"database is away: no answer.*not done twice"):
            running.backend.ask(asked)
        assert asked.reply == WITHDRAWN and running.inbox.database_error
        with pytest.raises(BackendUnavailableError, match="retries every second"):
            running.backend.ask(PauseAsked(batch=7, reason="later"))
        running.store.away = False
        wait_for(lambda: not running.inbox.database_error, "the loop goes on")
        answer = running.backend.ask(PauseAsked(batch=7, reason="later"))
        assert answer.value or answer.rejections
    finally:
        running.end()


def test_an_idle_boss_that_was_superseded_ends_automatically(tmp_path: Path) -> None:
    def keep(now: float, wall: float) -> float:
        raise SupersededError("taken over by the boss on other, process 7")

    running = Running(tmp_path, keep)
    running.thread.join(scaled(30))
    assert [str(error) for error in running.failed] == ["taken over by the boss on other, process 7"]


def test_a_database_that_goes_away_while_nothing_happens_is_noticed(tmp_path: Path) -> None:
    answers: list[Exception | None] = [
        None,
        None,
        None,
        DatabaseAwayError("it sleeps"),
        DatabaseAwayError("it sleeps"),
        None,
    ]
    seen: list[str] = []
    made: list[Running] = []

    def keep(now: float, wall: float) -> float:
        seen.extend(running.inbox.database_error for running in made)
        error = answers.pop(0) if answers else None
        if error is not None:
            raise error
        return 0.01

    running = Running(tmp_path, keep)
    made.append(running)
    try:
        wait_for(lambda: not answers and len(seen) > 8, "it was tried several times")
        assert any("it sleeps" in error for error in seen) and not running.inbox.database_error
    finally:
        running.end()
