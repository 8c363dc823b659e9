"""Pools and instances over HTTP: what is shown, what becomes an event, what is refused and with which names."""

from __future__ import annotations

from pathlib import Path

import httpx
import msgspec
import pytest

from boss.api.schema import InstanceAnswer, PlanAnswer, PoolAnswer
from boss.cli.format_workers import pool_lines
from boss.core.effects import Answer
from boss.core.events import DropWorkersAsked, InstancesAsked, TerminateAsked
from boss.core.reasons import Rejection, RejectionKind
from tests.worlds.api import FakeBackend, inside, pool_answer

CLOUD = pool_answer(
    name="cloud",
    provider="opennebula",
    max=20,
    grows=True,
    instances={"booting": 1, "running": 2},
    boot_seconds=41.0,
    boots_measured=7,
    plan=PlanAnswer(
        reason="3 more end the work in 90 s instead of 200 s",
        why_not_more="the pool cannot grow at present",
        why_not_more_kind="cannot_grow",
        numbers={"runnable_slots": 40.0, "workers": 3.0, "end_seconds": None},
        decided_at=1.7e9,
    ),
    failures=2,
    failed="quota",
    full="quota of VMs is used up",
    retry_at=1.7e9 + 60,
    hours_spent=2.0,
    hours_left=1.0,
    more=0,
    limited_by="quota",
)
MACHINES = (
    InstanceAnswer(
        number=4, worker="cloud-4", pool="cloud", provider="opennebula", state="booting", address="10.0.0.4"
    ),
    InstanceAnswer(number=1, worker="local-1", pool="local", provider="local", state="running", reference="77 1"),
)


@pytest.fixture
def backend(tmp_path: Path) -> FakeBackend:
    made = FakeBackend(tmp_path)
    local = pool_answer(
        name="local", provider="local", min=1, max=1, plan=PlanAnswer(reason="the settings keep it at 1")
    )
    made.now = msgspec.structs.replace(made.now, pools=(local, CLOUD), instances=MACHINES)
    return made


@pytest.fixture
def client(backend: FakeBackend) -> httpx.Client:
    return inside(backend)


def test_a_pool_is_shown_with_its_plan_its_warning_and_what_it_cost(client: httpx.Client) -> None:
    local, cloud = client.get("/pools").json()["pools"]
    assert (local["grows"], local["min"], local["hours_left"]) == (False, 1, None)
    assert cloud["instances"] == {"booting": 1, "running": 2} and cloud["max"] == 20
    assert cloud["plan"]["why_not_more"] == "the pool cannot grow at present"
    assert cloud["plan"]["why_not_more_kind"] == "cannot_grow" and cloud["plan"]["why_not_fewer_kind"] == ""
    assert cloud["plan"]["reason"].startswith("3 more end the work") and cloud["plan"]["numbers"] == {
        "runnable_slots": 40,
        "workers": 3,
        "end_seconds": None,
    }
    assert (cloud["full"], cloud["retry_at"], cloud["more"]) == ("quota of VMs is used up", 1.7e9 + 60, 0)
    assert (cloud["hours_spent"], cloud["hours_left"]) == (2.0, 1.0)


def test_instances_are_listed_of_all_pools_or_of_one(client: httpx.Client) -> None:
    assert [each["worker"] for each in client.get("/instances").json()["instances"]] == ["cloud-4", "local-1"]
    (only,) = client.get("/instances", params={"pool": "local"}).json()["instances"]
    assert only["reference"] == "77 1"
    unknown = client.get("/instances", params={"pool": "cluod"})
    assert unknown.status_code == 404
    assert unknown.json()["error"] == "there is no pool 'cluod'; did you mean 'cloud'? (there are: cloud, local)"


def test_what_has_no_worker_yet_is_listed_beside_the_workers(client: httpx.Client) -> None:
    listed = client.get("/workers").json()
    assert [worker["id"] for worker in listed["workers"]] == ["local-1"]
    (coming,) = listed["without_worker"]
    assert (coming["id"], coming["state"], coming["address"]) == ("cloud-4", "booting", "10.0.0.4")


def test_asking_for_workers_becomes_one_event(backend: FakeBackend, client: httpx.Client) -> None:
    backend.says = Answer(reply=0, value={"pool": "cloud", "workers": ["cloud-5"], "notes": ["1 do not fit"]})
    answer = client.post("/workers/start", json={"count": 2, "pool": "cloud", "keep_alive": True})
    assert answer.json() == {"pool": "cloud", "workers": ["cloud-5"], "notes": ["1 do not fit"]}
    assert backend.asked == [InstancesAsked(pool="cloud", count=2, keep_alive=True)]


