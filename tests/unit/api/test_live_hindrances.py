"""The sentences of a running boss about what does not go on."""

from __future__ import annotations

import pytest

from boss.core.policy import Policy
from boss.core.scheduler import Scheduler
from tests.worlds.state_view import StateView


@pytest.mark.parametrize(
    ("host", "words"), [("", "its program has not"), ("store.example", "on store.example has not")]
)
def test_a_datastore_that_has_not_come_is_named_with_its_host(host: str, words: str) -> None:
    told = StateView(datastore_host=host).lasting(Scheduler(Policy()).state)
    (sentence,) = [each for each in told if each.startswith("no datastore yet: its program")]
    assert words in sentence


def test_a_reason_whose_numbers_change_is_shown_once_it_has_lasted() -> None:
    shown, state = StateView(), Scheduler(Policy()).state
    for now in range(7):
        state.now = float(now)
        state.datastore.hindrance = f"{now} bytes are free"
        told = [sentence for sentence in shown.of(state).hindrances if "free" in sentence]
        assert told == ([] if now < 5 else [f"datastore: {now} bytes are free"])
    state.datastore.hindrance = ""
    assert not [sentence for sentence in shown.of(state).hindrances if "free" in sentence]
