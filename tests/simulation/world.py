"""One world: machines, a network, users and faults, from a seed. `run` plays it to its end and checks everything.

First the storm: pushes come in, users interfere, faults strike. Then the calm: nothing fails any more, and
within a bounded time everything that was accepted must have ended, with nothing left behind.
"""

from __future__ import annotations

import random
from collections.abc import Collection

import msgspec

from boss.core.check import check
from boss.core.model import TaskState
from boss.core.policy import Policy, PoolPolicy
from boss.providers.provider import OfProvider
from tests.simulation.bosses import SimulatedBoss
from tests.simulation.clock import Clock
from tests.simulation.datastores import SimulatedDatastore
from tests.simulation.faults import Faults
from tests.simulation.graphs import Behaviour
from tests.simulation.network import Network
from tests.simulation.provider import Provider
from tests.simulation.storm import STORM_SECONDS, plan_full_disks, plan_lies, plan_storm
from tests.simulation.truth import Truth
from tests.simulation.users import Users
from tests.simulation.workers import SimulatedWorker
from tests.worlds.store import SimulatedStore
from wire.messages import Execution, Run

CALM_SECONDS = 6_000.0
MAX_STEPS = 400_000
#: What a worker is believed to have at most; more than any has.
MAX_SLOTS = 8
#: A limit that is never reached.
NEVER = 10_000

_execution = msgspec.json.Decoder(Execution)
_UNFINISHED = (TaskState.PENDING, TaskState.QUEUED, TaskState.RUNNING)


