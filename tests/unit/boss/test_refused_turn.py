"""A turn with a row that the database refuses: forgotten, and taken again until all but that row is recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from boss.core.effects import Answer, OfInstance
from boss.core.events import Event
from boss.core.rows import AttemptRow, Changes
from boss.core.scheduler import Scheduler
from boss.core.store import TurnRefusedError
from boss.inbox import Inbox
from boss.loop import GIVEN_UP_IN_A_ROW, Loop
from boss.turn import MessageToWorker
from tests.worlds.scheduler import FakeWorker, World
from tests.worlds.store import Session, SimulatedStore
from wire.messages import DatastoreOrders, Outcome, Run, SayHello


class StrictSession(Session):
    """Refuses turns with an attempt of which it does not like what the command printed."""

    def __init__(self, store: SimulatedStore) -> None:
        super().__init__(store)
        self.refuses: Callable[[AttemptRow], bool] = lambda row: row.stdout_tail == "bad"
        self.names_it = True
        self.refuses_all = False
        self.refused = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.store, name)

    def commit(self, changes: Changes, wall: float) -> None:
        bad = [key for key, row in changes.attempts.items() if self.refuses(row)]
        if bad or self.refuses_all or any("bad" in one.submission.ids for one in changes.accepted):
            self.refused += 1
            raise TurnRefusedError("no column takes it", bad[0] if bad and self.names_it else None)
        super().commit(changes, wall)


class Site(World):
    """The world of the unit tests around a real loop."""

    def _begin(self) -> None:
        self.session: StrictSession = StrictSession(self.store)
        self.store.epoch += 1
        self.session.epoch = self.store.epoch
        kinds = (MessageToWorker, DatastoreOrders, Answer, *OfInstance.__subclasses__())
        self.scheduler = Scheduler(self.policy)
        self.loop = Loop(Inbox(), self.scheduler, self.session, dict.fromkeys(kinds, self._perform))  # type: ignore[arg-type]
        self.loop.start()

    def turn(self, *events: Event) -> None:
        self.loop.turn(list(events))
        while self.loop._waiting or not self.loop.inbox._items.empty():
            self.loop.turn(self.loop._collect())


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.ignore()
    made.close()


def at_work(site: Site, count: int) -> list[FakeWorker]:
    """So many tasks, each executing on a worker of its own."""
    workers = [site.worker(f"w{number}", slots=1) for number in range(count)]
    site.push({f"t{number}": "" for number in range(count)})
    for worker in workers:
        worker.began(*((order.task, order.attempt) for order in worker.ordered(Run)))
    return workers


def outcome(worker: FakeWorker, printed: str = "good") -> Event:
    ((task, attempt),) = worker.seen.attempts
    return worker.message(Outcome(task=task, attempt=attempt, ended="succeeded", stdout_tail=printed))


@pytest.mark.parametrize("names_it", [True, False])
def test_the_task_with_the_bad_row_fails_with_a_sentence_and_the_rest_is_recorded(site: Site, names_it: bool) -> None:
    site.session.names_it = names_it
    workers = at_work(site, 5)
    site.turn(*(outcome(worker, "bad" if worker.id == "w2" else "good") for worker in workers))
    assert site.states("t0", "t1", "t2", "t3", "t4") == "succeeded succeeded failed succeeded succeeded"
    (bad,) = [row for row in site.store.attempts.values() if row.ended == "failed"]
    assert bad.reason == "its outcome cannot be recorded: no column takes it"
    assert site.session.refused == (1 if names_it else 3), "5 events, then 2, then the one"


def test_the_outcome_is_known_for_what_it_is_when_it_comes_again(site: Site) -> None:
    (worker,) = at_work(site, 1)
    ((task, attempt),) = worker.seen.attempts
    report = Outcome(task=task, attempt=attempt, ended="succeeded", stdout_tail="bad")
    site.turn(worker.message(report))
    site.turn(worker.message(report))
    assert site.session.refused == 1 and site.states("t0") == "failed"


def test_two_bad_rows_of_one_message_are_both_found(site: Site) -> None:
    worker = site.worker("w", slots=2)
    site.push({"a": "", "b": "", "c": ""})
    keys = [(order.task, order.attempt) for order in worker.ordered(Run)][:2]
    worker.began(*keys)
    worker.report(*(Outcome(task=t, attempt=a, ended="succeeded", stdout_tail="bad") for t, a in keys))
    assert site.states("a", "b") == "failed failed"


def test_after_it_orders_are_numbered_on_and_all_are_asked_what_they_hold(site: Site) -> None:
    workers = at_work(site, 3)
    before = {worker.id: worker.seen.number for worker in workers}
    for worker in workers:
        worker.orders()
    site.turn(outcome(workers[0], "bad"))
    for worker in workers[1:]:
        (hello,) = [message for message in worker.received if isinstance(message.orders[0], SayHello)]
        assert hello.number > before[worker.id]
        worker.hello()


def test_a_push_that_is_refused_is_answered_and_leaves_nothing(site: Site) -> None:
    answer = site.answer_to_push({"good": "", "bad": ""})
    assert "the boss's database refuses it, and nothing was changed: no column takes it" in answer.rejections[0].text
    assert site.store.tasks == {}
    site.push({"good": ""})
    assert site.store.ids == {("default", "good"): 1}


def test_a_database_that_refuses_everything_stops_the_boss(site: Site) -> None:
    workers = at_work(site, GIVEN_UP_IN_A_ROW + 2)
    site.session.refuses_all = True
    with pytest.raises(TurnRefusedError):
        site.turn(*map(outcome, workers))
    assert site.session.refused > GIVEN_UP_IN_A_ROW
