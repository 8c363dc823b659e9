"""Which process a pid means."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from boss.common.processes import exited, start_time


def test_a_process_is_known_by_when_it_started() -> None:
    started = start_time(os.getpid())
    assert started is not None and started > 0
    assert start_time(2**22 + 1) is None


def test_a_name_with_blanks_and_parentheses_does_not_shift_the_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    after = b"S 1 " + b"0 " * 17 + b"4711 0"
    monkeypatch.setattr(Path, "read_bytes", lambda _: b"7 (a ) S b) " + after)
    assert start_time(7) == 4711
    monkeypatch.setattr(Path, "read_bytes", lambda _: b"7 (a) " + after.replace(b"S", b"Z"))
    assert start_time(7) is None


def test_the_end_of_a_process_is_seen() -> None:
    pidfd = os.pidfd_open(os.getpid())
    try:
        assert not exited(pidfd, 0.0) and not exited(pidfd, -1.0)
    finally:
        os.close(pidfd)
