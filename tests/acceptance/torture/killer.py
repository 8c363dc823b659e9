"""Picks a victim at random moments: KILL, or STOP and CONT, and remembers what it did to whom and when.

Whatever the boss starts it must start again automatically; the boss, the database server and a broker that is not the
boss's own are started again here.
"""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.acceptance.torture import processes
from tests.acceptance.torture.outside_broker import OutsideBroker
from tests.acceptance.torture.place import LEASE, Place
from tests.worlds.mariadb import MariaDb


@dataclass
class Fault:
    """Something that was done. `until`: when it was over (a frozen process thawed, a killed boss started again)."""

    kind: str
    victim: str
    #: Of a worker or a command: which worker.
    worker: str
    began: float
    until: float

    def __str__(self) -> str:
        of = f" {self.worker}" if self.worker else ""
        return f"{self.kind} {self.victim}{of} at {self.began:.2f} for {self.until - self.began:.2f} s"


#: What is done, and how often.
WEIGHTS: dict[tuple[str, str], int] = {
    ("kill", "boss"): 5,
    ("kill", "broker"): 4,
    ("kill", "worker"): 5,
    ("kill", "datastore"): 4,
    ("kill", "transfer"): 6,
    ("kill", "command"): 3,
    ("kill", "database"): 3,
    ("freeze", "boss"): 2,
    ("freeze", "broker"): 2,
    ("freeze", "worker"): 3,
    ("freeze", "datastore"): 2,
}


class Killer:
    """One seed, one series of faults."""

    def __init__(
        self,
        place: Place,
        random: random.Random,
        database: MariaDb | None = None,
        broker: OutsideBroker | None = None,
    ) -> None:
        self.place = place
        self.faults: list[Fault] = []
        self._random = random
        self._database = database
        self._broker = broker
        absent = {"database" if database is None else "", "" if place.by_ssh else "transfer"}
        self._kinds = [key for key in WEIGHTS if key[1] not in absent]
        #: Transfers of a datastore that was killed, seen at work beside the next one.
        self.strays: list[str] = []

    def kills(self) -> int:
        return sum(fault.kind == "kill" for fault in self.faults)

    def run(self, kills: int, between: Callable[[], None]) -> None:
        """That many kills, with some freezes among them; `between` is called all the time."""
        while self.kills() < kills:
            until = time.monotonic() + self._random.choice((0.0, 0.1, 0.3, 0.7, 1.5, 2.5))
            while time.monotonic() < until:
                between()
                time.sleep(0.05)
            self.place.look_after_boss()
            self.strays += [str(process) for process in self.place.stray_transfers()]
            self._strike()

    def _strike(self) -> None:
        weights = [WEIGHTS[key] for key in self._kinds]
        kind, victim = self._random.choices(self._kinds, weights)[0]
        if victim == "database":
            self._kill_database()
        elif victim == "broker" and self._broker is not None:
            self._strike_outside_broker(kind, self._broker)
        elif kind == "freeze":
            self._freeze(victim)
        elif victim == "boss":
            self._kill_boss()
        else:
            self._kill(victim)

    def _kill(self, victim: str) -> None:
        found = self.place.processes(victim)
        if not found:
            return  # its last end is still being mended
        chosen = self._random.choice(found)
        now = time.time()
        if processes.send(chosen, signal.SIGKILL):
            self.faults.append(Fault("kill", victim, chosen.worker, now, time.time()))

    def _kill_boss(self) -> None:
        fault = Fault("kill", "boss", "", time.time(), 0.0)
        self.place.signal_boss(signal.SIGKILL)
        time.sleep(self._random.choice((0.0, 0.0, 0.5, 1.5)))
        self.place.start_boss()
        fault.until = time.time()
        self.faults.append(fault)

    def _kill_database(self) -> None:
        assert self._database is not None
        fault = Fault("kill", "database", "", time.time(), 0.0)
        self._database.kill()
        time.sleep(self._random.choice((0.0, 1.0, 3.0)))
        self._database.start()
        fault.until = time.time()
        self.faults.append(fault)

    def _strike_outside_broker(self, kind: str, broker: OutsideBroker) -> None:
        fault = Fault(kind, "broker", "", time.time(), 0.0)
        if kind == "freeze":
            broker.signal(signal.SIGSTOP)
            time.sleep(self._random.choice((0.3, 1.0, 2 * LEASE)))
            broker.signal(signal.SIGCONT)
        else:
            broker.end(self._random.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)))
            time.sleep(self._random.choice((0.0, 0.5, 2 * LEASE)))
            broker.start()
        fault.until = time.time()
        self.faults.append(fault)

    def _freeze(self, victim: str) -> None:
        found = self.place.processes(victim)
        if not found:
            return
        chosen = self._random.choice(found)
        fault = Fault("freeze", victim, chosen.worker, time.time(), 0.0)
        if not processes.send(chosen, signal.SIGSTOP):
            return
        time.sleep(self._random.choice((0.3, 1.0, 2 * LEASE)))
        with contextlib.suppress(ProcessLookupError):
            processes.send(chosen, signal.SIGCONT)
        fault.until = time.time()
        self.faults.append(fault)
