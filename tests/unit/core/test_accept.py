"""A push is accepted whole or refused whole, with all its faults at once."""

from __future__ import annotations

from boss.core.events import CancelAsked, Selection
from boss.core.reasons import RejectionKind
from tests.worlds.scheduler import DIGEST, World
from wire.messages import Run, Store


def nothing_changed(world: World) -> bool:
    return not world.store.tasks and not world.store.batches and not world.state.batches


def test_an_accepted_push_is_answered_with_its_batch_and_counts(world: World) -> None:
    answer = world.answer_to_push({"a": "", "b": "a"}, warnings=["a.out is nowhere"])
    shown = {name: answer.value[name] for name in ("batch", "tasks", "attached", "warnings")}
    assert shown == {"batch": 1, "tasks": 2, "attached": 0, "warnings": ["a.out is nowhere"]}
    assert list(world.store.tasks) == [1, 2]
    assert world.store.batches[1].name == "push"


def test_all_unknown_dependencies_are_reported_at_once_and_nothing_is_kept(world: World) -> None:
    answer = world.answer_to_push({"a": "x", "b": "a y", "c": ""})
    assert [each.kind for each in answer.rejections] == [RejectionKind.UNKNOWN_DEPENDENCY] * 2
    assert "'a'" in answer.rejections[0].text and "'x'" in answer.rejections[0].text
    assert "'b'" in answer.rejections[1].text and "'y'" in answer.rejections[1].text
    assert nothing_changed(world)


def test_the_same_push_again_attaches_to_what_is_there(world: World) -> None:
    world.push({"a": "", "b": "a"})
    answer = world.answer_to_push({"a": "", "b": "a"})
    assert answer.value["attached"] == 2
    assert answer.value["batch"] == 2
    assert len(world.store.tasks) == 2
    assert not world.store.batches[2].finished_at, "it is finished when what it is attached to is"
    worker = world.worker()
    for task in (1, 2):
        worker.ended(task, 1)
    assert world.store.batches[1].finished_at and world.store.batches[2].finished_at
    assert not world.state.batches
    world.ignore()


def test_a_push_of_what_has_ended_is_finished_at_once(world: World) -> None:
    world.push({"a": ""})
    worker = world.worker()
    worker.ended(1, 1)
    world.ignore()
    world.push({"a": ""})
    assert world.store.batches[2].finished_at
    assert not world.state.batches
    assert not worker.orders(), "what has succeeded is never run again automatically"


def test_new_tasks_of_a_push_that_is_partly_there_may_depend_on_the_others(world: World) -> None:
    world.push({"a": ""})
    answer = world.answer_to_push({"a": "", "b": "a"})
    assert answer.value["attached"] == 1
    assert world.states("a", "b") == "queued pending"
    worker = world.worker()
    worker.ended(1, 1)
    assert [order.task for order in worker.ordered(Run)] == [1, 2]


def test_all_clashes_are_reported_at_once_with_where_the_others_are(world: World) -> None:
    world.push({"a": "", "b": ""}, name="one")
    world.push({"c": ""}, name="two")
    answer = world.answer_to_push({"a": "", "b": "", "c": "", "d": ""}, commands={"b": "other"}, name="third")
    assert [each.kind for each in answer.rejections] == [RejectionKind.ID_CLASH] * 2
    first, second = (each.text for each in answer.rejections)
    assert "'a', 'b'" in first and "batch 1" in first and "'one'" in first and "'third'" in first and "'c'" not in first
    assert "'c'" in second and "batch 2" in second and "'two'" in second
    assert all(way in first for way in ("--name one", "--project"))
    assert len(world.store.batches) == 2


def test_very_many_problems_are_counted_and_not_all_reported(world: World) -> None:
    answer = world.answer_to_push({f"t{number}": f"x{number}" for number in range(200)})
    assert len(answer.rejections) == 51
    assert answer.rejections[-1].text == "... and 150 more"


def test_ids_of_another_project_are_no_clash(world: World) -> None:
    world.push({"a": ""})
    world.push({"a": ""}, project="net", commands={"a": "other"})
    assert len(world.store.tasks) == 2
    assert world.answer_to_push({"b": "a"}, project="third").rejections


def test_two_tasks_of_a_project_may_not_write_one_file(world: World) -> None:
    world.push({"a": ""}, results={"a": "x.out"})
    answer = world.answer_to_push({"b": ""}, results={"b": "x.out"})
    (rejection,) = answer.rejections
    assert rejection.kind is RejectionKind.RESULT_CLASH
    assert all(word in rejection.text for word in ("'a'", "'b'", "'x.out'", "--allow_shared_results"))
    world.push({"b": ""}, results={"b": "x.out"}, allow_shared_results=True)
    world.push({"c": ""}, results={"c": "x.out"}, project="net")


def test_no_result_lies_in_an_older_tasks_folder(world: World) -> None:
    world.push({"a": ""}, results={"a": "mesh"})
    answer = world.answer_to_push({"b": ""}, results={"b": "mesh/fine/x"})
    assert "'mesh/fine/x' lies in 'mesh', a result of task 'a'" in answer.rejections[0].text
    world.push({"b": ""}, results={"b": "mesh/fine/x"}, allow_shared_results=True)


def test_two_pushes_may_have_one_pattern(world: World) -> None:
    world.push({"a": ""}, results={"a": "out/*.csv"})
    world.push({"b": ""}, results={"b": "out/*.csv"})
    assert world.states("a", "b") == "queued queued"


def test_a_requirement_in_an_older_tasks_folder_makes_it_a_dependency(world: World) -> None:
    world.push({"a": ""}, results={"a": "mesh"})
    world.push({"b": ""}, requirements={"b": "mesh/fine/x"}, external_names=[(0, "mesh/fine/x")])
    assert world.states("a", "b") == "queued pending"


def test_a_requirement_that_an_older_task_leaves_makes_it_a_dependency(world: World) -> None:
    world.push({"a": ""}, results={"a": "x.out"})
    world.push({"b": ""}, requirements={"b": "x.out"}, external_names=[(0, "x.out")])
    assert world.states("a", "b") == "queued pending"


def test_files_of_an_accepted_push_get_their_names_and_those_of_a_refused_one_do_not(world: World) -> None:
    world.answer_to_push({"a": "unknown"}, files=["net.inp"])
    assert not world.datastore.orders()
    assert not world.store.files
    world.push({"a": ""}, files=["net.inp"])
    assert [(order.name, order.digest) for order in world.datastore.ordered(Store)] == [("net.inp", DIGEST)]


def test_a_push_without_tasks_is_accepted_and_finished(world: World) -> None:
    batch = world.push({})
    assert world.store.batches[batch].finished_at
    assert not world.state.batches


def test_batches_without_tasks_do_not_hide_the_tasks_beside_them(world: World) -> None:
    world.push({"a": ""})
    world.push({"a": ""})
    world.push({"b": ""})
    world.ask(CancelAsked(selection=Selection(tasks=[1, 2])))
    assert world.states("a", "b") == "cancelled cancelled"


def test_numbers_of_tasks_and_batches_are_never_used_twice(world: World) -> None:
    world.push({"a": "", "b": ""}, inits=["init"])
    world.restart()
    world.push({"c": ""})
    assert world.number("c") == 4
    assert list(world.store.batches) == [1, 2]
    world.ignore()
