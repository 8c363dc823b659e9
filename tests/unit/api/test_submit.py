"""A push as a stream: taken whole, or refused with every fault and its place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from boss.api import published
from boss.api.local_tree import LocalTree
from boss.core.effects import Answer
from boss.core.events import ResultsAsked, Submitted
from boss.core.plan import Plan, Some
from boss.core.reasons import Rejection, RejectionKind
from tests.worlds.api import FakeBackend, inside
from tests.worlds.digests import digest

NDJSON = {"content-type": "application/x-ndjson"}
CLASH = Rejection(RejectionKind.ID_CLASH, "task 'a': there already with another content")


@pytest.fixture
def backend(tmp_path: Path) -> FakeBackend:
    return FakeBackend(tmp_path)


@pytest.fixture
def client(backend: FakeBackend) -> httpx.Client:
    return inside(backend, submit_limit_bytes=8_000_000)


def _lines(*tasks: object, **header: object) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in ({"version": 1, **header}, *tasks))


def _push(client: httpx.Client, content: bytes | Iterator[bytes], **query: int) -> httpx.Response:
    return client.post("/batches", content=content, headers=NDJSON, params=query)


def test_a_whole_graph_becomes_one_event(backend: FakeBackend, client: httpx.Client) -> None:
    answer = _push(client, _lines({"id": "a"}, {"id": "b", "dependencies": ["a"]}, project="p", name="two"))
    assert answer.json()["batch"] == 7
    assert answer.json()["warnings"] == ["one warning"]
    (event,) = backend.asked
    assert isinstance(event, Submitted)
    assert (event.submission.ids, event.submission.project) == (["a", "b"], "p")
    assert backend.detached == []


def test_it_may_come_in_pieces_cut_anywhere(backend: FakeBackend, client: httpx.Client) -> None:
    content = _lines(*({"id": f"task {number}"} for number in range(500)))
    assert _push(client, (content[at : at + 7] for at in range(0, len(content), 7))).status_code == 200
    (event,) = backend.asked
    assert isinstance(event, Submitted) and len(event.submission.ids) == 500


def test_a_detached_push_is_noted(backend: FakeBackend, client: httpx.Client) -> None:
    assert _push(client, _lines({"id": "a"}), detach=1).status_code == 200
    assert backend.detached == [7]


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (_lines({"id": "a"}) + b'{"id": \n', "task number 2"),
        (_lines({"id": "a"}, {"id": "b", "commands": ["x"]}), "commands"),
        (_lines({"id": "a"}, {"id": "a"}), '"a"'),
        (_lines({"id": "a", "dependencies": ["b"]}, {"id": "b", "dependencies": ["a"]}), "->"),
        (_lines({"id": "a", "requirements": [["../x", "x"]]}), "../x"),
        (b"", "header"),
        (b"\xff\xfe\x00", "header"),
        (b'{"version": 2}\n', "version 2"),
        (_lines({"id": "a"}, tasks=2), "cut off"),
    ],
)
def test_a_faulty_push_is_refused_whole_with_the_place(
    backend: FakeBackend, client: httpx.Client, content: bytes, place: str
) -> None:
    answer = _push(client, content)
    assert answer.status_code == 400
    assert any(place in line for line in answer.json()["details"]), answer.text
    assert backend.asked == []


def test_all_errors_are_reported_at_once(client: httpx.Client) -> None:
    answer = _push(client, _lines({"id": "a", "dependencies": ["a"]}, {"id": "b\x00"}, {"id": ""}))
    assert len(answer.json()["details"]) >= 3


def test_a_push_that_is_too_large_is_refused(backend: FakeBackend, client: httpx.Client) -> None:
    big = {"id": "a", "execution": {"commands": ["x" * 1_000_000]}}
    assert _push(client, _lines(*({**big, "id": str(number)} for number in range(10)))).status_code == 413
    assert backend.asked == []


def test_files_that_were_not_sent_are_named(backend: FakeBackend, client: httpx.Client) -> None:
    content = b"a network"
    wanted = digest(content)
    file = {"name": "net.inp", "digest": wanted, "size": len(content)}
    push = _lines({"id": "a", "requirements": [["net.inp", "net.inp"]]}, files=[file])
    answer = _push(client, push)
    assert (answer.status_code, backend.asked) == (424, [])
    assert answer.json()["details"] == [f"net.inp ({wanted}) has not been sent"]
    client.put(
        f"/files/{wanted}",
        params={"size": len(content)},
        content=content,
        headers={"content-type": "application/octet-stream"},
    )
    assert _push(client, push).status_code == 200
    wrong_size = _lines({"id": "b", "requirements": [["net.inp", "net.inp"]]}, files=[{**file, "size": 5}])
    assert _push(client, wrong_size).status_code == 400


def test_what_the_boss_refuses_is_reported(backend: FakeBackend, client: httpx.Client) -> None:
    backend.says = Answer(reply=0, rejections=[CLASH])
    answer = _push(client, _lines({"id": "a"}))
    assert (answer.status_code, answer.json()["error"]) == (409, CLASH.text)


def test_a_push_that_would_end_what_runs_has_a_status_of_its_own(backend: FakeBackend, client: httpx.Client) -> None:
    lines = ["1 task: 1 changed (a)", "1 task runs now, is ended and begins again: a has run for 3 min"]
    backend.says = Answer(reply=0, rejections=[Rejection(RejectionKind.UNCONFIRMED, line) for line in lines])
    answer = _push(client, _lines({"id": "a"}))
    assert (answer.status_code, answer.json()["details"]) == (428, lines)


def test_what_a_push_does_is_answered_in_sentences_and_numbers(backend: FakeBackend, client: httpx.Client) -> None:
    backend.plan = Plan(tasks=3, unchanged=2, new=Some(1, ["c"]), outside=1, outside_numbers=[9])
    answer = _push(client, _lines({"id": "a"})).json()
    assert answer["plan"][0] == "3 tasks: 2 unchanged, 1 new (c)"
    assert "task of 9" in answer["plan"][1]
    assert answer["done"]["plan"]["new"] == {"count": 1, "ids": ["c"]}


def test_a_dry_run_wants_no_files_and_is_not_followed(backend: FakeBackend, client: httpx.Client) -> None:
    file = {"name": "net.inp", "digest": digest(b"a network"), "size": 9}
    push = _lines({"id": "a", "requirements": [["net.inp", "net.inp"]]}, files=[file], dry_run=True, prune=True)
    assert _push(client, push).status_code == 200
    (event,) = backend.asked
    assert isinstance(event, Submitted) and event.submission.dry_run and event.submission.prune


def test_results_that_are_not_on_the_datastore_as_they_were_left_are_noted(
    backend: FakeBackend, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    (tree / "folder").mkdir(parents=True)
    (tree / "whole").write_text("12345")
    (tree / "cut").write_text("12")
    (tree / "elsewhere").symlink_to("whole")
    left = {"whole": 5, "cut": 5, "elsewhere": 5, "absent": 5, "folder": 5, "whole/below": 5}
    backend.lookups.left = [(name, name, digest(b"x"), size) for name, size in left.items()]
    backend.lookups.left += [("kept", name, "", 0) for name in ("folder", "whole")] + [("lost", "nowhere", "", 0)]
    execution = {"commands": ["x"], "results": [{"source": "a", "target": "a"}]}
    assert _push(inside(backend, tree=LocalTree(tree)), _lines({"id": "a", "execution": execution})).status_code == 200
    (event,) = backend.asked
    assert isinstance(event, Submitted)
    assert event.gone == ["cut", "elsewhere", "absent", "folder", "whole/below", "lost"]


def test_results_on_another_host_are_asked_for_in_parts(
    backend: FakeBackend, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published, "NAMES_AT_ONCE", 2)
    backend.lookups.left = [(f"t{at}", f"out{at}", digest(b"x"), 5) for at in range(3)]
    backend.lookups.left.append(("folder", "mesh", "", 0))
    backend.says = Answer(reply=0, value={"found": {"out0": 5, "out1": 4, "out2": 5}})
    execution = {"commands": ["x"], "results": [{"source": "a", "target": "a"}]}
    assert _push(client, _lines({"id": "a", "execution": execution})).status_code == 200
    *asked, event = backend.asked
    assert [one.names for one in asked if isinstance(one, ResultsAsked)] == [["out0", "out1"], ["out2"]]
    assert isinstance(event, Submitted) and event.gone == ["t1"] and not event.submission.warnings


def test_a_push_goes_on_with_a_warning_where_the_datastore_does_not_answer(
    backend: FakeBackend, client: httpx.Client
) -> None:
    backend.lookups.left = [("t", "out", digest(b"x"), 5)]
    backend.says = Answer(reply=0, value={})
    execution = {"commands": ["x"], "results": [{"source": "a", "target": "a"}]}
    assert _push(client, _lines({"id": "a", "execution": execution})).status_code == 200
    event = backend.asked[-1]
    assert isinstance(event, Submitted) and event.gone == []
    assert any("not looked at" in line for line in event.submission.warnings)


@pytest.mark.parametrize("header", [{"source": "x"}, {"submitter": "a\x00"}, {"networks": {"n": "short"}}])
def test_what_a_header_says_of_its_batch_is_checked(client: httpx.Client, header: dict[str, object]) -> None:
    answer = _push(client, _lines({"id": "a"}, **header))
    assert answer.status_code == 400 and next(iter(header)) in answer.text


def test_a_boss_that_cannot_take_a_push_now_says_to_try_again(backend: FakeBackend, client: httpx.Client) -> None:
    """It began to end after the push was read, or another boss has its database."""
    backend.says = Answer(reply=0, rejections=[Rejection(RejectionKind.UNAVAILABLE, "push again in a moment")])
    answer = _push(client, _lines({"id": "a"}))
    assert (answer.status_code, answer.json()["error"]) == (503, "push again in a moment")


def test_a_boss_that_is_ending_takes_no_push(backend: FakeBackend, client: httpx.Client) -> None:
    import msgspec

    backend.now = msgspec.structs.replace(backend.now, stopping=True)
    assert _push(client, _lines({"id": "a"})).status_code == 503
    assert backend.asked == []


def test_a_merge_strategy_reaches_the_scheduler_and_an_unknown_one_is_refused(
    backend: FakeBackend, client: httpx.Client
) -> None:
    assert _push(client, _lines({"id": "a"}, merge_strategy="replace")).status_code == 200
    (event,) = backend.asked
    assert isinstance(event, Submitted) and event.submission.merge_strategy == "replace"
    assert _push(client, _lines({"id": "a"}, merge_strategy="often")).status_code == 400
