"""A small world around one agent: a scripted boss, virtual time, every message through the codec, checked each step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from wire.codec import decode, encode
from wire.messages import (
    VERSION,
    Acknowledge,
    Execution,
    Outcome,
    Place,
    Presence,
    ResultItem,
    Run,
    Welcome,
    WorkerHello,
    WorkerOrder,
    WorkerOrders,
    WorkerReport,
    WorkerReports,
)
from worker.agent import AgentOptions, WorkerAgent
from worker.agent.check import check
from worker.agent.effects import Effect, Execute, Exit, SendReports
from worker.agent.events import BossSeen, Event, ExecutionEnded, LinkConnected, OrdersArrived, TimePassed
from worker.agent.state import AttemptKey, held_attempts

T = TypeVar("T")


def run(task: int, attempt: int = 1, **changes: Any) -> Run:
    """A Run of one command; `commands`, `slots`, `memory` and `results` go into its execution."""
    names = ("commands", "slots", "memory", "results", "timeout", "epanet", "env")
    inside = {name: changes.pop(name) for name in names if name in changes}
    inside.setdefault("commands", ["true"])
    execution = Execution(**inside)
    return Run(task=task, attempt=attempt, batch=1, project="default", id=f"t{task}", execution=execution, **changes)


def succeeded(task: int, attempt: int = 1, **more: Any) -> Outcome:
    return Outcome(task=task, attempt=attempt, ended="succeeded", **more)


def result(name: str) -> ResultItem:
    return ResultItem(source=name, target=name)


class World:
    def __init__(self, slots: int = 2, connected: bool = True, deployment: str = "d", **more: Any) -> None:
        kept = {name: more.pop(name) for name in ("kept", "initialized", "cached") if name in more}
        place = Place(path="/home/w1")
        options = AgentOptions(worker="w1", incarnation="i1", slots=slots, place=place, deployment=deployment, **more)
        self.now = 100.0
        self.agent = WorkerAgent(options, self.now, **kept)
        self.number = 0
        self.epoch = 1
        self.effects: list[Effect] = []
        self.messages: list[WorkerReports] = []
        self.exit: Exit | None = None
        if connected:
            self.event(LinkConnected())
            self.pass_time()
            self.order(Welcome(heartbeat_seconds=5.0, orphan_after_seconds=600.0))
            self.pass_time(0.1)
            self.clear()

    def event(self, event: Event) -> list[Effect]:
        done = self.agent.handle(event, self.now)
        check(self.agent.state)
        self.effects += done
        for effect in done:
            if isinstance(effect, SendReports):
                self.messages.append(decode(encode(effect.message), WorkerReports))
            elif isinstance(effect, Exit):
                self.exit = effect
        return done

    def message(self, *orders: WorkerOrder, **changes: Any) -> WorkerOrders:
        fields: dict[str, Any] = {"deployment": "d", "receiver": "i1", "epoch": self.epoch, "number": self.number}
        fields |= changes
        message = WorkerOrders(version=VERSION, orders=list(orders), **fields)
        return decode(encode(message), WorkerOrders)

    def order(self, *orders: WorkerOrder, **changes: Any) -> list[Effect]:
        self.number += 1
        return self.event(OrdersArrived(self.message(*orders, **changes)))

    def pass_time(self, seconds: float = 0.0) -> None:
        """Let time go on, stopping at each deadline of the agent."""
        until = self.now + seconds
        for _ in range(100_000):
            deadline = self.agent.next_deadline()
            if deadline is None or deadline > until:
                break
            self.now = max(self.now, deadline)
            self.event(TimePassed())
        self.now = until

    def boss(self, epoch: int, online: bool = True, retained: bool = False, deployment: str = "d") -> None:
        presence = Presence(
            version=VERSION, deployment=deployment, name="boss", incarnation=f"b{epoch}", online=online, epoch=epoch
        )
        self.event(BossSeen(presence, retained))

    def end(self, task: int, attempt: int = 1, **more: Any) -> list[Effect]:
        more.setdefault("ended", "succeeded")
        return self.event(ExecutionEnded(Outcome(task=task, attempt=attempt, **more)))

    def acknowledge(self, *keys: tuple[int, int]) -> list[Effect]:
        return self.order(Acknowledge(attempts=list(keys)))

    def reports(self) -> list[WorkerReport]:
        return [report for message in self.messages for report in message.reports]

    def of(self, kind: type[T], where: Callable[[T], bool] = lambda _: True) -> list[T]:
        return [report for report in self.reports() if isinstance(report, kind) and where(report)]

    def did(self, kind: type[T]) -> list[T]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def begun(self) -> list[tuple[int, int]]:
        return [(effect.run.task, effect.run.attempt) for effect in self.did(Execute)]

    def hellos(self) -> list[WorkerHello]:
        return self.of(WorkerHello)

    def phases(self) -> dict[tuple[int, int], str]:
        return {(entry.task, entry.attempt): entry.phase for entry in held_attempts(self.agent.state)}

    def executing(self) -> list[AttemptKey]:
        return [held.key for held in self.agent.state.held.values() if held.phase == "executing"]

    def clear(self) -> None:
        self.effects.clear()
        self.messages.clear()
