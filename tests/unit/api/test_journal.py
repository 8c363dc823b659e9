"""The journal over HTTP and as text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from boss.api.schema import ChangeAnswer, EventAnswer, StoryAnswer, TaskAnswer
from boss.cli.format_tasks import event_line, pause_lines, story_lines
from boss.cli.format_workers import worker_change_lines
from boss.database import DatabaseUnavailableError
from tests.worlds.api import FakeBackend, inside
from wire.http import PREFIX


@pytest.fixture
def client(tmp_path: Path) -> httpx.Client:
    return inside(FakeBackend(tmp_path))


def _get(client: httpx.Client, path: str, template: str, **query: object) -> Any:
    document = client.get("http://localhost/openapi.json").json()
    answer = client.get(path, params={name: str(value) for name, value in query.items()})
    assert answer.status_code == 200, answer.text
    (content,) = document["paths"][PREFIX + template]["get"]["responses"]["200"]["content"].values()
    jsonschema.validate(answer.json(), {**content["schema"], "components": document["components"]})
    return answer.json()


def test_the_journal_names_the_tasks_that_it_is_about(client: httpx.Client) -> None:
    page = _get(client, "/events", "/events")
    assert [(event["what"], event["key"], event["id"]) for event in page["events"]][:3] == [
        ("worker", "local-1", ""),
        ("task", "1", "make"),
        ("attempt", "1", "make"),
    ]
    assert (page["next"], page["more"]) == (4, False)


def test_the_journal_goes_on_where_the_last_page_ended(client: httpx.Client) -> None:
    page = _get(client, "/events", "/events", after=3)
    assert [event["turn"] for event in page["events"]] == [4]
    assert _get(client, "/events", "/events", after=page["next"])["events"] == []
    assert [event["turn"] for event in _get(client, "/events", "/events", last=2)["events"]] == [3, 4]
    assert [event["turn"] for event in _get(client, "/events", "/events", task=1, since=1e9 + 3)["events"]] == [3, 3]


def test_the_story_of_a_task_is_what_happened_to_it_and_its_attempts(client: httpx.Client) -> None:
    story = _get(client, "/tasks/1/story", "/tasks/{number}/story")
    assert story["task"]["id"] == "make"
    assert [event["after"] for event in story["events"]] == ["running", "succeeded", "succeeded"]


@pytest.mark.parametrize(
    ("path", "status", "word"),
    [
        ("/tasks/99/story", 404, "no task of number 99"),
        ("/events?task=99", 404, "no task of number 99"),
        ("/events?last=-1", 400, "from 1 to 100,000"),
        ("/events?limit=1000000", 400, "from 1 to 100,000"),
        ("/events?since=yesterday", 400, "must be a number"),
    ],
)
def test_what_has_no_sense_is_refused(client: httpx.Client, path: str, status: int, word: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, word in answer.json()["error"]) == (status, True)


def event(**values: Any) -> EventAnswer:
    given = {"turn": 1, "time": 0.25, "what": "task", "key": "3", "before": "queued", "after": "running", "cause": ""}
    return EventAnswer(**(given | values))


def test_an_event_is_one_harmless_line() -> None:
    line = event_line(event(id="a\x1b[31m", project="leaks", cause="bad\nluck"))
    assert line.endswith("task a\\x1b[31m of project leaks  queued -> running: bad\\nluck")
    assert event_line(event(what="attempt", attempt=2)).endswith("task 3, attempt 2  queued -> running")
    assert ".250  worker local-1  " in event_line(event(what="worker", key="local-1"))


def test_a_story_begins_with_what_the_task_is_now() -> None:
    task = TaskAnswer(number=3, project="default", id="c", state="failed", batch=1, reason="exit code 3")
    lines = list(story_lines(StoryAnswer(task=task, events=[event(), event(what="attempt", attempt=1)])))
    assert lines[0] == "Task c of project default, batch 1: failed: exit code 3"
    assert "  attempt 1  queued -> running" in lines[2]
    assert "has no events of it" in list(story_lines(StoryAnswer(task=task, events=[])))[1]


def test_what_became_of_a_worker_or_a_batch_is_a_sentence() -> None:
    def said(**done: object) -> list[str]:
        return list(worker_change_lines(ChangeAnswer(done=done)))

    assert said(worker="w", quarantined="manual: noise") == ["Worker w is quarantined: manual: noise"]
    assert said(worker="w", quarantined="") == ["Worker w is released: it gets tasks again."]
    assert said(worker="w", state="draining") == ["Worker w is draining."]
    assert list(pause_lines(3, ChangeAnswer(done={}, carry_on="later"), paused=True))[1] == "later"


def test_while_the_database_is_away_status_says_so_and_reads_answer_503_with_a_time(tmp_path: Path) -> None:
    backend = FakeBackend(tmp_path)
    backend.reads.fault = DatabaseUnavailableError("database x on y: the server cannot be reached")
    backend.set_batch(4, queued=3, running=1)
    client = inside(backend)
    status = client.get("/status")
    assert status.status_code == 200
    assert (status.json()["in_queue"], status.json()["in_progress"]) == (3, 1)
    assert "cannot be reached; the counts are those of the batches under way" in status.json()["hindrances"][-1]
    backend.away = "the database is away: no answer; it is tried again every second"
    for answer in (client.post("/cancel", json={"batches": [1]}), client.post("/redo", json={"batches": [1]})):
        assert (answer.status_code, answer.json()["error"]) == (503, backend.away)
        assert int(answer.headers["retry-after"]) > 0
