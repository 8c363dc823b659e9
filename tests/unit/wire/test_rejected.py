"""Lines about what was rejected: one at once, then one a minute with all that came meanwhile."""

from __future__ import annotations

import logging
from collections import Counter

import pytest

from wire.rejected import PAUSE_SECONDS, RejectionLog


def test_a_flood_is_one_line_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log, counts = RejectionLog(logging.getLogger("test"), "orders"), Counter[str]()
    for second in range(3 * int(PAUSE_SECONDS)):
        counts["not_newer"] += 1000
        log.observe(counts, float(second))
    assert caplog.messages == [
        "orders not acted upon: 1000 not_newer",
        "orders not acted upon: 60000 not_newer",
        "orders not acted upon: 60000 not_newer",
    ]


def test_what_came_within_the_pause_is_logged_after_it_by_reason(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log, counts = RejectionLog(logging.getLogger("test"), "orders"), Counter[str]()
    log.observe(counts, 0.0)
    counts["not_newer"] += 1
    log.observe(counts, 1.0)
    counts["other_deployment"] += 2
    log.observe(counts, 2.0)
    log.observe(counts, 1.0 + PAUSE_SECONDS)
    log.observe(counts, 1000.0)
    assert caplog.messages == ["orders not acted upon: 1 not_newer", "orders not acted upon: 2 other_deployment"]
