"""What the runner passes on of an EPANET helper's last word."""

from __future__ import annotations

import math

import msgspec
import pytest

from wire.messages import Outcome
from worker.runner.epanet import sent_figures


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e301, 10**400, None, "7", [1]])
def test_a_figure_that_no_report_could_hold_is_left_out_of_it(value: object) -> None:
    assert sent_figures({"ok": 3, "odd": value}) == {"ok": 3.0}


@pytest.mark.parametrize("value", [0, -1.5, 1e300, -1e300])
def test_every_other_figure_comes_back_as_it_was(value: float) -> None:
    sent = msgspec.json.encode(Outcome(task=1, attempt=1, ended="succeeded", figures=sent_figures({"x": value})))
    assert msgspec.json.decode(sent, type=Outcome).figures == {"x": value}
