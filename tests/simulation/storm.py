"""The storm: blows that are planned from the seed, and what each of them does to the world."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.workers import SimulatedWorker
    from tests.simulation.world import World

STORM_SECONDS = 300.0


@dataclass(frozen=True)
class Blow:
    """One fault at one time. `part` picks a victim among those that are there, `seconds` says how long it lasts."""

    name: str
    kind: str
    at: float
    part: float
    seconds: float


def plan_storm(world: World, chance: random.Random) -> None:
    for number in range(chance.choice([0, 2, 8, 25])):
        kind = chance.choice(list(_BLOWS))
        seconds = chance.choice(_BLOWS[kind][1])
        at = chance.uniform(1.0, STORM_SECONDS)
        blow = Blow(f"{kind}({seconds:g})#{number}", kind, at, chance.random(), seconds)
        world.clock.after(at, lambda blow=blow: _strike(world, blow))  # type: ignore[misc]


def plan_full_disks(world: World, chance: random.Random) -> None:
    """One machine's disk is full for a while, or that of all of them for a moment."""
    if chance.random() < 0.7:
        return
    everywhere, at = chance.random() < 0.5, chance.uniform(1.0, STORM_SECONDS)
    part, seconds = chance.random(), chance.choice([5.0, 15.0]) if everywhere else chance.choice([15.0, 200.0])

    def fill() -> None:
        if world.faults.happens(f"disk full({seconds:g}){' everywhere' if everywhere else ''}"):
            machines = list(world.workers.values())
            for machine in machines if everywhere else machines[int(part * len(machines)) :][:1]:
                machine.fill_disk(seconds)

    world.clock.after(at, fill)


def plan_lies(world: World, chance: random.Random) -> None:
    """Agents that lie for a while. Of a source of its own: worlds without them stay as they are."""
    if chance.random() < 0.6:
        return
    for number in range(chance.choice([1, 3, 8])):
        at, part, seconds = chance.uniform(1.0, STORM_SECONDS), chance.random(), chance.choice([1.0, 30.0, 200.0])
        blow = Blow(f"worker_lies({seconds:g})#{number}", "", at, part, seconds)
        world.clock.after(at, lambda blow=blow: _worker_lies(world, blow))  # type: ignore[misc]


def _worker_lies(world: World, blow: Blow) -> None:
    """Whoever has its login starts another agent there, which states what it likes about itself and others."""
    worker = _worker(world, blow) if world.faults.happens(blow.name) else None
    if worker is not None:
        worker.lies_until = world.clock.now + blow.seconds
        worker.crash_agent()


def _strike(world: World, blow: Blow) -> None:
    if world.faults.happens(blow.name):
        _BLOWS[blow.kind][0](world, blow)


def _worker(world: World, blow: Blow) -> SimulatedWorker | None:
    workers = list(world.workers.values())
    return workers[int(blow.part * len(workers))] if workers else None


def _worker_crash(world: World, blow: Blow) -> None:
    worker = _worker(world, blow)
    if worker is not None:
        worker.crash_agent()


def _worker_freeze(world: World, blow: Blow) -> None:
    worker = _worker(world, blow)
    if worker is not None:
        worker.freeze(blow.seconds)


def _worker_clock(world: World, blow: Blow) -> None:
    """Its clock is ahead at once, as after a move of its machine; nothing has happened to it meanwhile."""
    worker = _worker(world, blow)
    if worker is not None:
        worker.jump(blow.seconds)


def _worker_reinstall(world: World, blow: Blow) -> None:
    """Its SSH daemon has another key from here on, and its agent is restarted."""
    worker = _worker(world, blow)
    if worker is not None and worker.machine_alive:
        worker.host_key = world.new_host_key()
        worker.crash_agent()


def _host_replaced(world: World, blow: Blow) -> None:
    """Another machine answers at its address for a while; its agent knows nothing of that."""
    worker = _worker(world, blow)
    if worker is not None:
        worker.hidden_until = world.clock.now + blow.seconds


