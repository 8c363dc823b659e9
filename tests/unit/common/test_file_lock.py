"""A lock has one holder, until the descriptor is closed."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from boss.common.file_lock import locked, take_lock


def test_a_lock_has_one_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    descriptor = take_lock(path)
    assert not os.get_inheritable(descriptor)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(BlockingIOError):
        take_lock(path)
    with pytest.raises(BlockingIOError), locked(path):
        pass
    assert len(os.listdir("/proc/self/fd")) == before, "a refused one leaves no descriptor"
    os.close(descriptor)
    with locked(path), pytest.raises(BlockingIOError):
        take_lock(path)
    os.close(take_lock(path))


def test_who_waits_gets_it_when_it_is_free(tmp_path: Path) -> None:
    first = take_lock(tmp_path / "lock")
    got: list[int] = []
    waits = threading.Thread(target=lambda: got.append(take_lock(tmp_path / "lock", wait=True)))
    waits.start()
    assert not got
    os.close(first)
    waits.join()
    os.close(*got)
