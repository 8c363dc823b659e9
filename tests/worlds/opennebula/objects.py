"""What a front-end keeps: accounts, networks with leases, images, templates, machines; how long things take; knobs.

Values only; what may be done with them, and what is answered, is in `machines`, `accounts` and `front_end`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

AUTHENTICATION, AUTHORIZATION, NO_EXISTS, ACTION, INTERNAL, ALLOCATE = 0x100, 0x200, 0x400, 0x800, 0x2000, 0x4000

Attributes = dict[str, Any]


class Refuse(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass
class Quota:
    """Limits; None: none."""

    vms: int | None = None
    cpu: float | None = None
    memory: int | None = None
    #: Network id -> leases.
    leases: dict[int, int] = field(default_factory=dict)


@dataclass
class User:
    id: int
    name: str
    password: str
    group: int = 1
    #: Login token -> when it ends (time.time), -1: never. A server keeps at most ten.
    tokens: dict[str, float] = field(default_factory=dict)
    quota: Quota = field(default_factory=Quota)

    def may_enter(self, secret: str) -> bool:
        until = self.tokens.get(secret)
        return secret == self.password or (until is not None and (until == -1 or time.time() < until))


@dataclass
class Network:
    id: int
    name: str
    addresses: list[str]
    owner: str = "ecloud"
    #: May be used and looked at by others too.
    open: bool = True


@dataclass
class Image:
    id: int
    name: str
    owner: str = "ecloud"
    persistent: bool = False
    #: Of its TEMPLATE.
    attributes: Attributes = field(default_factory=dict)
    size: int = 1024
    type: int = 0


@dataclass
class Template:
    id: int
    name: str
    attributes: Attributes
    owner: str = "ecloud"


@dataclass
class Machine:
    id: int
    name: str
    owner: str
    template: Attributes
    user_template: Attributes
    made_at: float
    #: (network, address) by number of the network interface.
    nics: dict[int, tuple[int, str]]
    #: Number of its template, -1: none.
    template_id: int = -1
    #: Set when its end was asked for.
    ended_at: float | None = None
    #: It never leaves this (state, lcm), whatever the time.
    stuck: tuple[int, int] | None = None
    #: A network interface is being attached or detached until then.
    plugging_until: float = 0.0
    booted: bool = False
    #: Its operating system runs: it is not done before that has ended (`Cloud`).
    os_runs: bool = False
    placed: bool = False
    images: list[int] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Of the first network interface; empty: it has none."""
        return self.nics[min(self.nics)][1] if self.nics else ""


@dataclass
class Timing:
    """Seconds of each state, of a termination, of a network interface that is attached."""

    pending: float = 0.05
    prolog: float = 0.05
    boot: float = 0.05
    shutdown: float = 0.05
    plug: float = 0.05


@dataclass
class Knobs:
    """How it misbehaves. Names of calls as in XML-RPC, without `one.`."""

    #: Seconds before a call is worked on, and between its effect and its answer.
    before: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)
    #: Every call answers HTTP 503.
    down: bool = False
    #: Machines that get this (state, lcm) for good, in the order in which they are made; None: a good one.
    stuck: list[tuple[int, int] | None] = field(default_factory=list)
    #: Of VMs, for each account that has no limit of its own.
    quota: int | None = None
    #: No host has room: machines stay pending.
    no_capacity: bool = False
    #: So many of the next machines that run have an operating system that never says anything (`Cloud`).
    silent: int = 0
    #: The server has no OneGate: TOKEN="YES" is refused.
    no_onegate: bool = True
    #: What a user may not give with a machine.
    restricted: tuple[str, ...] = ("NIC/MAC", "CONTEXT/FILES")
    #: Calls that are refused so: tried in order, once each.
    refuse: dict[str, list[Refuse]] = field(default_factory=dict)