def test_ending_and_dropping_become_events(backend: FakeBackend, client: httpx.Client) -> None:
    backend.says = Answer(reply=0, value={"ended": ["cloud-4"], "draining": [], "notes": []})
    assert client.post("/workers/terminate", json={"workers": ["cloud-4"], "now": True}).json()["ended"] == ["cloud-4"]
    client.post("/workers/terminate", json={"all": True})
    backend.says = Answer(reply=0, value={"dropped": ["local-1"], "notes": ["it lives on"]})
    assert client.post("/workers/drop", json={"workers": ["local-1"]}).json()["notes"] == ["it lives on"]
    assert backend.asked == [
        TerminateAsked(workers=["cloud-4"], now=True),
        TerminateAsked(),
        DropWorkersAsked(workers=["local-1"]),
    ]


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("start", {"count": 0}, 400, "a number from 1 to 10,000"),
        ("start", {"pool": "moon"}, 404, "there is no pool 'moon' (there are: cloud, local)"),
        ("terminate", {}, 400, "name workers and pools, or give all"),
        ("terminate", {"all": True, "pools": ["cloud"]}, 400, "not both"),
        ("terminate", {"workers": ["cloud-9"]}, 404, "did you mean 'cloud-4'? (there are: cloud-4, local-1)"),
        ("terminate", {"pools": ["moon"]}, 404, "there is no pool 'moon'"),
        ("terminate", {"workers": ["lab"]}, 409, "the boss did not start worker 'lab'"),
        ("drop", {"workers": ["x", "y"]}, 404, "there is no worker 'x', 'y' (there are: lab, local-1)"),
        ("drop", {"workers": ["lab"], "all": True}, 400, "not both"),
        ("drop", {"worker": "lab"}, 400, "worker"),
    ],
)
def test_what_is_inconsistent_is_reported_with_what_there_is_and_asks_nothing(
    backend: FakeBackend, client: httpx.Client, path: str, body: object, status: int, words: str
) -> None:
    manual = msgspec.structs.replace(backend.now.workers[0], id="lab", pool="")
    backend.now = msgspec.structs.replace(backend.now, workers=(*backend.now.workers, manual))
    answer = client.post(f"/workers/{path}", json=body)
    assert (answer.status_code, words in answer.json()["error"]) == (status, True), answer.json()
    assert backend.asked == []


@pytest.mark.parametrize("path", ["start", "terminate", "drop"])
def test_without_a_boss_nothing_is_started_ended_or_dropped(
    backend: FakeBackend, client: httpx.Client, path: str
) -> None:
    backend.now = msgspec.structs.replace(backend.now, live=False)
    answer = client.post(f"/workers/{path}", json={})
    assert answer.status_code == 503 and "start one (python -m boss)" in answer.json()["error"]
    assert backend.asked == []


def test_what_the_scheduler_refuses_is_a_clash(backend: FakeBackend, client: httpx.Client) -> None:
    unknown = Rejection(RejectionKind.UNKNOWN_POOL, "no pool of the settings can grow; there are: local")
    backend.says = Answer(reply=0, rejections=[unknown])
    answer = client.post("/workers/start", json={})
    assert answer.status_code == 409 and "no pool of the settings can grow" in answer.json()["error"]


def _answer(**more: object) -> PoolAnswer:
    given = {
        "name": "cloud", "provider": "opennebula", "role": "workers", "min": 0, "max": 20, "spare": 0, "grows": True,
        "in_settings": True, "plan": PlanAnswer(reason="the pool has as many as it requires"), "instances": {},
        "boot_seconds": 60.0, "boots_measured": 0, **more,
    }  # fmt: skip
    return PoolAnswer(**given)  # type: ignore[arg-type]  # by name, with some replaced


def test_a_pool_is_shown_in_lines() -> None:
    assert list(pool_lines(_answer())) == [
        "Pool cloud (opennebula): no instances; at least 0, at most 20",
        "\tPlan: the pool has as many as it requires",
        "\tA boot takes 60 s, as configured, until a few boots are measured",
        "\tSpent in 30 days: 0.00 worker-hours",
    ]


def test_a_plan_is_reported_with_both_whys_and_its_numbers() -> None:
    plan = PlanAnswer(
        reason="2 more",
        why_not_more="the limit",
        why_not_fewer="worth a boot",
        numbers={"runnable_slots": 40.0, "end_seconds": 1200.4, "end_seconds_with_start": None},
    )
    text = "\n".join(pool_lines(_answer(plan=plan, boots_measured=9, instances={"running": 3}, spare=2)))
    assert "Pool cloud (opennebula): 3 running; at least 0, at most 20, 2 spare" in text
    assert "Why not more: the limit" in text and "Why not fewer: worth a boot" in text
    assert "Numbers: 40 slots required now, the work ends in 1,200 s as things are, never with what was started" in text
    assert "measured over the last 9 boots" in text


def test_warning_and_budget_are_reported_and_control_characters_are_not_sent() -> None:
    pool = _answer(full="quota \x1b[31m", retry_at=1.7e9, hours_left=1.5, hours_spent=8.5, more=0, limited_by="quota")
    text = "\n".join(pool_lines(pool))
    assert "It cannot grow: quota \\x1b[31m; the boss retries at 2023-11-" in text
    assert "Spent in 30 days: 8.50 worker-hours; the budget leaves 1.50" in text
    assert "The provider can start 0 more (quota)" in text
    failing = "\n".join(pool_lines(_answer(failures=3, failed="it never booted")))
    assert "3 failures in a row, the last: it never booted" in failing
