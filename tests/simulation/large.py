"""A world of a thousand machines: made one after the other as a cloud does, working on some thousand short tasks.

No fault strikes; what is looked at is how much the boss has to do for it.
"""

from __future__ import annotations

import random
import time
from array import array
from collections import Counter

import msgspec

from boss.core.events import InstanceStarted
from boss.core.model import Profile, Submission
from boss.core.policy import Policy, PoolPolicy
from boss.core.scaling import scale
from boss.core.state import State
from tests.simulation.graphs import Behaviour
from tests.simulation.provider import Provider
from tests.simulation.workers import SimulatedWorker
from tests.simulation.world import World
from wire.messages import Execution

#: Seconds between two machines that are begun, until a list shows one that ended, and of a boot.
BETWEEN, LISTED, BOOT = 0.1, 10.0, (25.0, 60.0)
SLOTS = 2
_encode = msgspec.json.Encoder().encode


class LargeWorld(World):
    look_each = 1_000
    max_steps = 5_000_000

    def __init__(self, seed: int, machines: int, tasks: int) -> None:
        self.machines_max = machines
        self.tasks = tasks
        #: Decisions of the autoscaler, and the seconds of computing that each took.
        self.decisions: list[float] = []
        self.max_alive = 0
        self.changes: Counter[str] = Counter()
        super().__init__(seed, calm=True)
        self.slots = SLOTS

    def make_provider(self) -> Provider:
        return SlowProvider(self)

    def make_policy(self, drawn: Policy) -> Policy:
        cloud = PoolPolicy(
            name="cloud",
            provider="cloud",
            min_workers=0,
            max_workers=self.machines_max,
            cost_weight=0.0,
            idle=60.0,
            boot=60.0,
            boot_timeout=900.0,
            slots=SLOTS,
            keeps_home=False,
        )
        return Policy(heartbeat=20.0, lease=120.0, pools=(cloud,))

    def plan_pushes(self, chance: random.Random, *, calm: bool) -> None:
        made = _study(chance, self.tasks)
        self.clock.after(0.5, lambda: self.users.push(made))

    def play(self) -> None:
        """`run`, with every decision counted and timed."""
        plain = scale._decide

        def counted(state: State, policy: PoolPolicy, before: set[str]) -> bool:
            self.max_alive = max(self.max_alive, len(state.by_pool.get(policy.name, {})))
            began = time.thread_time()
            try:
                return plain(state, policy, before)
            finally:
                self.decisions.append(time.thread_time() - began)

        scale._decide = counted
        try:
            self.run()
        finally:
            scale._decide = plain


class SlowProvider(Provider):
    """Begins one machine at a time, and learns of ends by lists."""

    notices = LISTED

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._free_at = 0.0

    def start(self, instance: int, worker: str) -> None:
        world, clock = self.world, self.world.clock
        machine = SimulatedWorker(world, worker, SLOTS)
        self.living[instance] = machine
        assert len(self.living) <= world.policy.pools[0].max_workers, f"{len(self.living)} instances, above the limit"
        world.workers[worker] = machine
        self._free_at = max(self._free_at, clock.now) + BETWEEN
        made = self._free_at - clock.now
        clock.after(made, lambda: world.tell_boss(InstanceStarted(instance=instance, reference=f"p{instance}"), 0.0))
        clock.after(made + clock.between(*BOOT), machine.boot)


def _study(chance: random.Random, count: int) -> Submission:
    """Wide, then one that waits for all, then wide again: the pool is full twice."""
    half = count // 2
    starts, targets, executions = array("I", [0]), array("I"), []
    for index in range(count):
        if index == half:
            targets.extend(range(half))
        elif index > half:
            targets.append(half)
        starts.append(len(targets))
        behaviour = Behaviour(chance.uniform(20.0, 60.0))
        executions.append(_encode(Execution(commands=["work"], env=behaviour.env())))
    ids = [f"t{index}" for index in range(count)]
    return Submission(
        name="large",
        ids=ids,
        profiles=[Profile(expect=60.0)],
        executions=executions,
        requirements=[b""] * count,
        contents=[one.encode().ljust(16)[:16] for one in ids],
        profile_of=array("I", [0] * count).tobytes(),
        dependency_starts=starts.tobytes(),
        dependency_targets=targets.tobytes(),
    )
