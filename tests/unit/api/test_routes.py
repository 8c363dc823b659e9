"""What the routes answer, and that /openapi.json tells it as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import msgspec
import pytest

from boss.api.table import ROUTES
from boss.core.effects import Answer
from boss.core.events import (
    CancelAsked,
    DropTasksAsked,
    PauseAsked,
    QuarantineAsked,
    RedoAsked,
    RetryAsked,
    Selection,
    WorkerDrainAsked,
)
from boss.core.model import TaskState
from boss.core.reasons import Rejection, RejectionKind
from boss.core.rows import BatchRow
from boss.core.waits import WaitKind
from boss.database import DatabaseUnavailableError
from boss.status import StatusReason
from tests.worlds.api import FakeBackend, attach, counts, inside
from wire.http import PREFIX
from wire.messages import Place

FAILED = "fail/ä \x1b[31m"


@pytest.fixture
def backend(tmp_path: Path) -> FakeBackend:
    return FakeBackend(tmp_path)


@pytest.fixture
def client(backend: FakeBackend) -> httpx.Client:
    return inside(backend)


def _document(client: httpx.Client) -> dict[str, Any]:
    document: dict[str, Any] = client.get("http://localhost/openapi.json").json()
    return document


def _fits(document: dict[str, Any], answer: httpx.Response, path: str, method: str = "get") -> Any:
    """The answer's body, after a look whether it is what the document says."""
    assert answer.status_code == 200, answer.text
    operation = document["paths"][PREFIX + path][method]
    (content,) = operation["responses"]["200"]["content"].values()
    jsonschema.validate(answer.json(), {**content["schema"], "components": document["components"]})
    return answer.json()


def test_every_route_stands_in_the_openapi_document(client: httpx.Client) -> None:
    document = _document(client)
    described = {operation["operationId"] for path in document["paths"].values() for operation in path.values()}
    assert described == {route.name for route in ROUTES}
    assert len(described) == len(ROUTES)


def test_status_and_batches_say_why_work_waits_in_words_and_by_kind(backend: FakeBackend, client: httpx.Client) -> None:
    backend.set_batch(4, queued=3)
    lunch = StatusReason(WaitKind.BATCH_PAUSED, "4", "batch 4 is paused: lunch")
    backend.now = msgspec.structs.replace(backend.now, reasons=(lunch,))
    assert client.get("/status").json()["warnings"] == ["batch 4 is paused: lunch"]
    for answer in (client.get("/status").json(), client.get("/batches/4").json()):
        assert answer["hindrances"] == ["batch 4 is paused: lunch"]
        assert answer["reasons"] == [{"kind": "batch_paused", "about": "4", "text": "batch 4 is paused: lunch"}]


def test_status_counts_as_the_old_words_do(client: httpx.Client) -> None:
    status = _fits(_document(client), client.get("/status"), "/status")
    assert (status["workers"], status["in_queue"], status["finished"]) == (1, 0, 3)
    assert (status["succeeded"], status["failed"]) == (1, 2)
    assert status["rejected_reports"] == {}


def test_status_has_the_counts_of_rejected_reports(backend: FakeBackend, client: httpx.Client) -> None:
    backend.now = msgspec.structs.replace(backend.now, rejected_reports={"other_deployment": 3})
    status = _fits(_document(client), client.get("/status"), "/status")
    assert status["rejected_reports"] == {"other_deployment": 3}


def test_workers_say_what_they_hold(client: httpx.Client) -> None:
    workers = _fits(_document(client), client.get("/workers"), "/workers")["workers"]
    assert workers[0]["holding"] == [
        {"task": 2, "project": "default", "id": FAILED, "attempt": 1, "phase": "executing", "progress": None}
    ]


def test_batches_are_listed_and_shown(client: httpx.Client) -> None:
    document = _document(client)
    (batch,) = _fits(document, client.get("/batches"), "/batches")["batches"]
    assert batch == _fits(document, client.get("/batches/1"), "/batches/{number}")
    assert batch["finished"] is True
    assert batch["counts"]["blocked"] == 1


def test_an_unknown_batch_is_not_found_neither_shown_nor_followed(client: httpx.Client) -> None:
    for path in ("/batches/9", "/batches/9/follow", "/batches/9?wait=30"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["error"]) == (404, "there is no batch 9")


