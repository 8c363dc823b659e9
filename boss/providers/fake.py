"""A provider without a cloud, for tests: instances are values in memory, and it misbehaves as it is asked to.

It keeps what the others keep (one call after another in a thread of its own, a list where an answer is missing) against
a `Site`, which stands for the cloud and outlives the provider, as a cloud outlives a boss. Where a machine would run,
`Site.on_boot` is called.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count

import msgspec

from boss.core.events import InstanceEnded, InstanceStarted, InstanceStartFailed
from boss.providers.provider import BootstrapData, BossServices, Limits, OfInstance, ProviderError, Recorded
from boss.setup import PoolSetup


class UnclearError(ProviderError):
    """The call got no answer: it was taken or not."""


class SiteRefusedError(ProviderError):
    """The call was not taken, with the reason."""

    def __init__(self, reason: str, full: bool = False) -> None:
        super().__init__(reason)
        self.full = full


class SiteFaults(msgspec.Struct, kw_only=True):
    """How a site misbehaves. Counts are used up by the next calls."""

    #: Every call takes so many seconds.
    slow: float = 0.0
    #: So many starts are refused, for this reason.
    refuse: int = 0
    reason: str = "the site refuses"
    #: No more machines than this; beyond, a start is refused as full.
    room: int | None = None
    #: So many starts take effect, and their answer is lost.
    lose_answer: int = 0
    #: So many calls get no answer and have no effect.
    lose_call: int = 0
    #: So many started machines never boot.
    never_boot: int = 0
    #: So many started machines are there twice.
    twice: int = 0
    #: So many machines die as soon as they have booted.
    die: int = 0


@dataclass
class SiteMachine:
    """One of a site's."""

    id: int
    pool: str
    instance: int
    worker: str
    data: BootstrapData
    boots: bool = True


@dataclass
class Site:
    """A cloud. `machines` are those that it lists."""

    faults: SiteFaults = field(default_factory=SiteFaults)
    machines: dict[int, SiteMachine] = field(default_factory=dict)
    #: Every start that took effect: (instance, machine).
    made: list[tuple[int, int]] = field(default_factory=list)
    #: Where a machine would run.
    on_boot: Callable[[SiteMachine], None] = lambda machine: None
    on_end: Callable[[SiteMachine], None] = lambda machine: None
    _numbers: Iterable[int] = field(default_factory=lambda: count(1))
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def start(self, pool: str, instance: int, worker: str, data: BootstrapData) -> int:
        """Raises SiteRefusedError, UnclearError."""
        faults = self.faults
        self._call()
        with self._lock:
            if self._used("refuse"):
                raise SiteRefusedError(faults.reason)
            if faults.room is not None and len(self.machines) >= faults.room:
                raise SiteRefusedError(f"the site has room for {faults.room} machines", full=True)
            made = [self._make(pool, instance, worker, data) for _ in range(1 + self._used("twice"))]
            lost = self._used("lose_answer")
        for machine in made:
            if machine.boots:
                self.on_boot(machine)
            if self._used("die"):
                self.end(machine.id)
        if lost:
            raise UnclearError("the site did not answer in time")
        return made[0].id

    def list(self, pool: str) -> list[SiteMachine]:
        """The pool's machines. Blocks for `faults.slow` seconds. Raises UnclearError."""
        self._call()
        with self._lock:
            return [machine for machine in self.machines.values() if machine.pool == pool]

    def terminate(self, number: int) -> None:
        """End this machine; one that is gone is no error. Blocks for `faults.slow` seconds. Raises UnclearError."""
        self._call()
        self.end(number)

    def end(self, number: int) -> None:
        """As if it died."""
        with self._lock:
            machine = self.machines.pop(number, None)
        if machine is not None:
            self.on_end(machine)

    def _make(self, pool: str, instance: int, worker: str, data: BootstrapData) -> SiteMachine:
        number = next(iter(self._numbers))
        machine = SiteMachine(number, pool, instance, worker, data, boots=not self._used("never_boot"))
        self.machines[number] = machine
        self.made.append((instance, number))
        return machine

    def _call(self) -> None:
        time.sleep(self.faults.slow)  # as the fault says
        if self._used("lose_call"):
            raise UnclearError("the site did not answer in time")

    def _used(self, name: str) -> int:
        """1 and one less to come, or 0."""
        with self._lock:
            left = getattr(self.faults, name)
            if left:
                setattr(self.faults, name, left - 1)
            return int(bool(left))


#: Those that settings name: options = { site = "name" } of a pool.
SITES: dict[str, Site] = {}


class _Known(msgspec.Struct):
    worker: str
    machine: int | None = None
    #: Its call may have been taken; a list from then on tells.
    unclear: bool = False
    ending: bool = False
    reported: bool = False


