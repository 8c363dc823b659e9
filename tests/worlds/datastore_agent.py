"""The datastore's agent in virtual time, with all that it asked for. Pure: no file, no clock."""

from __future__ import annotations

from typing import Any, TypeVar

from datastore.agent import DatastoreAgent, DatastorePolicy, Record
from datastore.agent.check import check
from datastore.agent.effects import (
    Confirm,
    Effect,
    FetchResults,
    PlaceFiles,
    Report,
    Sweep,
    SyncIncoming,
    WriteRecords,
)
from datastore.agent.events import (
    Event,
    FilesPlaced,
    IncomingSynced,
    LinkConnected,
    Ordered,
    RecordsWritten,
    ResultsFetched,
    Started,
    Swept,
    TimePassed,
    TransferEnded,
)
from wire.codec import decode, encode
from wire.messages import (
    VERSION,
    DatastoreHeartbeat,
    DatastoreOrder,
    DatastoreOrders,
    Place,
)

A = TypeVar("A", bound=Effect)


DIGEST = "b2:" + "0" * 64


PLACE = Place(path="/home/worker")


class World:
    """An agent, started and connected, with all that it asked for and that was not looked at yet."""

    def __init__(
        self, policy: DatastorePolicy | None = None, epoch: int = 1, records: list[Record] | None = None
    ) -> None:
        self.agent = DatastoreAgent("d", "now", policy)
        self.now = 100.0
        self.number = 0
        self.effects: list[Effect] = []
        self.give(Started(epoch, records or []), LinkConnected())

    def ready(self) -> World:
        self.one(PlaceFiles)
        self.give(FilesPlaced())
        self.one(Sweep)
        self.give(Swept())
        self.reports()
        return self

    def give(self, *events: Event) -> None:
        for event in events:
            self.effects += self.agent.handle(event, self.now)
            check(self.agent.state)

    def order(self, *orders: DatastoreOrder, epoch: int = 1, number: int = 0, **other: Any) -> None:
        self.number = number or self.number + 1
        fields = {"version": VERSION, "deployment": "d", "receiver": "now", **other}
        message = DatastoreOrders(epoch=epoch, number=self.number, orders=list(orders), **fields)
        self.give(Ordered(decode(encode(message), DatastoreOrders)))

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.give(TimePassed(disk_free=5))

    def all(self, kind: type[A]) -> list[A]:
        """Take out all effects of this kind."""
        found = [effect for effect in self.effects if isinstance(effect, kind)]
        self.effects = [effect for effect in self.effects if not isinstance(effect, kind)]
        return found

    def one(self, kind: type[A]) -> A:
        (effect,) = self.all(kind)
        return effect

    def reports(self, *, heartbeats: bool = False) -> list[Any]:
        self.all(Confirm)
        said = [effect.report for effect in self.all(Report)]
        return [report for report in said if heartbeats or not isinstance(report, DatastoreHeartbeat)]

    def nothing_else(self) -> None:
        self.all(Confirm)
        assert self.effects == []

    # -- several steps ---------------------------------------------------------------------------------

    def fetch(self) -> list[tuple[int, int]]:
        """Carry out the one fetch that was asked for."""
        effect = self.one(FetchResults)
        keys = [(job.task, job.attempt) for job in effect.jobs]
        self.give(*[ResultsFetched(key) for key in keys], TransferEnded(effect.transfer))
        return keys

    def publish(self) -> list[Record]:
        self.one(SyncIncoming)
        self.give(IncomingSynced())
        self.one(WriteRecords)
        self.give(RecordsWritten())
        effect = self.one(PlaceFiles)
        self.give(FilesPlaced())
        return effect.records