class World:
    """`calm`: no fault at all. `only`: of all the faults of this seed only these (their names). `store`: another
    database than the simulated one."""

    #: All that the boss knows is checked after so many of its turns.
    look_each = 1
    max_steps = MAX_STEPS

    def __init__(
        self, seed: int, *, calm: bool = False, only: Collection[str] | None = None, store: SimulatedStore | None = None
    ) -> None:
        self.seed = seed
        self.clock = Clock(seed)
        chance = random.Random(f"{seed} world")
        self.faults = Faults(seed, self.clock, calm=calm, only=only)
        self.network = Network(self.clock)
        self.pace = 1.0
        if not calm:
            self._spoil_network(random.Random(f"{seed} network"))
        self.database_away_until = 0.0
        self.store = SimulatedStore() if store is None else store
        self.truth = Truth(self)
        self.provider = self.make_provider()
        self.users = Users(self)
        #: Worker id -> the machine that was started for it last.
        self.workers: dict[str, SimulatedWorker] = {}
        #: Place in the network -> machine.
        self.machines: dict[str, SimulatedWorker] = {}
        self.slots = chance.choice([2, 3, 4])
        #: Workers are reached by SSH: each machine shows a host key.
        self.ssh = random.Random(f"{seed} hosts").random() < 0.5
        self._fresh = 0
        self.policy = _policy(chance)
        pools = random.Random(f"{seed} pools")
        if pools.random() < 0.4:
            self.policy = _with_cloud(self.policy, pools, self.slots)
        self.policy = self.make_policy(self.policy)
        #: Of the pool: what its workers are called.
        self.pool = self.policy.pools[0]
        self.boss: SimulatedBoss | None = None
        self._bosses = 0
        self.datastore = SimulatedDatastore(self)
        self.datastore.boot()
        self.start_boss()
        self.plan_pushes(random.Random(f"{seed} pushes"), calm=calm)
        self.users.check_hosts()
        if not calm:
            self.users.plan_acts(random.Random(f"{seed} users"))
            plan_storm(self, random.Random(f"{seed} storm"))
            plan_full_disks(self, random.Random(f"{seed} disks"))
            plan_lies(self, random.Random(f"{seed} lies"))

    # --- what a world of another kind has instead -----------------------------------------------------------

    def make_provider(self) -> Provider:
        return Provider(self)

    def make_policy(self, drawn: Policy) -> Policy:
        return drawn

    def plan_pushes(self, chance: random.Random, *, calm: bool) -> None:
        self.users.plan_pushes(chance, calm=calm)

    def _spoil_network(self, chance: random.Random) -> None:
        network, faults = self.network, self.faults
        rates = chance.choice([0.0, 0.0, 0.01, 0.1]), chance.choice([0.0, 0.02, 0.2]), chance.choice([0.0, 0.0, 0.2])
        pace = chance.choice([1.0, 1.0, 1.0, 1.0, 10.0, 30.0])
        if rates[0] and faults.happens(f"network loses {rates[0]:g}"):
            network.lose = rates[0]
        if rates[1] and faults.happens(f"network doubles {rates[1]:g}"):
            network.double = rates[1]
        if rates[2] and faults.happens(f"network delays {rates[2]:g}"):
            network.slow = rates[2]
        if pace > 1.0 and faults.happens(f"everything takes {pace:g} times longer"):
            network.pace = self.pace = pace

    # --- names and behaviour -----------------------------------------------------------------------------

    def fresh(self) -> int:
        self._fresh += 1
        return self._fresh

    def new_host_key(self) -> str:
        return f"ssh-ed25519 {self.fresh():08d}" if self.ssh else ""

    def behaviour(self, run: Run) -> Behaviour:
        return Behaviour.of(run.execution.env)

    def behaviour_of(self, execution: bytes) -> Behaviour:
        return Behaviour.of(_execution.decode(execution).env)

    # --- the boss ----------------------------------------------------------------------------------------

    def start_boss(self) -> None:
        self._bosses += 1
        boss = SimulatedBoss(self, f"boss {self._bosses}", self.policy)
        if boss.alive:
            self.boss = boss
            self.provider.adopt(boss.recorded)
            for waiting in self.users.pending:
                self.users.submit(waiting)

    def boss_died(self, boss: SimulatedBoss) -> None:
        if boss is self.boss:
            self.boss = None
            self.clock.after(self.clock.between(0.5, 20.0), lambda: None if self.boss else self.start_boss())

    def tell_boss(self, event: OfProvider, delay: float) -> None:
        """Lost with the boss that it was sent to."""
        boss = self.boss

        def arrive() -> None:
            if self.boss is not None and (boss is None or boss is self.boss):
                self.boss.put(event)

        self.clock.after(delay, arrive)

    # --- playing it ------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Play to the end. Raises AssertionError naming the seed, with the story of the task in question."""
        try:
            self._play()
        except AssertionError as error:
            where = f"seed {self.seed}, at {self.clock.seconds:.3f} s, step {self.clock.steps}"
            raise AssertionError(f"{where}: {error}") from error

    def _play(self) -> None:
        while self.clock.seconds < STORM_SECONDS and self.clock.steps < self.max_steps:
            if not self.clock.step():
                break
        self._end_storm()
        end = self.clock.now + CALM_SECONDS
        looked = 0
        while self.clock.now < end:
            assert self.clock.steps < self.max_steps, "the world does not come to rest"
            if not self.clock.step():
                break
            looked += 1
            if looked % 200 == 0 and self._over():
                break
        if self.boss is not None:
            check(self.boss.scheduler.state)
        assert not self._too_many(), f"{self._too_many()} machines are there for no work"
        assert not self.users.pending, f"pushes {[one.name for one in self.users.pending]} were never accepted"
        self.truth.final()

    def _end_storm(self) -> None:
        self.faults.on = False
        network = self.network
        network.lose = network.double = network.slow = 0.0
        network.pace = self.pace = 1.0
        network.deaf.clear()
        network.mute.clear()
        self.datastore.full_until = self.database_away_until = 0.0
        self.users.tidy()

    def _over(self) -> bool:
        """Nothing is left to wait for (looked at now and then, to save time)."""
        return (
            not self.users.pending
            and self.boss is not None
            and all(row.state not in _UNFINISHED for row in self.store.tasks.values())
            and not self.truth.left()
            and not self._too_many()
        )

    def _too_many(self) -> int:
        """Machines beyond what the pool keeps, though no work is left."""
        if self.pool.keeps_home or self.boss is None:
            return 0
        alive = self.boss.scheduler.state.by_pool.get(self.pool.name, {}).values()
        return max(0, sum(1 for one in alive if not one.row.keep_alive) - self.pool.min_workers - self.pool.spare)

    def story(self, task: int) -> str:
        """What the boss of today remembers of a task, for the message of a failure."""
        if self.boss is None:
            return ""
        moves = [move for move in self.boss.scheduler.state.story if move.key == str(task)]
        lines = [f"  {move.what} {move.attempt} {move.before} -> {move.after}: {move.cause}" for move in moves[-40:]]
        return "\nStory:\n" + "\n".join(lines)


def _policy(chance: random.Random) -> Policy:
    return Policy(
        lease=30.0,
        heartbeat=5.0,
        resend=5.0,
        ask_again=30.0,
        prefetch_max=chance.choice([0, 4, 64]),
        max_slots=MAX_SLOTS,
        order_bytes=chance.choice([500, 262144]),
        deaths=3,
        strikes=chance.choice([2, NEVER]),
        init_tries=chance.choice([2, NEVER]),
        pools=(PoolPolicy(name="local", min_workers=chance.choice([1, 2, 4]), max_workers=4, boot_timeout=40.0),),
    )


def _with_cloud(policy: Policy, chance: random.Random, slots: int) -> Policy:
    """Instead of a fixed number of processes, machines that come and go with the work."""
    cloud = PoolPolicy(
        name="cloud",
        provider="cloud",
        min_workers=chance.choice([0, 0, 1, 2]),
        max_workers=chance.choice([1, 4, 6]),
        spare=chance.choice([0, 0, 1]),
        cost_weight=chance.choice([0.0, 0.25, 0.9]),
        idle=chance.choice([0.0, 5.0, 40.0]),
        boot=chance.choice([1.0, 30.0]),
        boot_timeout=40.0,
        slots=chance.choice([0, slots]),
        keeps_home=False,
        init_network=chance.choice(["", "outside"]),
    )
    return msgspec.structs.replace(policy, pools=(cloud,), full_max=60.0)
