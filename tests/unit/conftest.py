"""The fixture of the scheduler's tests: a world that is checked, and found without unread effects, at the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.worlds.scheduler import World


@pytest.fixture
def world() -> Iterator[World]:
    """With the default policy, a broker and a datastore."""
    made = World()
    yield made
    made.close()