def _worker_machine(world: World, blow: Blow) -> None:
    worker = _worker(world, blow)
    if worker is not None and worker.machine_alive:
        world.provider.process_ended(worker)


def _worker_cut(world: World, blow: Blow) -> None:
    worker = _worker(world, blow)
    if worker is not None:
        _cut(world, worker.name, blow)


def _boss_cut(world: World, blow: Blow) -> None:
    if world.boss is not None:
        _cut(world, world.boss.name, blow)


def _cut(world: World, name: str, blow: Blow) -> None:
    """In both directions, or only in one, when the link seems to stand."""
    way = ("both", "in", "out")[int(blow.part * 97) % 3]
    if way == "both":
        world.network.cut(name, blow.seconds)
    else:
        world.network.cut_one_way(name, way, blow.seconds)


def _boss_crash(world: World, blow: Blow) -> None:
    if world.boss is not None:
        world.boss.crash()


def _boss_freeze(world: World, blow: Blow) -> None:
    if world.boss is not None:
        world.boss.freeze(blow.seconds)


def _boss_stop(world: World, blow: Blow) -> None:
    world.users.stop_boss(workers=blow.part < 0.5)


def _second_boss(world: World, blow: Blow) -> None:
    """The first stands still, or only lost its lock; a second one starts; then the first says what it had queued."""
    first = world.boss
    if first is None:
        return
    network = world.network
    network.hold(first.name)

    def superseded() -> None:
        if first.alive and blow.seconds:
            first.freeze(blow.seconds)
        if world.boss is first or world.boss is None:
            world.start_boss()

    world.clock.after(2.0 * blow.part, superseded)
    world.clock.after(2.0 * blow.part + blow.seconds + 1.0, lambda: network.release(first.name))


def _wall_jump(world: World, blow: Blow) -> None:
    if world.boss is not None:
        world.boss.wall_offset += blow.seconds


def _database_away(world: World, blow: Blow) -> None:
    world.database_away_until = world.clock.now + blow.seconds


def _broker(world: World, blow: Blow) -> None:
    world.network.restart_broker(blow.seconds, keeps=blow.part < 0.5)


def _datastore_full(world: World, blow: Blow) -> None:
    world.datastore.full_until = world.clock.now + blow.seconds


_BLOWS: dict[str, tuple[Callable[[World, Blow], None], tuple[float, ...]]] = {
    "worker_crash": (_worker_crash, (0.0,)),
    "worker_freeze": (_worker_freeze, (3.0, 20.0, 45.0, 100.0)),
    "worker_clock": (_worker_clock, (3.0, 40.0, 700.0)),
    "worker_machine": (_worker_machine, (0.0,)),
    "worker_reinstall": (_worker_reinstall, (0.0,)),
    "host_replaced": (_host_replaced, (5.0, 60.0)),
    "worker_cut": (_worker_cut, (1.0, 20.0, 60.0)),
    "datastore": (lambda world, blow: world.datastore.crash(), (0.0,)),
    "datastore_cut": (lambda world, blow: _cut(world, "datastore", blow), (1.0, 20.0, 60.0)),
    "datastore_full": (_datastore_full, (5.0, 60.0, 300.0)),
    "boss": (_boss_crash, (0.0,)),
    "boss_freeze": (_boss_freeze, (2.0, 20.0, 70.0)),
    "boss_cut": (_boss_cut, (1.0, 20.0, 60.0)),
    "boss_stop": (_boss_stop, (0.0,)),
    "second_boss": (_second_boss, (0.0, 5.0, 40.0)),
    "wall_jump": (_wall_jump, (-1e6, -3600.0, 3600.0, 1e6)),
    "database_away": (_database_away, (2.0, 20.0, 90.0)),
    "broker": (_broker, (0.5, 20.0, 60.0)),
}
