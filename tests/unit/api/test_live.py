"""The reasons in a running boss's view: of its parts, of its state, and of a database that is away."""

from __future__ import annotations

from boss.core.policy import Policy
from boss.core.scheduler import Scheduler
from boss.core.waits import BossWarning, WaitKind
from tests.worlds.state_view import StateView


def test_a_view_shows_what_parts_warn_of_and_what_of_the_state_lasts() -> None:
    warning = BossWarning("broker", "the broker cannot be started again: no such program")
    shown = StateView(warnings=lambda: [warning], datastore_host="store.example")
    state = Scheduler(Policy()).state
    assert [reason.text for reason in shown.of(state).reasons] == [warning.text]
    kinds = [reason.kind for reason in shown.lasting(state)]
    assert kinds == [WaitKind.WARNING, WaitKind.NO_BROKER, WaitKind.NO_DATASTORE]
    assert "on store.example has not said hello" in shown.of(state).reasons[-1].text


def test_a_database_that_is_away_stands_first() -> None:
    shown = StateView()
    state = Scheduler(Policy()).state
    shown.lasting(state)
    shown.inbox.database_error = "the database is away: no answer"
    first, *others = shown.of(state).reasons
    assert (first.kind, first.about, first.text) == (WaitKind.WARNING, "database", "the database is away: no answer")
    assert [reason.kind for reason in others] == [WaitKind.NO_BROKER, WaitKind.NO_DATASTORE]
