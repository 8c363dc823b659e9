"""The sentences of a running boss about what does not go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from boss.api.followers import Followers
from boss.api.live import LiveBackend
from boss.core.policy import Policy
from boss.core.scheduler import Scheduler
from boss.inbox import Inbox


@pytest.mark.parametrize(
    ("host", "words"), [("", "its program has not"), ("store.example", "on store.example has not")]
)
def test_a_datastore_that_has_not_come_is_named_with_its_host(host: str, words: str) -> None:
    nothing = cast(Any, None)
    backend = LiveBackend(Inbox(), nothing, nothing, Path("spool"), Followers(), datastore_host=host)
    sentence = backend._passing(Scheduler(Policy()).state)["datastore"]
    assert sentence.startswith("no datastore yet: its program") and words in sentence
