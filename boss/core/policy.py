"""The settings that the scheduler requires, handed in as values: of all, and of each pool."""

from __future__ import annotations

from typing import Literal

import msgspec

#: The provider of the boss's own processes, and the name of their pool.
LOCAL = "local"


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker that the boss did not start may say it is: what an operator granted with its login."""

    pool: str = ""
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    #: At most; 0: as the policy says of all.
    slots: int = 0


class PoolPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of worker, as the settings describe it."""

    name: str
    provider: str = LOCAL
    #: `datastore`: its one machine is the datastore's.
    role: Literal["workers", "datastore"] = "workers"
    #: Never fewer workers than this; never more instances.
    min_workers: int = 1
    max_workers: int = 1
    #: Kept ready beyond the demand.
    spare: int = 0
    #: 0: as fast as `max_workers` allows; 1: as cheap as can be.
    cost_weight: float = 0.25
    #: Seconds for which a worker without work is kept where none is known to come.
    idle: float = 60.0
    #: Instance-seconds in a month, and for one batch; None: no limit.
    month_budget: float | None = None
    batch_budget: float | None = None
    #: Seconds from the request to the hello, until they were measured; and after how many none is expected.
    boot: float = 60.0
    boot_timeout: float = 300.0
    orphan_after: float = 600.0
    #: Slots of a worker; 0: not known before its hello.
    slots: int = 0
    #: Slots that a worker is believed to have, at most; 0: `slots`, and where that is 0 too, as the policy says of all.
    max_slots: int = 0
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    #: Pools of higher priority are used first, then cheaper ones.
    cost: float = 1.0
    priority: int = 0
    #: True: an instance finds the home of the one before it with the same worker id (processes, fixed hosts).
    keeps_home: bool = True
    #: A machine has a network interface in this network while init tasks run on it; empty: none.
    init_network: str = ""

    def grows(self) -> bool:
        """False: it is kept at `min_workers`. Processes of the boss's own machine, and the datastore's machine."""
        return self.provider != LOCAL and self.role == "workers"


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of all. Seconds where no other unit is named."""

    heartbeat: float = 5.0
    lease: float = 30.0
    orphan_after: float = 600.0
    #: An order that is not confirmed is sent again after this.
    resend: float = 5.0
    #: The datastore is asked again for an answer that did not come.
    ask_again: float = 30.0
    #: A worker is sent ahead as many tasks as it executes in this time ...
    prefetch: float = 0.5
    #: ... but at most this many.
    prefetch_max: int = 512
    #: Slots that a worker is believed to have where neither its pool nor its login says how many, at most.
    max_slots: int = 1024
    #: Executions of one init task on one worker before the worker is quarantined.
    init_tries: int = 3
    #: Failures in a row that were a worker's own fault before it is quarantined.
    strikes: int = 3
    #: Pause before a worker that is quarantined gets one task to prove itself; doubled up to probe_max. 0: none.
    probe: float = 60.0
    probe_max: float = 3600.0
    #: Workers seen to die under one task before it is failed (poison).
    deaths: int = 3
    #: Of tasks whose profile leaves it open: how often a failed one is retried, and the pause before the first retry,
    #: doubled up to retry_delay_max.
    retries: int = 0
    retry_delay: float = 1.0
    retry_delay_max: float = 300.0
    #: Bytes of orders in one message, by estimate.
    order_bytes: int = 256 * 1024
    #: Before a crashed instance is started again: this, doubled up to restart_max.
    restart: float = 1.0
    restart_max: float = 30.0
    #: Before a pool that cannot grow (quota, no address left) is tried again: this, doubled up to full_max.
    full: float = 30.0
    full_max: float = 900.0
    #: At least so long between two decisions about how many workers there are to be.
    scale_pause: float = 2.0
    #: Instances of one pool that are requested and not made yet, at most: the demand may change meanwhile.
    starts_at_once: int = 20
    pools: tuple[PoolPolicy, ...] = ()
    #: By worker: what operators granted to those that they start themselves.
    grants: dict[str, Grant] = msgspec.field(default_factory=dict)

    def pool(self, name: str) -> PoolPolicy:
        """By its name; of an instance whose pool the settings do not name any more: one that is to have none."""
        for pool in self.pools:
            if pool.name == name:
                return pool
        return PoolPolicy(name=name, provider="", min_workers=0, max_workers=0)
