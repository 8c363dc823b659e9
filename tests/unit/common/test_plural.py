"""Counts in sentences."""

from __future__ import annotations

from boss.common.plural import plural


def test_a_count_agrees_with_its_word() -> None:
    assert [plural(count, "task") for count in (0, 1, 1000)] == ["0 tasks", "1 task", "1,000 tasks"]
    assert [plural(count, "retry", "retries") for count in (1, 2)] == ["1 retry", "2 retries"]
