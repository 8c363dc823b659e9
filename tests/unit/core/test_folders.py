"""Results that are directories, from the outcome to the rows; and orders whose inputs make them too long."""

from __future__ import annotations

from boss.core.effects import SendToDatastore, StageOrder
from boss.core.orders import NUMBERS_APART
from boss.dispatch import Dispatcher
from tests.worlds.lookups import PLACE, Lookups
from tests.worlds.scheduler import DIGEST, World, manifest, published
from wire.codec import encode
from wire.messages import Collect, Forget, Input, Published, ResultFolder, Stage

FOLDER = ResultFolder(source="work/mesh", target="mesh", empty=["none"])


def leave(world: World, project: str = "default", files: str = "mesh/x") -> Collect:
    world.push({"a": "", "b": "a"}, results={"a": "mesh"}, project=project)
    worker = world.worker()
    worker.began((1, 1))
    world.ignore()
    worker.ended(1, 1, manifest=manifest(files), folders=[FOLDER])
    (order,) = world.datastore.ordered(Collect)
    return order


def test_a_directory_is_collected_below_the_projects_names(world: World) -> None:
    order = leave(world, project="net")
    assert [file.target for file in order.files] == ["projects/net/mesh/x"]
    assert order.folders == [ResultFolder(source="work/mesh", target="projects/net/mesh", empty=["none"])]
    world.ignore()


def test_a_directory_without_files_is_collected_too(world: World) -> None:
    assert leave(world, files="").files == []
    assert world.states("a") == "running"
    world.ignore()


def test_after_a_restart_the_directory_is_asked_for_again(world: World) -> None:
    order = leave(world)
    world.restart()
    world.datastore.hello()
    (again,) = world.datastore.ordered(Collect)
    assert (again.files, again.folders) == (order.files, order.folders)
    world.ignore()


def test_a_published_directory_has_rows_of_its_files_and_none_of_its_own(world: World) -> None:
    leave(world, project="net")
    files = published("mesh/x", "net")
    world.datastore.report(Published(task=1, attempt=1, files=files, folders=["projects/net/mesh"]))
    assert world.states("a", "b", project="net") == "succeeded queued"
    assert world.store.results[("net", "mesh/x")].digest == DIGEST
    assert world.store.results[("net", "mesh")].digest == ""
    assert [order.attempts for order in world.datastore.ordered(Forget)] == [[(1, 1)]]
    world.ignore()


def test_a_message_that_its_inputs_make_too_long_is_cut_and_each_part_has_a_number_of_its_own() -> None:
    class Many(Lookups):
        def requirements(self, numbers: object) -> dict[int, list[Input]]:
            files = [Input(name=f"d/{n:05}", path=f"d/{n:05}", digest=DIGEST) for n in range(10_000)]
            return {number: files for number in range(1, 7)}

    orders = [StageOrder(task=task, attempt=1, worker="w", place=PLACE) for task in range(1, 7)]
    effect = SendToDatastore(incarnation="store.1", number=5 * NUMBERS_APART, orders=list(orders))
    messages = Dispatcher(Many(), "d", 3).to_datastore([effect])
    numbers = [message.number for message in messages]
    assert len(numbers) > 1 and numbers == sorted(set(numbers)) and numbers[-1] == 5 * NUMBERS_APART
    assert numbers[0] > 4 * NUMBERS_APART
    staged = [order.task for message in messages for order in message.orders if isinstance(order, Stage)]
    assert staged == [1, 2, 3, 4, 5, 6]
    assert all(encode(message) for message in messages)
