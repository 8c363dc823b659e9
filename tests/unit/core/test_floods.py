"""A worker that floods the boss: what it makes the scheduler keep, send and record is bounded."""

from __future__ import annotations

import pytest

from boss.core.reasons import ReportRejection
from boss.core.workers import COMMAND_KEPT, STARTS, STARTS_WITHIN
from tests.worlds.scheduler import World
from wire.codec import encode
from wire.messages import REASON_KEPT, Acknowledge, Heartbeat, Returned, Run


@pytest.fixture
def world() -> World:
    return World()


def test_progress_is_kept_of_held_attempts_only(world: World) -> None:
    world.push({"a": ""})
    worker = world.worker("w")
    [run] = worker.ordered(Run)
    worker.began((run.task, 1))
    worker.report(Heartbeat(progress=[(run.task, 1, 0.5), (run.task, 2, 0.9), (7, 1, 0.9), (2**53 - 1, 1, 1.0)]))
    assert worker.seen.progress == {run.task: 0.5}
    worker.ended(run.task)
    assert not worker.seen.progress
    worker.orders()


def test_acknowledgements_of_what_never_was_go_out_in_parts(world: World) -> None:
    worker = world.worker("w")
    worker.orders()
    worker.report(*(Returned(task=number, attempt=1) for number in range(1, 20_001)))
    sizes = [len(encode(message)) for message in worker.received]
    assert max(sizes) < 2 * world.policy.order_bytes
    acknowledged = [key for order in worker.ordered(Acknowledge) for key in order.attempts]
    assert acknowledged == [(number, 1) for number in range(1, 20_001)]
    assert not worker.seen.unconfirmed, "the worker would report it again"


def test_an_agent_that_starts_again_and_again_is_not_heard_for_a_while(world: World) -> None:
    worker = world.worker("w")
    for _ in range(3 * STARTS):
        worker.restarted()
    assert len(worker.seen.starts) == STARTS
    assert world.state.rejected[ReportRejection.STARTED_TOO_OFTEN] == 2 * STARTS + 1
    rows = sum("hello of incarnation" in move.cause for move in world.state.story)
    assert rows == STARTS
    world.now += STARTS_WITHIN
    worker.hello()
    assert worker.seen.incarnation == worker.incarnation
    worker.orders()


def test_what_a_worker_says_of_an_end_is_kept_in_part(world: World) -> None:
    world.push({"a": ""})
    worker = world.worker("w")
    [run] = worker.ordered(Run)
    worker.ended(run.task, how="failed", reason="r" * 16_384, command="c" * (COMMAND_KEPT + 1))
    row = world.store.attempts[(run.task, 1)]
    assert len(row.reason) == len(world.store.tasks[run.task].reason) == REASON_KEPT
    assert len(row.command) == COMMAND_KEPT
    worker.orders()
