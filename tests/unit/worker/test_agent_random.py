"""Generated worlds: whatever is ordered, lost or repeated, an agent keeps its invariants and leaves no answer."""

from __future__ import annotations

import random

import pytest

from tests.worlds.agent import World, run
from wire.messages import (
    Drain,
    Input,
    Kill,
    Outcome,
    PhaseReached,
    Replace,
    Resume,
    Returned,
    Staged,
    TakeBack,
    WorkerOrder,
)
from worker.agent.effects import FetchBundle, KillExecution
from worker.agent.events import (
    BundleFetched,
    ExecutionEnded,
    InputsNotPlaced,
    InputsPlaced,
    LinkConnected,
    LinkDisconnected,
    OrdersArrived,
)
from worker.agent.state import REPLACED

INPUT = Input(name="a", path="a", digest="b2:" + "0" * 64)


def any_order(chance: random.Random, over: set[tuple[int, int]]) -> WorkerOrder:
    """Anything but what a boss never says: to run what it has acknowledged or superseded."""
    task, attempt = chance.randint(1, 6), chance.randint(1, 3)
    while (task, attempt) in over or (100, attempt) in over:
        attempt += 1
    over.update((number, lower) for number in (task, 100) for lower in range(1, attempt))
    kind = chance.randrange(10)
    if kind < 4:
        inits = [100] if chance.random() < 0.3 else []
        commands = [] if chance.random() < 0.2 else ["true"]
        slots = chance.choice([1, 1, 1, 2, 9])
        return run(task, attempt, staging=chance.random() < 0.4, inits=inits, commands=commands, slots=slots)
    if kind == 4:
        return run(100, attempt, init=True)
    if kind == 5:
        return Staged(task=task, attempt=attempt, inputs=[INPUT])
    if kind == 6:
        return TakeBack(task=task, attempt=attempt)
    if kind == 7:
        return Kill(task=task, attempt=attempt)
    return chance.choice([Drain(), Resume(), Resume(), Resume()])


def any_step(world: World, chance: random.Random, over: set[tuple[int, int]]) -> None:
    kind = chance.randrange(12)
    executing, held = world.executing(), sorted(world.agent.state.held)
    if kind < 4:
        world.order(*(any_order(chance, over) for _ in range(chance.randint(1, 4))))
    elif kind == 4 and world.number > 2:
        world.event(OrdersArrived(world.message(any_order(chance, over), number=chance.randint(1, world.number))))
    elif kind in (5, 6) and executing:
        task, attempt = chance.choice(sorted(executing))
        ended = chance.choice(["succeeded", "succeeded", "failed", "cancelled"])
        world.event(ExecutionEnded(Outcome(task=task, attempt=attempt, ended=ended), chance.random() < 0.5))
    elif kind == 7 and held:
        world.event(InputsPlaced(*chance.choice(held)))
    elif kind == 8 and held:
        missing = [INPUT.digest] if chance.random() < 0.5 else []
        world.event(InputsNotPlaced(*chance.choice(held), missing=missing, reason="x"))
    elif kind == 9 and held:
        over.add(chance.choice(held))
        world.acknowledge(*over)
    elif kind == 10 and chance.random() < 0.3:
        world.event(LinkDisconnected())
        world.event(LinkConnected())
    else:
        world.pass_time(chance.choice([0.001, 0.05, 3.0]))


@pytest.mark.parametrize("seed", range(150))
def test_an_agent_keeps_its_invariants_whatever_comes(seed: int) -> None:
    chance = random.Random(seed)
    world = World(slots=chance.choice([1, 2, 4]))
    over: set[tuple[int, int]] = set()
    for _ in range(120):
        any_step(world, chance, over)
    settle(world)
    assert world.agent.state.counts["executing"] == 0
    begun = world.begun()
    assert len(begun) == len(set(begun)), "an attempt was executed twice"


@pytest.mark.parametrize("seed", range(60))
def test_an_agent_that_is_replaced_at_any_moment_finishes_what_it_runs_and_leaves_no_answer_pending(seed: int) -> None:
    chance = random.Random(seed)
    world = World(slots=chance.choice([1, 2, 4]), bundle="3.11-x86_64=b2:old")
    over: set[tuple[int, int]] = set()
    for _ in range(chance.randrange(80)):
        any_step(world, chance, over)
    world.order(Replace(kind="3.11-x86_64", digest="b2:new", url="http://boss/x", token="t"))
    assert world.did(FetchBundle) == [FetchBundle("b2:new", "http://boss/x", "t")]
    world.effects.clear()
    running = world.executing()
    world.event(BundleFetched("b2:new"))
    assert world.executing() == running and not world.did(KillExecution)
    for task, attempt in running:
        world.end(task, attempt=attempt, ended="succeeded")
    world.pass_time(1)
    world.acknowledge(*world.agent.state.held)
    world.pass_time(60)
    assert world.exit is not None and world.exit.code == REPLACED
    assert not world.agent.state.held


def settle(world: World) -> None:
    """End what runs and take back what waits; every end must then be reported, and be forgotten when acknowledged."""
    world.event(LinkDisconnected())
    world.event(LinkConnected())
    world.order(Drain())
    for task, attempt in world.executing():
        world.end(task, attempt=attempt, ended="cancelled")
    world.messages.clear()
    world.pass_time(40)
    reported = {
        (report.task, report.attempt)
        for report in world.reports()
        if isinstance(report, Outcome | Returned | PhaseReached)
    }
    held = set(world.agent.state.held)
    assert held <= reported
    world.acknowledge(*held)
    assert not world.agent.state.held
    world.messages.clear()
    world.pass_time(100)
    assert not world.of(Outcome) and not world.of(Returned)