def test_a_batch_counts_the_tasks_to_which_it_is_attached(backend: FakeBackend, client: httpx.Client) -> None:
    from boss.core.rows import BatchRow
    from tests.worlds.api import counts

    backend.reads.rows[2] = BatchRow(2, "default", "again", 4, 0, counts(), finished_at=3.0)
    attach(backend.reads.rows[2], 1, 2)
    batch = client.get("/batches/2").json()
    assert (batch["total"], batch["counts"]["succeeded"], batch["counts"]["failed"]) == (2, 1, 1)
    listed = client.get("/tasks", params={"batch": 2, "state": "failed"}).json()["tasks"]
    assert [task["id"] for task in listed] == [FAILED]


def test_tasks_are_listed_by_state(client: httpx.Client) -> None:
    listed = _fits(_document(client), client.get("/tasks", params={"state": "failed,blocked"}), "/tasks")
    assert [task["id"] for task in listed["tasks"]] == [FAILED, "after"]
    assert listed["tasks"][0]["commands"] == ["true", "echo on-stderr >&2; exit 1"]
    assert listed["next"] is None


def test_tasks_come_page_by_page(client: httpx.Client) -> None:
    first = client.get("/tasks", params={"limit": 2}).json()
    second = client.get("/tasks", params={"limit": 2, "after": first["next"]}).json()
    assert [task["number"] for task in first["tasks"] + second["tasks"]] == [1, 2, 3]
    assert second["next"] is None


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ({"state": "faild"}, "did you mean 'failed'?"),
        ({"stat": "failed"}, "did you mean 'state'?"),
        ({"limit": "many"}, "must be a whole number"),
        ({"limit": "0x1"}, "must be a whole number"),
        ({"limit": "-1"}, "from 1 to"),
    ],
)
def test_a_wrong_query_is_reported_with_a_suggestion(client: httpx.Client, query: dict[str, str], word: str) -> None:
    answer = client.get("/tasks", params=query)
    assert answer.status_code == 400
    assert word in answer.json()["error"]


def test_a_task_is_found_by_an_id_with_any_characters(client: httpx.Client) -> None:
    path = "/tasks/by_id/default/fail%2F%C3%A4%20%1B%5B31m"
    detail = _fits(_document(client), client.get(path), "/tasks/by_id/{project}/{id}")
    assert detail["task"]["number"] == 2
    assert detail["attempts"][0]["stderr_tail"].startswith("on-stderr")
    assert detail == client.get("/tasks/2").json()


def test_a_task_that_is_not_there_is_reported_with_a_near_id(client: httpx.Client) -> None:
    answer = client.get("/tasks/by_id/default/aftr")
    assert answer.status_code == 404
    assert answer.json()["error"] == "there is no task 'aftr' in project 'default'; did you mean 'after'?"
    assert client.get("/tasks/77").status_code == 404


def test_results_of_a_succeeded_task_have_digest_and_size(client: httpx.Client) -> None:
    (result,) = client.get("/tasks/1").json()["results"]
    assert (result["name"], result["size"]) == ("out", 5)


def test_commands_come_in_the_order_download_run_upload_cleanup(client: httpx.Client) -> None:
    document = _document(client)
    commands = _fits(document, client.get("/tasks/1/commands"), "/tasks/{number}/commands")["commands"]
    assert [each["kind"] for each in commands] == ["download", "run", "upload", "cleanup"]


def test_commands_name_the_user_the_host_and_the_path_of_a_worker_elsewhere(
    client: httpx.Client, backend: FakeBackend
) -> None:
    place = Place(kind="ssh", path="/var/lib/ecloud/worker", host="fd00::7", user="ecloud")
    backend.now = msgspec.structs.replace(backend.now, places={"local-1": place})
    texts = {each["kind"]: each["text"] for each in client.get("/tasks/1/commands").json()["commands"]}
    there = "ecloud@[fd00::7]:/var/lib/ecloud/worker/attempts/1.1/work/"
    assert texts["download"].startswith("rsync ") and there in texts["download"]
    assert texts["upload"].startswith("rsync ") and there in texts["upload"]
    assert texts["cleanup"] == "rm -r -- /var/lib/ecloud/worker/attempts/1.1/work"


