"""What a boss shows of a state that a test moves: a LiveBackend whose loop is the test."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast
from unittest import mock

from boss.api import live
from boss.api.backend import View
from boss.api.followers import Followers
from boss.api.live import LiveBackend
from boss.core.state import State
from boss.inbox import Inbox
from boss.status import LASTS_SECONDS, StatusReason
from tests.worlds.api import FakeLookups, FakeReads
from tests.worlds.waiting import scaled


class StateView:
    """`options`: of LiveBackend. Its view is made in the test's own thread, as the loop would make it."""

    def __init__(self, **options: Any) -> None:
        reads = FakeReads()
        self.inbox = Inbox()
        lookups = FakeLookups(reads)
        self.backend = LiveBackend(self.inbox, reads, lookups, Path("spool"), Followers(), **options)  # type: ignore[arg-type]

    def of(self, state: State) -> View:
        """A new one, however young the last one is."""
        timing = mock.patch.multiple(live, FRESH_SECONDS=-1.0, VIEW_SECONDS=scaled(60))
        with timing, ThreadPoolExecutor(1) as another:
            asked = another.submit(self.backend.view)
            make = cast(Callable[[State], None], self.inbox.take(None))
            make(state)
            return asked.result()

    def lasting(self, state: State) -> tuple[StatusReason, ...]:
        """What still keeps work from going on after the time for which passing reasons are not shown."""
        self.of(state)
        state.now += LASTS_SECONDS
        return self.of(state).reasons
