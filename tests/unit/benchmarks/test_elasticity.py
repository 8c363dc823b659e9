"""The evaluation of the scaling policy: its machinery, and what it shows of one small study (no clock is involved)."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from benchmarks import elasticity
from benchmarks.elastic.cloud import Site, play
from benchmarks.elastic.policies import OURS, RIVALS, all_at_once, ours
from benchmarks.elastic.studies import STUDIES, Study, chain


def test_every_study_has_its_tasks_after_what_they_need() -> None:
    for make in STUDIES:
        study = make(random.Random(1))
        assert all(need < task for task, needs in enumerate(study.needs) for need in needs)
        assert study.seconds == make(random.Random(1)).seconds


def test_no_policy_is_below_the_bounds_and_every_task_runs() -> None:
    study, site = chain(random.Random(1)), Site()
    makespan, hours = elasticity.bounds(study, site)
    for policy in (*list(OURS.values())[::5], *RIVALS.values()):
        outcome = play(study, policy, site, seed=1)
        assert outcome.makespan >= makespan * 0.999
        assert outcome.worker_seconds / 3600 >= hours * 0.999


def test_a_worker_costs_from_its_request_on() -> None:
    study = Study("one")
    study.add(100.0)
    outcome = play(study, all_at_once, Site(slots=1, max_workers=1, boot=60.0, spread=0.0), seed=1)
    assert outcome.makespan == 160.0
    assert 160.0 <= outcome.worker_seconds <= 170.0


def test_the_first_worker_of_a_cheap_policy_is_the_only_one() -> None:
    study = Study("few")
    for _ in range(8):
        study.add(10.0)
    assert play(study, ours(1.0), Site(), seed=1).started == 1


def test_a_waist_bounds_the_makespan_by_the_work_on_both_sides_of_it() -> None:
    study = Study("waist")
    first = tuple(study.add(100.0) for _ in range(20))
    middle = study.add(50.0, first)
    for _ in range(20):
        study.add(100.0, (middle,))
    site = Site(slots=1, max_workers=10, boot=60.0, spread=0.0)
    assert elasticity.bounds(study, site)[0] == 60.0 + 200.0 + 50.0 + 200.0
    assert play(study, all_at_once, site, seed=1).makespan == 510.0


@pytest.mark.timeout(600)  # some seconds of computing, which a loaded machine may give late
def test_no_policy_is_better_on_both_measures_in_a_chain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = tmp_path / "rows.json"
    assert (
        elasticity.main(["--study", "chain with side work", "--seeds", "1", "--processes", "1", "--json", str(written)])
        == 0
    )
    said = capsys.readouterr().out
    assert "better on both measures: none" in said
    assert "within 1.1 x the least makespan: ours" in said
    assert len(json.loads(written.read_text())) == len(OURS) + len(RIVALS)