def test_output_is_the_end_of_the_newest_attempt(client: httpx.Client) -> None:
    output = _fits(_document(client), client.get("/tasks/2/output"), "/tasks/{number}/output")
    assert output["stderr_tail"].startswith("on-stderr")
    assert client.get("/tasks/3/output").status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "event"),
    [
        ("/cancel", {"tasks": ["make"]}, CancelAsked(selection=Selection(tasks=[1]))),
        ("/cancel", {"batches": [1]}, CancelAsked(selection=Selection(batches=[1]))),
        ("/cancel", {"all": True, "project": ""}, CancelAsked(selection=Selection(batches=[1]))),
        ("/retry", {"tasks": [FAILED, FAILED]}, RetryAsked(selection=Selection(tasks=[2]))),
        ("/retry", {"all": True, "project": "other"}, RetryAsked(selection=Selection())),
        ("/redo", {"tasks": ["make"]}, RedoAsked(selection=Selection(tasks=[1]))),
        ("/batches/1/pause", {"reason": "later"}, PauseAsked(batch=1, reason="later")),
        ("/batches/1/resume", {}, PauseAsked(batch=1, reason="")),
        ("/workers/local-1/drain", {}, WorkerDrainAsked(worker="local-1")),
        ("/workers/local-1/resume", {}, WorkerDrainAsked(worker="local-1", drain=False)),
        ("/workers/local-1/release", {}, QuarantineAsked(worker="local-1", reason="")),
        ("/workers/local-1/quarantine", {"reason": "odd"}, QuarantineAsked(worker="local-1", reason="odd")),
    ],
)
def test_a_change_becomes_one_event(
    backend: FakeBackend, client: httpx.Client, path: str, body: dict[str, object], event: object
) -> None:
    template = path.replace("/1/", "/{number}/").replace("local-1", "{id}")
    done = _fits(_document(client), client.post(path, json=body), template, "post")
    assert done["done"] == {"retried": 2}
    assert backend.asked == [event]


@pytest.mark.parametrize(
    ("path", "body", "status", "word"),
    [
        ("/cancel", {}, 400, "name tasks or batches"),
        ("/cancel", {"all": True, "tasks": ["make"]}, 400, "not both"),
        ("/redo", {"all": True}, 400, "refused"),
        ("/cancel", {"tasks": ["nope"]}, 404, "no task 'nope'"),
        ("/cancel", {"batches": [1, 8]}, 404, "no batch 8"),
        ("/cancel", {"taks": ["make"]}, 400, "taks"),
        ("/tasks/drop", {}, 400, "name tasks or batches"),
        ("/tasks/drop", {"tasks": ["nope"]}, 404, "no task 'nope'"),
        ("/tasks/drop", {"all": True, "states": ["queud"]}, 400, "did you mean 'queued'?"),
        ("/cancel", {"tasks": "make"}, 400, "array"),
        ("/workers/locl-1/drain", {}, 404, "did you mean 'local-1'?"),
        ("/batches/8/pause", {}, 404, "no batch 8"),
    ],
)
def test_a_change_of_what_cannot_be_asks_nothing(
    backend: FakeBackend, client: httpx.Client, path: str, body: dict[str, object], status: int, word: str
) -> None:
    answer = client.post(path, json=body)
    assert (answer.status_code, backend.asked) == (status, [])
    assert word in answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "selection", "states"),
    [
        ({"tasks": ["make"]}, Selection(tasks=[1]), []),
        ({"all": True, "project": ""}, Selection(batches=[1]), []),
        ({"all": True, "states": ["failed"]}, Selection(batches=[1]), [TaskState.FAILED]),
        ({"batches": [1], "states": ["succeeded"]}, Selection(batches=[1]), [TaskState.SUCCEEDED]),
    ],
)
def test_tasks_are_dropped(
    backend: FakeBackend, client: httpx.Client, body: dict[str, object], selection: Selection, states: list[int]
) -> None:
    backend.says = Answer(reply=0, value={"dropped": 2, "asked": 1, "needed": 0})
    done = _fits(_document(client), client.post("/tasks/drop", json=body), "/tasks/drop", "post")
    assert done["done"] == {"dropped": 2, "asked": 1, "needed": 0}
    assert backend.asked == [DropTasksAsked(selection=selection, states=states)]


