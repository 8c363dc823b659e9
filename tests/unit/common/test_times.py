"""Moments as users read and write them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from boss.common.times import format_clock, format_moment, format_utc, parse_moment

NOON = 1_795_262_400.0  # 2026-11-21 12:00 UTC


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Etc/GMT-5")  # which is five hours ahead
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("zone")
def test_a_moment_is_shown_in_the_zone_of_this_machine_or_in_none() -> None:
    assert format_moment(NOON + 0.9) == "2026-11-21 17:00:00"
    assert format_clock(NOON) == "17:00:00"
    assert format_utc(NOON) == "2026-11-21 12:00:00 UTC"
    assert parse_moment(format_moment(NOON), 0.0) == NOON


@pytest.mark.parametrize(
    ("words", "ago"), [("90s", 90), ("10m", 600), (" 2 h ", 7200), ("1.5d", 129_600), ("0s", 0), ("3m", 180)]
)
def test_a_time_may_be_so_long_ago(words: str, ago: float) -> None:
    assert parse_moment(words, 1e9) == 1e9 - ago


def test_a_time_may_be_a_date() -> None:
    assert parse_moment("2026-11-21 04:00:00+00:00", 0.0) == 1_795_233_600.0
    local = time.mktime((2026, 11, 21, 0, 0, 0, 0, 0, -1))
    assert parse_moment("2026-11-21", 0.0) == local


@pytest.mark.parametrize("words", ["", "10", "ten minutes", "-5m", "2026-13-01", "9" * 400])
def test_what_is_no_time_is_reported_with_what_would_be_one(words: str) -> None:
    with pytest.raises(ValueError, match="write how long ago"):
        parse_moment(words, 1e9)
