"""The provider of hosts that are there already: an instance is an agent on one of them.

Its reference says where (address:port) and which process (pid, start time, boot of the machine). Where an instance is
whose start was not recorded, the hosts are asked: an agent has deployment, pool and instance in its environment.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from boss.core.events import InstanceEnded, InstanceStartFailed
from boss.providers.provider import BossServices, Limits, OfInstance, ProviderError, Recorded
from boss.providers.static.calls import HostError, HostProcess
from boss.providers.static.host_keeper import HostInstance, HostKeeper, KeeperEnvironment, KeeperTimeouts
from boss.providers.static.hosts import Host, place_of, read_hosts
from boss.setup import PoolSetup
from boss.ssh import SshConnection, connect

#: Hosts with a warning that one sentence names.
_NAMED = 3


class StaticProvider:
    def __init__(self, pool: PoolSetup, services: BossServices, pace: KeeperTimeouts | None = None) -> None:
        if pool.role != "workers":
            raise ProviderError(f"[pools.{pool.name}]: a static pool has workers only; start a datastore manually "
                                "(docs/operating.md)")  # fmt: skip
        self._notify = services.notify
        self._pool = pool
        self._pace = pace or KeeperTimeouts()
        #: Notified when a host was looked at, or was given an instance, and when the boss ends.
        self._changed = threading.Condition()
        self._closed = False
        environment = KeeperEnvironment(
            deployment=services.deployment,
            pool=pool.name,
            connect=partial(_connect, pool=pool, key=services.ssh_key),
            bootstrap_data=services.bootstrap_data,
            bundle=services.bundle,
            tell=self._tell,
            claim=self._claim,
            looked=self._looked,
            pace=self._pace,
        )
        self._keepers = [HostKeeper(host, environment) for host in read_hosts(pool)]
        #: On record, and unknown on which host, if on any.
        self._unplaced: dict[int, HostInstance] = {}

    # --- asked by the boss -----------------------------------------------------------------------------

    def adopt(self, recorded: Iterable[Recorded]) -> None:
        """Every host is looked at, and agents that no record speaks of are ended."""
        gone = []
        with self._changed:
            for one in recorded:
                work = HostInstance(one.instance, one.worker)
                if not one.reference:
                    self._unplaced[one.instance] = work
                elif not self._put_where_it_was(work, one.reference):
                    gone.append(work)
            for keeper in self._keepers:
                keeper.look()
        for work in gone:
            reason = "its host is not in the pool any more, or has another agent"
            self._tell(InstanceEnded(instance=work.instance, reason=reason, unseen=True))
        if self._unplaced:
            # A start that the boss before had just begun may still bring an agent up.
            threading.Thread(target=self._resolve, name=f"pool {self._pool.name}", daemon=True).start()

    def start(self, instance: int, worker: str) -> None:
        """Given to a free host; InstanceStarted or InstanceStartFailed follows, the latter at once, as full, where none
        is free.
        """
        with self._changed:
            at_work = sum(keeper.work is not None for keeper in self._keepers) + len(self._unplaced)
            free = next(filter(self._is_free, self._keepers), None) if at_work < self._pool.max else None
            if free is not None:
                free.take(HostInstance(instance, worker))
                return
        self._tell(InstanceStartFailed(instance=instance, reason=self._why_full(), full=True))

    def stop(self, instance: int, worker: str, reference: str) -> None:
        """InstanceEnded follows when its agent has ended, at once where no host has it or it was not begun. Returns at
        once.
        """
        with self._changed:
            unplaced = self._unplaced.get(instance)
            if unplaced is not None:
                unplaced.stopping = True
                return
            for keeper in self._keepers:
                work = keeper.work
                if work is not None and work.instance == instance:
                    break
            else:
                keeper = None
        if keeper is None or work is None:
            self._tell(InstanceEnded(instance=instance, reason="there is no agent of it any more"))
        else:
            keeper.stop(work)

    def limits(self) -> Limits:
        """How many hosts are free and usable, within the pool's limit. Makes no call."""
        with self._changed:
            free = sum(map(self._is_free, self._keepers))
            at_work = sum(keeper.work is not None for keeper in self._keepers) + len(self._unplaced)
        more = max(0, min(free, self._pool.max - at_work))
        return Limits(more=more, reason="" if more else self._why_full())

    @property
    def warning(self) -> str:
        """What is wrong with hosts, of the first few by name; empty: nothing is."""
        warnings = [keeper.warning for keeper in self._keepers if keeper.warning]
        left = len(warnings) - _NAMED
        more = f" (and {left} more hosts of pool {self._pool.name})" if left > 0 else ""
        return "; ".join(warnings[:_NAMED]) + more

    def close(self) -> None:
        """Notifies no more; connections are closed. Agents live on."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for keeper in self._keepers:
            keeper.close()

    # --- parts -----------------------------------------------------------------------------------------

    def _is_free(self, keeper: HostKeeper) -> bool:
        """Until a host was looked at, what is on record and unplaced may be there."""
        return keeper.work is None and not keeper.warning and not (keeper.to_look and self._unplaced)

    def _why_full(self) -> str:
        count, warning = len(self._keepers), self.warning
        hosts = "the only host" if count == 1 else f"all {count} hosts"
        if self._pool.max < count and not warning:
            return f"pool {self._pool.name} has its limit of {self._pool.max}"
        return f"{hosts} of pool {self._pool.name} have an agent or cannot be used{f': {warning}' if warning else ''}"

    def _put_where_it_was(self, work: HostInstance, reference: str) -> bool:
        at, _, process = reference.partition(" ")
        keeper = next((each for each in self._keepers if each.host.at == at), None)
        words = process.split()
        if keeper is None or keeper.work is not None or len(words) != 3 or not f"{words[0]}{words[1]}".isdigit():
            return False
        work.process = HostProcess(pid=int(words[0]), start=int(words[1]), boot=words[2])
        keeper.take(work)
        return True

    def _looked(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _claim(self, keeper: HostKeeper, instance: int) -> bool:
        """An agent of ours was found at this keeper's host."""
        with self._changed:
            for other in self._keepers:
                if other is not keeper and other.work is not None and other.work.instance == instance:
                    raise HostError(f"host {keeper.host.at} is the same machine as host {other.host.at}: a machine "
                                    "never gets two agents, take one of them out of the pool")  # fmt: skip
            if keeper.work is not None:
                return keeper.work.instance == instance
            work = self._unplaced.pop(instance, None)
            if work is None:
                return False
            keeper.take(work)
            self._changed.notify_all()
            return True

    def _resolve(self) -> None:
        """Look at every host once more when no start of the boss before can be under way; then tell what is nowhere."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._unplaced, self._pace.come_up)
            free = [keeper for keeper in self._keepers if keeper.work is None]
            for keeper in free:
                keeper.look()
            self._changed.wait_for(lambda: self._closed or not self._unplaced or _all_looked_at(free))
            nowhere = list(self._unplaced.values())
            self._unplaced.clear()
        for work in nowhere:
            reason = "the boss ended before it knew of its start, and no host has an agent of it"
            if work.stopping:
                self._tell(InstanceEnded(instance=work.instance, reason=reason, unseen=True))
            else:
                self._tell(InstanceStartFailed(instance=work.instance, reason=reason))

    def _tell(self, event: OfInstance) -> None:
        if not self._closed:
            self._notify(event)


def _all_looked_at(keepers: Iterable[HostKeeper]) -> bool:
    """Or given an instance meanwhile."""
    return not any(each.to_look and each.work is None for each in keepers)


def make(pool: PoolSetup, services: BossServices) -> StaticProvider:
    """Raises ProviderError: the pool is not one of workers, or has no hosts, or one whose settings cannot be right."""
    return StaticProvider(pool, services)


def _connect(host: Host, pool: PoolSetup, key: Path) -> SshConnection:
    return connect(place_of(host, pool), key)
