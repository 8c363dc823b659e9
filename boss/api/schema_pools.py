"""The bodies of the HTTP API about pools, instances, and changes of workers' machines. Values only."""

from __future__ import annotations

import msgspec


class _Body(msgspec.Struct, kw_only=True):
    pass


class _Viewed(msgspec.Struct, kw_only=True, frozen=True):
    """Part of the boss's view as it is: never changed once it is handed out."""


class InstanceAnswer(_Viewed, frozen=True):
    """A machine or process that was requested of a provider, and that has not ended."""

    number: int
    worker: str
    pool: str
    provider: str
    #: requested, booting, running or stopping.
    state: str
    #: What the provider calls it; empty until it has answered.
    reference: str = ""
    address: str = ""
    #: What led to its state.
    reason: str = ""
    #: Scaling in spares it.
    keep_alive: bool = False
    #: In seconds since 1970; `since`: of its last change.
    requested_at: float = 0.0
    since: float = 0.0


class InstanceList(_Body):
    instances: list[InstanceAnswer]


class PlanAnswer(_Viewed, frozen=True):
    """The last decision about a pool's size."""

    reason: str
    why_not_more: str = ""
    #: Of `why_not_more`: limit, cannot_grow, budget, failures, one_try, starts_at_once, not_worth_it, enough, no_work.
    why_not_more_kind: str = ""
    why_not_fewer: str = ""
    #: Of `why_not_fewer`: worth_it, wanted_soon, minimum, just_idle or busy.
    why_not_fewer_kind: str = ""
    #: What it was decided on, by name; null: without end.
    numbers: dict[str, float | None] = msgspec.field(default_factory=dict)
    #: In seconds since 1970; 0: nothing was decided yet.
    decided_at: float = 0.0


class PoolAnswer(_Viewed, frozen=True):
    name: str
    provider: str
    #: workers, or datastore.
    role: str
    min: int
    max: int
    spare: int
    #: Its size follows the work; false: it is kept at `min`.
    grows: bool
    #: false: it is no longer in the settings, and only instances of it are left.
    in_settings: bool
    plan: PlanAnswer
    #: Instances by state.
    instances: dict[str, int]
    #: What a boot is expected to take, and of how many boots that was learned; 0: it is the configured one.
    boot_seconds: float
    boots_measured: int
    #: Failures in a row, and the text of the last one.
    failures: int = 0
    failed: str = ""
    #: Why the pool cannot grow (quota, no address left); empty: it can.
    full: str = ""
    #: Nothing is started before, in seconds since 1970; 0: it may be.
    retry_at: float = 0.0
    #: Hours of its instances in the last 30 days, and what is left of the month's budget; null: there is none.
    hours_spent: float = 0.0
    hours_left: float | None = None
    #: How many more the provider can start, as far as it knows, and what limits it.
    more: int | None = None
    limited_by: str = ""


class PoolList(_Body):
    pools: list[PoolAnswer]


class StartRequest(_Body, forbid_unknown_fields=True):
    count: int = 1
    #: Empty: the pool that is used first.
    pool: str = ""
    #: Scaling in spares them.
    keep_alive: bool = False


class StartedAnswer(_Body):
    pool: str
    #: Their ids; they say hello when they have booted.
    workers: list[str]
    #: What was not done, a sentence each.
    notes: list[str]


class TerminateRequest(_Body, forbid_unknown_fields=True):
    """Those of these ids and of these pools, or with `all` every one that the boss started elsewhere."""

    workers: list[str] = msgspec.field(default_factory=list)
    pools: list[str] = msgspec.field(default_factory=list)
    all: bool = False
    #: True: what they execute is lost, and runs elsewhere. False: they finish it first.
    now: bool = False


class TerminatedAnswer(_Body):
    ended: list[str]
    #: These finish the tasks that they hold first.
    draining: list[str]
    notes: list[str]


class DropRequest(_Body, forbid_unknown_fields=True):
    """Those of these ids, or with `all` every one; neither: those that are lost."""

    workers: list[str] = msgspec.field(default_factory=list)
    all: bool = False


class DroppedAnswer(_Body):
    dropped: list[str]
    notes: list[str]
