"""The provider's side of the world: machines that are started and ended, with calls that fail, hang or half succeed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from boss.core.events import (
    InstanceEnded,
    InstancePlaced,
    InstanceStarted,
    InstanceStartFailed,
    NetworkAttached,
    NetworkAttachFailed,
    NetworkDetached,
)
from boss.providers.provider import Recorded
from tests.simulation.workers import SimulatedWorker

if TYPE_CHECKING:
    from tests.simulation.world import World


class Provider:
    """Starts machines. Its answers may be late, or lost with the boss that asked."""

    #: After how long at the latest it notices that a machine is gone.
    notices = 2.0

    def __init__(self, world: World) -> None:
        self.world = world
        #: instance number -> its machine, while it lives.
        self.living: dict[int, SimulatedWorker] = {}
        #: Second machines for one worker: what is with the first looks dead when the second one speaks.
        self.twins = 0

    def start(self, instance: int, worker: str) -> None:
        world, clock = self.world, self.world.clock
        if world.faults.strikes("start_fails"):
            full = world.faults.strikes("cloud_is_full")
            world.tell_boss(InstanceStartFailed(instance=instance, reason="no room", full=full), 0.5)
            return
        old = world.workers.get(worker)
        assert old not in self.living.values(), f"two machines for {worker}"
        machine = SimulatedWorker(world, worker, world.slots)
        self.living[instance] = machine
        assert len(self.living) <= world.policy.pools[0].max_workers, f"{len(self.living)} instances, above the limit"
        if old is not None:
            machine.disk = old.disk  # the successor of a crashed local worker finds its directory
            machine.host_key = old.host_key
        world.workers[worker] = machine
        wait = clock.between(5.0, 90.0) if world.faults.strikes("no_host_yet") else 0.0
        if not world.faults.strikes("never_boots"):
            clock.after(wait + clock.between(0.1, 3.0) * world.pace, machine.boot)
        if world.faults.strikes("boots_twice"):
            self._boot_twin(worker)
        if world.faults.strikes("dies_young"):
            clock.after(clock.between(0.0, 5.0), lambda: self.process_ended(machine))
        # A call that timed out after it took effect: the boss learns of it when the provider lists its machines.
        late = 100.0 if world.faults.strikes("start_answer_lost") else 0.0
        self._tell_started(instance, late + clock.between(0.0, 1.0), waiting=wait > 0.0)
        if wait:
            clock.after(wait, lambda: self._tell_placed(instance))

    def _boot_twin(self, worker: str) -> None:
        """A second machine for the same worker; it is ended as soon as a list shows two with one mark."""
        clock = self.world.clock
        self.twins += 1
        twin = SimulatedWorker(self.world, worker, self.world.slots, f" twin {self.world.fresh()}")
        clock.after(clock.between(0.1, 3.0), twin.boot)
        clock.after(clock.between(5.0, 40.0), lambda: self.process_ended(twin))

    def _tell_started(self, instance: int, delay: float, *, waiting: bool) -> None:
        started = InstanceStarted(instance=instance, reference=f"p{instance}", waiting=waiting)
        self.world.clock.after(delay, lambda: self.world.tell_boss(started, 0.0) if instance in self.living else None)

    def _tell_placed(self, instance: int) -> None:
        if instance in self.living:
            self.world.tell_boss(InstancePlaced(instance=instance), 0.0)

    def stop(self, instance: int, worker: str, reference: str) -> None:
        if self.world.faults.strikes("stop_lost"):
            return
        machine = self.living.get(instance)
        self._look_at_reason(instance, worker)
        if machine is None:
            self.world.tell_boss(InstanceEnded(instance=instance, reason="it is gone"), 0.1)
        else:
            self.process_ended(machine)

    # --- NICs for init tasks ----------------------------------------------------------------------------

    def attach(self, instance: int) -> None:
        """Asking again finds the NIC that is there."""
        world = self.world
        machine = self.living.get(instance)
        if machine is None or world.faults.strikes("attach_fails"):
            world.tell_boss(NetworkAttachFailed(instance=instance, reason="no address"), 0.5)
            return
        late = 100.0 if world.faults.strikes("attach_answer_lost") else 0.0
        world.clock.after(world.clock.between(0.0, 2.0), lambda: self._put_in(instance, late))

    def _put_in(self, instance: int, late: float) -> None:
        world = self.world
        machine = self.living.get(instance)
        if machine is None:
            return
        if not machine.nic:
            machine.nic = f"nic{world.fresh()}"
        attached = NetworkAttached(instance=instance, nic=machine.nic)
        world.clock.after(late, lambda: world.tell_boss(attached, 0.0) if machine.nic == attached.nic else None)

    def detach(self, instance: int, nic: str) -> None:
        if self.world.faults.strikes("stop_lost"):
            return
        machine = self.living.get(instance)
        if machine is not None and machine.nic == nic:
            machine.nic = ""
        self.world.tell_boss(NetworkDetached(instance=instance, nic=nic), self.world.clock.between(0.0, 1.0))

    def _look_at_reason(self, instance: int, worker: str) -> None:
        """Scaling in stops no worker that holds an attempt."""
        if self.world.boss is None:
            return
        state = self.world.boss.scheduler.state
        asked = state.instances.get(instance)
        if asked is not None and asked.row.reason.startswith("no work for it"):
            known = state.workers.get(worker)
            held = list(known.attempts) if known is not None else []
            assert not held, f"worker {worker} is stopped by scaling in while it holds {held}"

    def process_ended(self, machine: SimulatedWorker) -> None:
        """The machine is gone; the provider notices."""
        machine.end_machine()
        for instance, other in list(self.living.items()):
            if other is machine:
                del self.living[instance]
                ended = InstanceEnded(instance=instance, reason="gone")
                self.world.tell_boss(ended, self.world.clock.between(0.0, self.notices))

    def adopt(self, recorded: Iterable[Recorded]) -> None:
        for one in recorded:
            if one.instance in self.living:
                self.world.tell_boss(InstanceStarted(instance=one.instance, reference=f"p{one.instance}"), 0.1)
            else:
                self.world.tell_boss(InstanceEnded(instance=one.instance, reason="was gone", unseen=True), 0.1)
