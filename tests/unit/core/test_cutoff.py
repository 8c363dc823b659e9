"""Early cut-off: what depends on a task that was run again runs again only if what it gets came out otherwise."""

from __future__ import annotations

import pytest

from boss.core.events import CancelAsked, RedoAsked, Selection
from tests.worlds.merging import agree_after_restart
from tests.worlds.scheduler import DIGEST, FakeWorker, World
from wire.messages import Input, ManifestEntry, Published, PublishedFile, Run, StageDone

OTHER = "b2:" + "7" * 64
#: a hands its result to b, and b to c.
GRAPH = {"a": "", "b": "a", "c": "b"}
RESULTS = {"a": "a.out", "b": "b.out"}
REQUIREMENTS = {"b": "a.out", "c": "b.out"}


@pytest.fixture
def worker(world: World) -> FakeWorker:
    made = world.worker(slots=8)
    world.ignore()
    return made


def push(world: World, graph: dict[str, str] = GRAPH, **more: object) -> None:
    world.push(graph, results=RESULTS, requirements=REQUIREMENTS, **more)


def runs(world: World, worker: FakeWorker, id: str, digest: str = DIGEST, given: str = DIGEST) -> None:
    """Its newest attempt: staged with its requirement of digest `given`, ended, its result published with `digest`."""
    row = world.row(id)
    key = {"task": row.number, "attempt": row.attempt}
    if id in REQUIREMENTS:
        name = REQUIREMENTS[id]
        world.datastore.report(StageDone(**key, inputs=[Input(name=name, path=name, digest=given, size=10)]))
    worker.began((row.number, row.attempt))
    if id in RESULTS:
        name = RESULTS[id]
        manifest = [ManifestEntry(source=name, target=name, size=10, digest=digest)]
        worker.ended(row.number, row.attempt, manifest=manifest)
        world.datastore.report(Published(**key, files=[PublishedFile(name=name, size=10, digest=digest)]))
    else:
        worker.ended(row.number, row.attempt)
    world.ignore()


def all_ran(world: World, worker: FakeWorker) -> None:
    push(world)
    for id in GRAPH:
        runs(world, worker, id)
    assert world.states(*GRAPH) == "succeeded succeeded succeeded"


def test_what_gets_the_same_inputs_is_not_run_again_nor_what_is_below_it(world: World, worker: FakeWorker) -> None:
    all_ran(world, worker)
    push(world, commands={"a": "another way"})
    assert world.states(*GRAPH) == "queued pending pending"
    agree_after_restart(world)
    runs(world, worker, "a")
    assert world.states(*GRAPH) == "succeeded succeeded succeeded"
    assert [world.row(id).attempt for id in GRAPH] == [2, 1, 1]
    assert "came out the same" in world.row("b").reason
    assert not any(world.row(id).outdated for id in GRAPH)
    assert not world.state.batches


def test_what_gets_other_inputs_runs_and_what_is_below_it_is_asked_in_its_turn(
    world: World, worker: FakeWorker
) -> None:
    all_ran(world, worker)
    push(world, commands={"a": "another way"})
    runs(world, worker, "a", OTHER)
    assert world.states(*GRAPH) == "succeeded queued pending"
    runs(world, worker, "b", given=OTHER)  # and makes the same of it
    assert world.states(*GRAPH) == "succeeded succeeded succeeded"
    assert [world.row(id).attempt for id in GRAPH] == [2, 2, 1]


def test_a_dependency_for_the_order_alone_always_has_it_run(world: World, worker: FakeWorker) -> None:
    graph = {**GRAPH, "first": "", "b": "a first"}
    push(world, graph)
    worker.ended(world.number("first"))
    for id in GRAPH:
        runs(world, worker, id)
    push(world, graph, commands={"first": "another way"})
    worker.ended(world.number("first"), 2)
    world.ignore()
    assert world.states("first", "b", "c") == "succeeded queued pending"
    runs(world, worker, "b")
    assert [world.row(id).attempt for id in GRAPH] == [1, 2, 1]


def test_an_unchanged_dependency_for_the_order_does_not_count(world: World, worker: FakeWorker) -> None:
    graph = {**GRAPH, "first": "", "b": "a first"}
    push(world, graph)
    worker.ended(world.number("first"))
    for id in GRAPH:
        runs(world, worker, id)
    push(world, graph, commands={"a": "another way"})
    runs(world, worker, "a")
    assert world.row("b").attempt == 1 and world.states("b") == "succeeded"


def test_a_changed_task_runs_whatever_its_inputs_are(world: World, worker: FakeWorker) -> None:
    all_ran(world, worker)
    push(world, commands={"a": "another way", "b": "new"})
    runs(world, worker, "a")
    assert world.states(*GRAPH) == "succeeded queued pending"
    world.ignore()


@pytest.mark.parametrize("event", [RedoAsked, CancelAsked])
def test_a_user_who_asks_is_not_answered_by_what_came_out_the_same(
    world: World, worker: FakeWorker, event: type[RedoAsked] | type[CancelAsked]
) -> None:
    all_ran(world, worker)
    push(world, commands={"a": "another way"})
    world.ask(event(selection=Selection(tasks=[world.number("b")])))
    runs(world, worker, "a")
    expected = {RedoAsked: "succeeded queued pending", CancelAsked: "succeeded cancelled blocked"}
    assert world.states(*GRAPH) == expected[event]
    if event is CancelAsked:
        world.ask(RedoAsked(selection=Selection(tasks=[world.number("b")])))
        assert [run.task for run in worker.ordered(Run)] == [world.number("b")]
    world.ignore()


def test_the_next_boss_asks_what_the_one_before_was_about_to_ask(world: World, worker: FakeWorker) -> None:
    all_ran(world, worker)
    push(world, commands={"a": "another way"})
    world.restart()
    worker.hello()
    world.ignore()
    assert world.row("a").attempt == 2
    worker.ended(1, 2, manifest=[ManifestEntry(source="a.out", target="a.out", size=10, digest=DIGEST)])
    world.datastore.hello()
    world.datastore.report(Published(task=1, attempt=2, files=[PublishedFile(name="a.out", size=10, digest=DIGEST)]))
    world.ignore()
    assert world.states(*GRAPH) == "succeeded succeeded succeeded"
    assert [world.row(id).attempt for id in GRAPH] == [2, 1, 1]


def test_a_parent_that_fails_blocks_it_and_it_is_asked_once_that_has_succeeded(
    world: World, worker: FakeWorker
) -> None:
    all_ran(world, worker)
    push(world, commands={"a": "another way"})
    worker.ended(1, 2, "failed", exit_code=1)
    world.ignore()
    assert world.states(*GRAPH) == "failed blocked blocked"
    push(world, commands={"a": "another way"})
    assert world.row("a").attempt == 3
    runs(world, worker, "a")
    assert world.states(*GRAPH) == "succeeded succeeded succeeded"
    assert world.row("b").attempt == 1