def test_very_many_are_dropped_in_parts_the_newest_batches_first(
    backend: FakeBackend, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("boss.api.handlers.changes._DROPPED_AT_ONCE", 25)
    backend.reads.rows = {n: BatchRow(n, "default", "", 100 * n, 10, counts(queued=10)) for n in (1, 2, 3)}
    backend.says = Answer(reply=0, value={"dropped": 10, "asked": 0, "needed": 1})
    done = client.post("/tasks/drop", json={"all": True, "project": ""}).json()
    assert [event.selection.batches for event in backend.asked if isinstance(event, DropTasksAsked)] == [[3, 2], [1]]
    assert done["done"] == {"dropped": 20, "asked": 0, "needed": 2}


def test_a_batch_of_which_all_is_dropped_is_not_shown(backend: FakeBackend, client: httpx.Client) -> None:
    shown = {each["number"] for each in client.get("/batches").json()["batches"]}
    backend.reads.rows[9] = BatchRow(9, "default", "", 900, 10, counts())
    assert {each["number"] for each in client.get("/batches").json()["batches"]} == shown


def test_broken_json_and_too_much_of_it_are_refused(client: httpx.Client) -> None:
    json_type = {"content-type": "application/json"}
    assert client.post("/cancel", content=b'{"tasks": [', headers=json_type).status_code == 400
    assert client.post("/cancel", content=b"[" * 100_000, headers=json_type).status_code == 400
    assert client.post("/cancel", content=b"\xff\xfe", headers=json_type).status_code == 400
    large = json.dumps({"tasks": ["x" * 100] * 200_000}).encode()
    assert client.post("/cancel", content=large, headers=json_type).status_code == 413


def test_what_the_boss_refuses_is_a_clash_with_its_reasons(backend: FakeBackend, client: httpx.Client) -> None:
    backend.says = Answer(
        reply=0, rejections=[Rejection(RejectionKind.UNKNOWN_WORKER, each) for each in ("first", "second")]
    )
    answer = client.post("/retry", json={"all": True})
    assert answer.status_code == 409
    assert answer.json()["details"] == ["first", "second"]


def test_a_boss_or_database_that_is_away_is_reported_as_such(tmp_path: Path) -> None:
    backend = FakeBackend(tmp_path)
    client = inside(backend)
    backend.away = "the database is away; it is tried again every second"
    assert client.post("/retry", json={"all": True}).json()["error"] == backend.away
    backend.reads.fault = DatabaseUnavailableError("no connection")
    answer = client.get("/batches")
    assert (answer.status_code, answer.json()["error"]) == (
        503,
        "the database is away: no connection; the boss retries every second",
    )


def test_an_unknown_path_and_a_wrong_method_are_reported(client: httpx.Client) -> None:
    assert "openapi.json" in client.get("/batchs").json()["error"]
    assert client.delete("/batches", headers={"content-type": "application/json"}).status_code == 405


def test_a_change_says_who_carries_it_on(backend: FakeBackend, client: httpx.Client) -> None:
    import msgspec

    backend.now = msgspec.structs.replace(backend.now, live=False)
    assert client.post("/retry", json={"all": True}).json()["carry_on"] == "no boss carries it on"
    # No boss works on it: following and waiting say once how it stands.
    backend.set_batch(7, queued=1)
    assert len(client.get("/batches/7/follow").text.splitlines()) == 1
    assert client.get("/batches/7?wait=60").json()["finished"] is False


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/tasks/99999999999999999999", 404),
        ("/tasks/99999999999999999999/output", 404),
        ("/batches/99999999999999999999", 404),
        ("/tasks?batch=99999999999999999999", 400),
    ],
)
def test_a_number_that_no_database_counts_to_is_refused(client: httpx.Client, path: str, status: int) -> None:
    answer = client.get(f"http://localhost{PREFIX}{path}")
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    "query",
    [
        "tasks?after=9223372036854775808",
        "tasks?batch=-9223372036854775809",
        "events?after=9223372036854775808",
        "events?since=nan",
        "events?since=inf",
        "events?since=-5",
        "batches/1?wait=nan",
        "batches/1?wait=-5",
        "batches/1?wait=Infinity",
        "results?after=9223372036854775808",
        "results?after=-1",
    ],
)
def test_a_number_that_means_nothing_is_bad_input_and_named(client: httpx.Client, query: str) -> None:
    answer = client.get(f"/{query}")
    assert answer.status_code == 400, answer.text
    assert query.partition("?")[2].partition("=")[0] in answer.json()["error"]