class FakeProvider:
    """`poll_seconds`: between two lists; a site reports nothing on its own."""

    def __init__(self, pool: PoolSetup, services: BossServices, site: Site, poll_seconds: float = 0.05) -> None:
        self._pool = pool
        self._notify = services.notify
        self._bootstrap_data = services.bootstrap_data
        self._site = site
        self._poll = poll_seconds
        self._known: dict[int, _Known] = {}
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._full = ""
        self.warning = ""

    def adopt(self, recorded: Iterable[Recorded]) -> None:
        """What is on record is compared with what the site lists, in a thread that begins here. Returns at once."""
        for one in recorded:
            machine = int(one.reference) if one.reference.isdigit() else None
            self._known[one.instance] = _Known(one.worker, machine, unclear=machine is None)
        threading.Thread(target=self._run, name=f"fake {self._pool.name}", daemon=True).start()

    def start(self, instance: int, worker: str) -> None:
        """Returns at once; InstanceStarted or InstanceStartFailed follows. A full pool fails at once, as full."""
        with self._lock:
            room = len(self._known) < self._pool.max
            if room:
                self._known[instance] = _Known(worker)
        if room:
            self._calls.put(lambda: self._begin(instance, worker))
        else:
            reason = f"pool {self._pool.name} has its limit of {self._pool.max}"
            self._tell(InstanceStartFailed(instance=instance, reason=reason, full=True))

    def stop(self, instance: int, worker: str, reference: str) -> None:
        """Returns at once; InstanceEnded follows when the site does not list it, at once where it is unknown."""
        with self._lock:
            known = self._known.get(instance)
            if known is not None:
                known.ending = True
                return
        self._tell(InstanceEnded(instance=instance, reason="there is no such machine any more"))

    def limits(self) -> Limits:
        """What the pool's limit leaves; none while the site is full."""
        with self._lock:
            more = max(0, self._pool.max - len(self._known))
        if self._full:
            return Limits(more=0, reason=self._full)
        return Limits(more=more, reason="" if more else f"pool {self._pool.name} has its limit of {self._pool.max}")

    def close(self) -> None:
        """Notifies no more; its thread ends after the call that it is in. Machines of the site stay."""
        self._closed.set()

    # --- the thread ------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                self._calls.get(timeout=self._poll)()
                continue
            except queue.Empty:
                pass
            try:
                self._compare()
                self.warning = ""
            except UnclearError as error:
                self.warning = str(error)

    def _begin(self, instance: int, worker: str) -> None:
        known = self._known[instance]
        if known.ending:
            self._over(instance, InstanceEnded(instance=instance, reason="it was not begun yet"))
            return
        try:
            known.machine = self._site.start(self._pool.name, instance, worker, self._bootstrap_data(instance, worker))
        except UnclearError as error:
            known.unclear, self.warning = True, str(error)
        except (SiteRefusedError, OSError) as error:
            full = isinstance(error, SiteRefusedError) and error.full
            self._full = str(error) if full else ""
            self._over(instance, InstanceStartFailed(instance=instance, reason=str(error), full=full))
        else:
            self._full, known.reported = "", True
            self._tell(InstanceStarted(instance=instance, reference=str(known.machine), address="192.0.2.1"))

    def _compare(self) -> None:
        """What the site lists against what is known; an unknown machine, or a second one, ends."""
        marked: dict[int, list[SiteMachine]] = {}
        for machine in self._site.list(self._pool.name):
            marked.setdefault(machine.instance, []).append(machine)
        for instance, (first, *younger) in marked.items():
            known = self._known.get(instance)
            for machine in younger:
                self._site.terminate(machine.id)
            if known is None or known.ending:
                self._site.terminate(first.id)
            elif not known.reported:
                known.machine, known.unclear, known.reported = first.id, False, True
                self._tell(InstanceStarted(instance=instance, reference=str(first.id), address="192.0.2.1"))
        for instance, known in list(self._known.items()):
            if instance in marked or (known.machine is None and not known.unclear):
                continue
            if known.reported or known.ending or known.machine is not None:
                reason = "its end was asked for" if known.ending else "the site does not list it any more"
                event: InstanceStartFailed | InstanceEnded = InstanceEnded(
                    instance=instance, reason=reason, unseen=not known.reported
                )
            else:
                event = InstanceStartFailed(instance=instance, reason="the call got no answer, and no machine was made")
            self._over(instance, event)

    def _over(self, instance: int, event: InstanceStartFailed | InstanceEnded) -> None:
        with self._lock:
            del self._known[instance]
        self._tell(event)

    def _tell(self, event: OfInstance) -> None:
        if not self._closed.is_set():
            self._notify(event)


def make(pool: PoolSetup, services: BossServices) -> FakeProvider:
    """A provider of the site that the pool's option `site` names, else of the pool's own: made if there is none in
    SITES.
    """
    options = pool.options.get("options") or {}
    return FakeProvider(pool, services, SITES.setdefault(str(options.get("site", pool.name)), Site()))
