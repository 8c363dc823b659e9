"""The datastore's agent: orders, lanes, publishing, fences, recovery. Pure: no file, no clock."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from datastore.agent import DatastorePolicy, Record, RecordedFile
from datastore.agent.effects import (
    Confirm,
    Discard,
    DropRecords,
    FetchResults,
    KeepEpoch,
    LookUpNames,
    PlaceFiles,
    SendFile,
    StageFiles,
    StopFetching,
    StoreFiles,
    Sweep,
    SyncIncoming,
    WriteRecords,
)
from datastore.agent.events import (
    BossSeen,
    Discarded,
    EpochKept,
    FetchFailed,
    FileSent,
    FilesPlaced,
    IncomingSynced,
    InputsStaged,
    LinkConnected,
    LinkDisconnected,
    NamesFound,
    RecordsWritten,
    ResultsFetched,
    StepFailed,
    StoresEnded,
    Swept,
    TransferEnded,
)
from datastore.agent.state import IgnoredEvent
from tests.worlds.datastore_agent import DIGEST, PLACE, World
from wire.messages import (
    Abandon,
    Abandoned,
    Collect,
    CollectFile,
    DatastoreHeartbeat,
    DatastoreHello,
    Forget,
    Found,
    Input,
    LookUp,
    Published,
    SayHello,
    Send,
    SendFailed,
    Sent,
    Stage,
    StageDone,
    StageFailed,
    Store,
    Stored,
    StoreFailed,
)


def collect(task: int, attempt: int = 1, target: str = "", worker: str = "w", source: str = "out") -> Collect:
    file = CollectFile(source=source, target=target or f"r/{task}", size=3, digest=DIGEST)
    return Collect(task=task, attempt=attempt, worker=worker, place=PLACE, files=[file])


def stage(task: int, attempt: int = 1, name: str = "net.inp", worker: str = "w", digest: str = DIGEST) -> Stage:
    inputs = [Input(name=name, path="net.inp", digest=digest)]
    return Stage(task=task, attempt=attempt, worker=worker, place=PLACE, inputs=inputs)


def record(task: int, attempt: int = 1, deployment: str = "d") -> Record:
    return Record(deployment, "before", task, attempt, [RecordedFile(f"r/{task}", 3, DIGEST)])


@pytest.fixture
def world() -> Iterator[World]:
    world = World().ready()
    yield world
    world.nothing_else()


# --- from Collect to Published ----------------------------------------------------------------------


def test_results_are_fetched_synced_recorded_placed_and_only_then_published(world: World) -> None:
    world.order(collect(7))
    assert world.fetch() == [(7, 1)]
    world.one(SyncIncoming)
    assert world.reports() == []
    world.give(IncomingSynced())
    (written,) = world.one(WriteRecords).records
    assert (written.deployment, written.incarnation, written.key) == ("d", "now", (7, 1))
    assert world.reports() == []
    world.give(RecordsWritten())
    world.one(PlaceFiles)
    assert world.reports() == []
    world.give(FilesPlaced())
    (answer,) = world.reports()
    assert isinstance(answer, Published) and (answer.task, answer.attempt) == (7, 1)
    assert [(file.name, file.size, file.digest) for file in answer.files] == [("r/7", 3, DIGEST)]


def test_a_repeated_order_is_answered_from_the_record_and_not_worked_twice_while_it_is_under_way(world: World) -> None:
    world.order(collect(7))
    world.order(collect(7))
    world.fetch()
    world.order(collect(7))
    world.one(SyncIncoming)
    world.give(IncomingSynced())
    world.order(collect(7))
    world.one(WriteRecords)
    world.give(RecordsWritten())
    world.order(collect(7))
    world.one(PlaceFiles)
    assert world.reports() == []
    world.give(FilesPlaced())
    first = world.reports()
    world.order(collect(7), collect(7))
    assert world.reports() == first + first
    world.order(Abandon(task=7, attempt=1))
    assert world.reports() == first


def test_what_is_fetched_while_a_batch_is_under_way_rides_with_the_next(world: World) -> None:
    world.order(collect(1))
    world.fetch()
    world.order(collect(2), collect(3), collect(4))
    world.fetch()
    assert [record.task for record in world.publish()] == [1]
    assert [record.task for record in world.publish()] == [2, 3, 4]
    assert [report.task for report in world.reports()] == [1, 2, 3, 4]


def test_two_attempts_that_want_one_name_never_share_a_batch(world: World) -> None:
    world.order(collect(9))
    world.fetch()
    world.order(collect(1, target="same"), collect(2, target="same"), collect(3, target="same/below"), collect(4))
    world.fetch()
    world.publish()
    assert [record.task for record in world.publish()] == [1, 4]
    assert [record.task for record in world.publish()] == [2]
    world.one(SyncIncoming)
    world.give(IncomingSynced([((3, 1), "a file stands there")]))
    world.give(Discarded(world.one(Discard).keys))
    assert [(type(report), report.task) for report in world.reports()] == [
        (Published, 9), (Published, 1), (Published, 4), (Published, 2), (Abandoned, 3),
    ]  # fmt: skip


def test_a_lower_attempt_than_the_published_one_is_refused_at_every_stage(world: World) -> None:
    world.order(collect(7, 1), collect(7, 2))
    world.fetch()
    world.publish()
    world.publish()
    world.reports()
    world.order(collect(9, 2))
    world.fetch()
    world.order(collect(9, 1))
    world.publish()
    assert world.fetch() == [(9, 1)]
    world.give(Discarded(world.one(Discard).keys))
    world.order(collect(9, 1))
    published, *refused = world.reports()
    assert isinstance(published, Published)
    assert [(report.attempt, report.fault) for report in refused] == [(1, "fenced"), (1, "fenced")]
    assert "attempt 2" in refused[0].reason


def test_names_outside_the_tree_are_refused_without_touching_a_file(world: World) -> None:
    world.order(
        collect(1, target="../x"), collect(2, target="/etc/x"), collect(3, source="../../etc/passwd"),
        collect(4, target=".ecloud/index.sqlite"), collect(5, target="a\0b"),
    )  # fmt: skip
    answers = world.reports()
    assert [(answer.task, answer.fault) for answer in answers] == [(task, "path") for task in (1, 2, 3, 4, 5)]
    world.order(collect(1, target="../x"))
    assert world.reports() == answers[:1]


def test_a_result_that_is_not_what_the_worker_said_ends_the_attempt(world: World) -> None:
    world.order(collect(7))
    effect = world.one(FetchResults)
    world.give(FetchFailed((7, 1), "result", "'out' has 2 bytes, not 3"), TransferEnded(effect.transfer))
    (answer,) = world.reports()
    assert (answer.fault, answer.reason) == ("result", "'out' has 2 bytes, not 3")


def test_a_failed_transfer_is_tried_again_and_given_up_after_its_tries(world: World) -> None:
    world.order(collect(7))
    for pause in (2, 4):
        effect = world.one(FetchResults)
        world.give(FetchFailed((7, 1), "transfer", "no such directory"), TransferEnded(effect.transfer))
        assert world.reports() == []
        world.nothing_else()
        assert world.agent.next_deadline() is not None
        world.wait(pause)
    effect = world.one(FetchResults)
    world.give(TransferEnded(effect.transfer, "the thread failed"))
    assert world.reports() == []
    world.give(Discarded(world.one(Discard).keys))  # what the tries have left
    (answer,) = world.reports()
    assert answer.fault == "transfer" and "the thread failed" in answer.reason and "3 tries" in answer.reason


def test_a_result_that_changed_is_fetched_again_and_is_no_result_in_the_end(world: World) -> None:
    world.order(collect(7))
    for pause in (2, 4):
        effect = world.one(FetchResults)
        world.give(FetchFailed((7, 1), "changed", "it has 2 bytes"), TransferEnded(effect.transfer))
        assert world.reports() == []
        world.wait(pause)
    effect = world.one(FetchResults)
    world.give(FetchFailed((7, 1), "changed", "it has 3 bytes"), TransferEnded(effect.transfer))
    world.give(Discarded(world.one(Discard).keys))
    (answer,) = world.reports()
    assert answer.fault == "result" and "it has 3 bytes" in answer.reason and "3 tries" in answer.reason


@pytest.mark.parametrize("fault", ["host", "result", "path"])
def test_what_no_second_try_can_mend_ends_at_once(world: World, fault: Any) -> None:
    world.order(collect(7))
    effect = world.one(FetchResults)
    world.give(FetchFailed((7, 1), fault, "why"), TransferEnded(effect.transfer))
    assert world.reports() == [Abandoned(task=7, attempt=1, fault=fault, reason="why")]
    world.nothing_else()


# --- Abandon ----------------------------------------------------------------------------------------


def test_abandon_of_an_unknown_attempt_is_answered_and_a_late_collect_of_it_refused(world: World) -> None:
    world.order(Abandon(task=7, attempt=1, reason="worker lost"))
    world.order(collect(7))
    first, second = world.reports()
    assert first == second == Abandoned(task=7, attempt=1, fault="asked", reason="worker lost")


def test_abandon_while_it_waits_for_its_turn_ends_it_at_once() -> None:
    world = World(DatastorePolicy(transfers_at_once=1)).ready()
    world.order(collect(1, worker="a"))
    world.order(collect(2, worker="b"), Abandon(task=2, attempt=1))
    assert [(report.task, report.fault) for report in world.reports()] == [(2, "asked")]
    world.fetch()
    world.publish()
    world.reports()
    world.nothing_else()


def test_abandon_while_it_waits_for_a_retry_ends_it_when_what_was_left_is_gone(world: World) -> None:
    world.order(collect(7))
    effect = world.one(FetchResults)
    world.give(FetchFailed((7, 1), "transfer", "cut"), TransferEnded(effect.transfer))
    world.order(Abandon(task=7, attempt=1))
    assert world.reports() == []
    world.give(Discarded(world.one(Discard).keys))
    assert [report.fault for report in world.reports()] == ["asked"]
    world.wait(1000)
    world.reports()


def test_abandon_while_fetching_is_answered_when_the_files_are_gone(world: World) -> None:
    world.order(collect(7))
    effect = world.one(FetchResults)
    world.order(Abandon(task=7, attempt=1), Abandon(task=7, attempt=1))
    assert world.one(StopFetching).key == (7, 1)
    assert world.reports() == []
    world.give(ResultsFetched((7, 1)))
    world.one(Discard)
    assert world.reports() == []
    world.give(Discarded([(7, 1)]))
    assert [report.fault for report in world.reports()] == ["asked"]
    world.give(TransferEnded(effect.transfer))


def test_abandon_of_fetched_results_discards_them() -> None:
    world = World().ready()
    world.order(collect(1))
    world.fetch()
    world.order(collect(2))
    world.fetch()
    world.order(Abandon(task=2, attempt=1))
    world.give(Discarded(world.one(Discard).keys))
    assert [(type(report), report.task) for report in world.reports()] == [(Abandoned, 2)]
    world.publish()
    assert [(type(report), report.task) for report in world.reports()] == [(Published, 1)]
    world.nothing_else()


def test_abandon_before_the_record_is_written_wins_and_after_it_loses(world: World) -> None:
    world.order(collect(9))
    world.fetch()
    world.order(collect(1), collect(2))
    world.fetch()
    world.publish()
    world.order(Abandon(task=1, attempt=1))
    world.reports()
    world.one(SyncIncoming)
    world.give(IncomingSynced())
    assert [record.task for record in world.one(WriteRecords).records] == [2]
    world.give(Discarded(world.one(Discard).keys))
    world.order(Abandon(task=2, attempt=1))
    world.give(RecordsWritten())
    world.order(Abandon(task=2, attempt=1))
    world.one(PlaceFiles)
    world.give(FilesPlaced())
    assert [(type(report), report.task) for report in world.reports()] == [(Abandoned, 1), (Published, 2)]


# --- Forget -----------------------------------------------------------------------------------------


def test_forget_drops_records_fences_and_remembered_ends(world: World) -> None:
    world.order(collect(1, 2), Abandon(task=2, attempt=1))
    world.fetch()
    world.publish()
    world.reports()
    world.order(Forget(attempts=[(1, 2), (2, 1), (3, 1)]))
    assert world.one(DropRecords) == DropRecords([(1, 2)], "d")
    state = world.agent.state
    assert not state.records and not state.fences and not state.ended


def test_forget_of_an_attempt_under_way_gives_it_up_before_the_record_and_changes_nothing_after(world: World) -> None:
    world.order(collect(1), collect(2))
    effect = world.one(FetchResults)
    world.order(Forget(attempts=[(1, 1)]))
    world.one(StopFetching)
    world.give(FetchFailed((1, 1), "stopped"), ResultsFetched((2, 1)), TransferEnded(effect.transfer))
    world.one(SyncIncoming)
    world.give(IncomingSynced())
    world.one(WriteRecords)
    world.give(RecordsWritten())
    world.order(Forget(attempts=[(2, 1)]))
    world.one(PlaceFiles)
    world.give(FilesPlaced())
    assert [(type(report), report.task) for report in world.reports()] == [(Abandoned, 1), (Published, 2)]
    assert (2, 1) in world.agent.state.records


# --- numbered orders --------------------------------------------------------------------------------


def test_orders_of_others_and_passed_numbers_are_ignored(world: World) -> None:
    world.order(LookUp(task=1, names=["a"]), number=5)
    world.all(LookUpNames)
    for other in ({"deployment": "x"}, {"receiver": "x"}, {"number": 5}, {"number": 4}, {"epoch": 0}):
        world.order(LookUp(task=2, names=["a"]), **{"number": 6, **other})
    assert world.all(LookUpNames) == []
    assert world.agent.state.ignored == {
        IgnoredEvent.OTHER_DEPLOYMENT: 1,
        IgnoredEvent.OTHER_INCARNATION: 1,
        IgnoredEvent.NOT_NEWER: 2,
        IgnoredEvent.SUPERSEDED_BOSS: 1,
    }
    world.order(LookUp(task=2, names=["a"]), number=6)
    world.one(LookUpNames)
    assert world.all(Confirm) == [Confirm(1, 5), Confirm(1, 6)]


def test_a_new_boss_is_served_only_when_its_epoch_is_on_disk(world: World) -> None:
    world.order(LookUp(task=1, names=["a"]), epoch=3, number=1)
    world.order(LookUp(task=2, names=["a"]), epoch=3, number=2)
    world.order(LookUp(task=9, names=["a"]), epoch=1, number=77)
    assert world.one(KeepEpoch).epoch == 3
    assert [effect.order.task for effect in world.all(LookUpNames)] == [9]
    world.all(Confirm)
    world.give(EpochKept(3))
    assert [effect.order.task for effect in world.all(LookUpNames)] == [1, 2]
    assert world.all(Confirm) == [Confirm(3, 1), Confirm(3, 2)]
    world.order(LookUp(task=9, names=["b"]), epoch=1, number=78)


def test_an_epoch_that_rises_twice_at_once_lets_only_the_last_boss_through(world: World) -> None:
    world.order(LookUp(task=1, names=["a"]), epoch=3, number=1)
    world.order(LookUp(task=2, names=["a"]), epoch=4, number=1)
    assert [effect.epoch for effect in world.all(KeepEpoch)] == [3, 4]
    world.give(EpochKept(3))
    assert [effect.order.task for effect in world.all(LookUpNames)] == [1]
    world.give(EpochKept(4))
    assert [effect.order.task for effect in world.all(LookUpNames)] == [2]


# --- lanes ------------------------------------------------------------------------------------------


def test_one_transfer_a_worker_and_direction_and_what_is_asked_meanwhile_rides_with_the_next(world: World) -> None:
    world.order(stage(1), collect(2))
    first, other = world.one(StageFiles), world.one(FetchResults)
    world.order(stage(3), stage(4), stage(5))
    assert world.all(StageFiles) == []
    world.give(InputsStaged(StageDone(task=1, attempt=1, inputs=[])), TransferEnded(first.transfer))
    second = world.one(StageFiles)
    assert [job.task for job in second.jobs] == [3, 4, 5]
    world.give(TransferEnded(second.transfer, "no disk"), FetchFailed((2, 1), "result", "x"))
    world.give(TransferEnded(other.transfer))
    said = world.reports()
    assert [(type(report), report.task) for report in said] == [
        (StageDone, 1), (StageFailed, 3), (StageFailed, 4), (StageFailed, 5), (Abandoned, 2),
    ]  # fmt: skip
    assert said[1].fault == "transfer"


def test_at_most_the_limit_run_and_workers_take_turns() -> None:
    world = World(DatastorePolicy(transfers_at_once=2)).ready()
    for task, worker in enumerate("abcd"):
        world.order(stage(task, worker=worker))
    world.order(stage(10, worker="a"), stage(11, worker="a"))
    order = []
    running = world.all(StageFiles)
    assert len(running) == 2
    while running:
        effect = running.pop(0)
        order.append(effect.worker)
        world.give(TransferEnded(effect.transfer, "x"))
        running += world.all(StageFiles)
        assert len(running) <= 2
    assert order == ["a", "b", "c", "d", "a"]
    world.reports()
    world.nothing_else()


def test_a_repeated_stage_is_not_worked_twice_but_one_after_the_answer_is(world: World) -> None:
    world.order(stage(1), stage(1))
    effect = world.one(StageFiles)
    assert len(effect.jobs) == 1
    world.order(stage(1))
    world.give(InputsStaged(StageDone(task=1, attempt=1, inputs=[])), TransferEnded(effect.transfer))
    world.order(stage(1))
    effect = world.one(StageFiles)
    world.give(InputsStaged(StageDone(task=1, attempt=1, inputs=[])), TransferEnded(effect.transfer))
    assert len(world.reports()) == 2


def test_a_required_name_outside_the_tree_fails_for_want_of_input(world: World) -> None:
    world.order(stage(1, name="../../etc/passwd"))
    (answer,) = world.reports()
    assert answer.fault == "input" and answer.reason.startswith("fetching required files failed: ")


# --- sent files and questions -----------------------------------------------------------------------


def store(name: str, digest: str = DIGEST) -> Store:
    return Store(name=name, digest=digest, size=3, source="/spool/x")


def test_sent_files_get_their_names_in_batches_and_each_is_answered(world: World) -> None:
    world.order(store("a"), store("../b"))
    first = world.one(StoreFiles)
    world.order(store("a"), store("c"), store("d"))
    world.give(StoresEnded([Stored(name="a", digest=DIGEST)]))
    second = world.one(StoreFiles)
    world.give(StoresEnded([Stored(name="c", digest=DIGEST), StoreFailed(name="d", digest=DIGEST, reason="gone")]))
    assert ([order.name for order in first.orders], [order.name for order in second.orders]) == (["a"], ["c", "d"])
    assert [type(report) for report in world.reports()] == [StoreFailed, Stored, Stored, StoreFailed]


def test_staging_waits_for_a_sent_file_that_is_getting_its_name(world: World) -> None:
    world.order(store("net.inp"))
    world.order(stage(1), stage(2, name="other"))
    other = world.one(StageFiles)
    assert [job.task for job in other.jobs] == [2]
    world.give(InputsStaged(StageDone(task=2, attempt=1, inputs=[])), TransferEnded(other.transfer))
    world.one(StoreFiles)
    world.give(StoresEnded([Stored(name="net.inp", digest=DIGEST)]))
    effect = world.one(StageFiles)
    world.give(InputsStaged(StageDone(task=1, attempt=1, inputs=[])), TransferEnded(effect.transfer))
    world.reports()


def test_a_question_asked_twice_is_worked_once(world: World) -> None:
    world.order(LookUp(task=1, names=["a"]), LookUp(task=1, names=["a"]))
    world.one(LookUpNames)
    world.give(NamesFound(Found(task=1, files=[])))
    assert [type(report) for report in world.reports()] == [Found]


def test_content_that_the_boss_wants_is_sent_once_at_a_time(world: World) -> None:
    order = Send(name="out", digest=DIGEST, size=3)
    world.order(order, order)
    assert world.one(SendFile).order == order
    world.give(FileSent(Sent(digest=DIGEST)))
    assert world.reports() == [Sent(digest=DIGEST)]
    world.order(order)
    world.one(SendFile)
    world.give(FileSent(SendFailed(digest=DIGEST, reason="full")))
    assert world.reports() == [SendFailed(digest=DIGEST, reason="full")]


def test_a_name_outside_the_tree_is_never_sent(world: World) -> None:
    world.order(Send(name="../etc/passwd", digest=DIGEST, size=3))
    (answer,) = world.reports()
    assert isinstance(answer, SendFailed)


# --- full disk --------------------------------------------------------------------------------------


def test_a_full_disk_makes_results_wait_says_why_and_loses_nothing(world: World) -> None:
    world.order(collect(7))
    effect = world.one(FetchResults)
    world.give(FetchFailed((7, 1), "full", "the disk is full"), TransferEnded(effect.transfer))
    (beat,) = world.reports(heartbeats=True)
    assert beat.warning == "the disk is full"
    world.order(collect(8))
    world.nothing_else()
    world.wait(10)
    assert world.fetch() == [(7, 1), (8, 1)]
    assert world.reports(heartbeats=True)[-1].warning == ""
    world.publish()
    world.publish()
    assert [report.task for report in world.reports()] == [7, 8]


def test_a_result_without_room_waits_alone_while_others_are_fetched_and_a_warning_stands_until_it_is_there(
    world: World,
) -> None:
    world.order(collect(7), collect(8))
    effect = world.one(FetchResults)
    said = FetchFailed((7, 1), "no_space", "5 bytes are free and 9 are needed")
    world.give(said, ResultsFetched((8, 1)), TransferEnded(effect.transfer))
    world.publish()
    world.order(collect(9))
    assert world.fetch() == [(9, 1)]
    world.publish()
    assert warnings(world) == [said.reason]
    world.wait(10)
    assert world.fetch() == [(7, 1)]
    world.publish()
    assert warnings(world) == [said.reason, ""]


def warnings(world: World) -> list[str]:
    return [beat.warning for beat in world.reports(heartbeats=True) if isinstance(beat, DatastoreHeartbeat)]


def test_no_warning_is_given_of_a_full_disk_for_a_result_that_is_not_wanted_any_more(world: World) -> None:
    world.order(collect(7))
    effect = world.one(FetchResults)
    world.give(FetchFailed((7, 1), "no_space", "no room"), TransferEnded(effect.transfer))
    assert world.reports(heartbeats=True)[-1].warning == "no room"
    world.order(Abandon(task=7, attempt=1))
    assert [type(report) for report in world.reports(heartbeats=True)] == [DatastoreHeartbeat, Abandoned]


def test_a_full_disk_while_recording_leaves_the_attempt_free_to_be_abandoned(world: World) -> None:
    world.order(collect(7))
    world.fetch()
    world.order(collect(8))
    world.fetch()
    world.one(SyncIncoming)
    world.give(StepFailed("the disk is full", full=True))
    world.wait(10)
    world.one(SyncIncoming)
    world.give(IncomingSynced())
    world.one(WriteRecords)
    world.order(Abandon(task=8, attempt=1))
    world.give(StepFailed("the disk is full", full=True))
    world.give(Discarded(world.one(Discard).keys))
    assert [(report.task, report.fault) for report in world.reports()] == [(8, "asked")]
    world.wait(10)
    assert [record.task for record in world.publish()] == [7]
    assert [report.task for report in world.reports()] == [7]


def test_a_record_of_which_it_is_unknown_whether_it_is_on_disk_can_only_be_completed(world: World) -> None:
    world.order(collect(7))
    world.fetch()
    world.one(SyncIncoming)
    world.give(IncomingSynced())
    world.one(WriteRecords)
    world.give(StepFailed("input/output error"))
    world.order(Abandon(task=7, attempt=1))
    assert world.all(Discard) == []
    world.wait(10)
    world.one(WriteRecords)
    world.give(StepFailed("the disk is full", full=True))
    assert world.all(Discard) == []
    world.wait(10)
    world.one(WriteRecords)
    world.give(RecordsWritten())
    world.one(PlaceFiles)
    world.give(StepFailed("input/output error"))
    world.wait(10)
    world.one(PlaceFiles)
    world.give(FilesPlaced())
    assert [type(report) for report in world.reports()] == [Published]


def test_sent_files_wait_for_space_too(world: World) -> None:
    world.order(store("a"), store("b"))
    world.one(StoreFiles)
    world.give(StoresEnded([Stored(name="a", digest=DIGEST)], full="the disk is full"))
    assert world.reports(heartbeats=True)[-1].warning == "the disk is full"
    world.order(store("c"))
    world.nothing_else()
    world.wait(10)
    assert [order.name for order in world.one(StoreFiles).orders] == ["b", "c"]
    world.give(StoresEnded([Stored(name="b", digest=DIGEST), Stored(name="c", digest=DIGEST)]))
    assert world.reports(heartbeats=True)[-1].warning == ""


# --- start, hello, heartbeat ------------------------------------------------------------------------


def test_at_the_start_records_are_completed_then_the_rest_swept_and_only_then_hello() -> None:
    world = World(records=[record(7, 2), record(1, deployment="old")])
    assert [record.task for record in world.one(PlaceFiles).records] == [7, 1]
    world.order(collect(9))
    world.nothing_else()
    world.give(StepFailed("a folder stands there"))
    world.wait(10)
    world.one(PlaceFiles)
    world.give(FilesPlaced())
    world.one(Sweep)
    world.nothing_else()
    world.give(Swept())
    assert world.one(DropRecords) == DropRecords([(1, 1)], "old")
    assert [type(report) for report in world.reports()] == [DatastoreHello, Published]
    world.order(collect(7, 2), collect(7, 1), Abandon(task=7, attempt=2))
    assert [type(report) for report in world.reports()] == [Published, Abandoned, Published]
    world.nothing_else()


def test_each_hello_is_followed_by_the_records_of_a_former_start_until_they_are_forgotten() -> None:
    """The boss may have heard that an order to forget was taken by an incarnation that died of it."""
    world = World(records=[record(7, 2)])
    world.one(PlaceFiles)
    world.give(FilesPlaced())
    world.one(Sweep)
    world.give(Swept())
    world.order(SayHello())
    assert [type(report) for report in world.reports()] == [DatastoreHello, Published] * 2
    world.order(Forget(attempts=[(7, 2)]), SayHello())
    assert world.one(DropRecords).keys == [(7, 2)]
    assert [type(report) for report in world.reports()] == [DatastoreHello]


def test_a_hello_follows_every_connection_every_new_boss_and_every_question_for_it(world: World) -> None:
    world.give(LinkDisconnected(), LinkConnected())
    world.give(BossSeen("b1"), BossSeen("b1"), BossSeen("b2"))
    world.order(SayHello())
    assert [type(report) for report in world.reports()] == [DatastoreHello] * 4
    world.give(LinkDisconnected(), BossSeen("b3"))
    assert world.reports() == []


def test_heartbeats_tell_the_free_space_while_connected(world: World) -> None:
    world.wait(5)
    (beat,) = world.reports(heartbeats=True)
    assert beat.disk_free == 5
    world.wait(1)
    assert world.reports(heartbeats=True) == []
    world.give(LinkDisconnected())
    assert world.agent.next_deadline() is None


def test_events_of_nothing_under_way_are_ignored(world: World) -> None:
    before = sum(world.agent.state.ignored.values())
    world.give(
        ResultsFetched((1, 1)), FetchFailed((1, 1), "transfer"), TransferEnded(9), IncomingSynced(), RecordsWritten(),
        FilesPlaced(), StepFailed("x"), Discarded([(1, 1)]), StoresEnded([]), NamesFound(Found(task=1, files=[])),
        InputsStaged(StageDone(task=1, attempt=1, inputs=[])), Swept(), EpochKept(0),
    )  # fmt: skip
    assert sum(world.agent.state.ignored.values()) > before
    assert world.effects == []
