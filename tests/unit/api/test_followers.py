"""How long a boss that a push started stays: who follows, who asks, and what is left to do."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from boss.api.backend import View
from boss.api.followers import (
    PUSHED_SECONDS,
    UNFOLLOWED_SECONDS,
    UNUSED_SECONDS,
    Followers,
    is_at_work,
    wait_until_unneeded,
)
from boss.api.live import LiveBackend
from boss.api.schema import BatchAnswer, Counts, PoolAnswer
from boss.core.effects import Answer
from boss.core.events import Submitted
from boss.core.policy import Policy
from boss.core.rows import Known
from boss.core.scheduler import Scheduler
from boss.inbox import Inbox
from boss.loop import Loop
from tests.worlds.api import pool_answer
from tests.worlds.scheduler import submission
from tests.worlds.store import SimulatedStore
from tests.worlds.waiting import scaled, wait_for


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def followers(clock: Clock) -> Followers:
    return Followers(clock)


def test_a_boss_that_no_other_has_followed_is_kept_for_who_asks(followers: Followers, clock: Clock) -> None:
    clock.now += 40.0
    assert (followers.idle_seconds(), followers.timeout_seconds()) == (40.0, UNUSED_SECONDS)
    followers.use()
    assert followers.idle_seconds() == 0.0


def test_a_push_is_waited_for_until_it_follows_and_not_long_after_that(followers: Followers, clock: Clock) -> None:
    followers.pushed()
    assert followers.timeout_seconds() == PUSHED_SECONDS
    with followers.follow(7), followers.follow(7):
        assert followers.count() == 2
        clock.now += 100.0
    assert (followers.count(), followers.idle_seconds()) == (0, 0.0)
    assert followers.timeout_seconds() == UNFOLLOWED_SECONDS


def test_a_push_that_was_refused_or_detached_is_not_waited_for(followers: Followers) -> None:
    followers.pushed()
    followers.expect_no_follower()
    assert followers.timeout_seconds() == UNFOLLOWED_SECONDS
    followers.pushed()
    followers.detach(3)
    assert followers.timeout_seconds() == UNFOLLOWED_SECONDS
    assert followers.is_detached(3) and not followers.is_detached(4)


def batch(number: int, *, detached: bool, finished_at: float = 0.0) -> BatchAnswer:
    return BatchAnswer(
        number=number,
        project="default",
        name="b",
        counts=Counts(),
        total=0,
        finished=False,
        detached=detached,
        finished_at=finished_at,
    )


def view(*batches: BatchAnswer, pool: PoolAnswer | None = None) -> View:
    return View(batches={one.number: one for one in batches}, pools=(pool,) if pool is not None else ())


def test_work_is_what_a_detached_batch_has_left() -> None:
    assert not is_at_work(view())
    assert not is_at_work(view(batch(1, detached=False)))
    assert is_at_work(view(batch(1, detached=False), batch(2, detached=True)))
    assert not is_at_work(view(batch(2, detached=True, finished_at=5.0)))


def test_instances_that_no_work_needs_are_stopped_first() -> None:
    pool = pool_answer(name="cloud", provider="opennebula", min=1, spare=1, max=9, grows=True, instances={"running": 3})
    assert is_at_work(view(pool=pool))
    assert not is_at_work(view(batch(1, detached=False), pool=pool)), "a batch that no client follows may need them"
    assert not is_at_work(view(pool=pool_answer(name="c", provider="static", min=1, max=9, instances={"running": 3})))
    kept = pool_answer(name="cloud", provider="opennebula", min=1, spare=1, max=9, grows=True, instances={"running": 2})
    assert not is_at_work(view(pool=kept))


def test_the_wait_ends_when_the_boss_was_not_needed_for_long_enough(
    followers: Followers, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.now += 10.0

    monkeypatch.setattr("boss.api.followers.time.sleep", sleep)
    followers.detach(2)
    views = iter([view(batch(2, detached=True))] * 5 + [view(batch(2, detached=True, finished_at=1.0))])
    assert wait_until_unneeded(followers, lambda: next(views), lambda: False)
    assert len(slept) == 6
    with followers.follow(2):
        assert not wait_until_unneeded(followers, lambda: view(), lambda: len(slept) > 20)
    assert not wait_until_unneeded(followers, lambda: view(), lambda: True)


def test_a_boss_is_in_use_for_as_long_as_a_result_is_read(followers: Followers, clock: Clock) -> None:
    idle: list[float] = []

    async def application(scope: object, receive: object, send: Callable[[object], Awaitable[None]]) -> None:
        for _ in range(2):
            clock.now += 50.0
            await send({})
            idle.append(followers.idle_seconds())

    async def nothing(*_: object) -> None:
        """Neither asks nor hears."""

    asyncio.run(followers.counting(application)({}, nothing, nothing))  # type: ignore[arg-type]
    assert idle == [0.0, 0.0]


# --- over a running loop ---------------------------------------------------------------------------------


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def backend(inbox: Inbox, followers: Followers, tmp_path: Path) -> Iterator[LiveBackend]:
    """Over a loop in a thread of its own."""
    made = LiveBackend(inbox, None, None, tmp_path, followers)  # type: ignore[arg-type]  # nothing is read here
    loop = Loop(inbox, Scheduler(Policy()), SimulatedStore().open(), {Answer: made.answer})  # type: ignore[arg-type]
    loop.start()
    thread = threading.Thread(target=loop.run)
    thread.start()
    yield made
    inbox.stop()
    inbox.stop()
    thread.join(scaled(30))
    assert not thread.is_alive()


def test_what_is_left_to_do_is_read_from_what_the_loop_published(backend: LiveBackend, followers: Followers) -> None:
    answer = backend.ask(Submitted(submission=submission({"a": ""}), known=Known()))
    assert not is_at_work(backend.view()), "it follows, or it does not matter"
    followers.detach(answer.value["batch"])
    wait_for(lambda: is_at_work(backend.view()), "a detached batch with a task left is work")
