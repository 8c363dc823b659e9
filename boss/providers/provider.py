"""The provider interface: a handful of verbs, asynchronous by nature.

A provider is asked by `start` and `stop`, which return at once; what came of it is told through `told`, as
the core's events, from any thread. After a start of the boss `adopt` is called once with every instance that
is on record, and the provider tells the fate of each. A provider is made by a function `make(pool, around)`,
which `boss.providers.registry` finds by the provider's name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

import msgspec

from boss.core.events import (
    InstanceEnded,
    InstancePlaced,
    InstanceStarted,
    InstanceStartFailed,
    NetworkAttached,
    NetworkAttachFailed,
    NetworkDetached,
)
from boss.setup import PoolSetup

OfInstance = InstanceStarted | InstancePlaced | InstanceStartFailed | InstanceEnded
OfProvider = OfInstance | NetworkAttached | NetworkAttachFailed | NetworkDetached
Notify = Callable[[OfProvider], None]


class ProviderError(Exception):
    """A pool's settings cannot serve this provider; a sentence. Root of what a provider raises of its own: `HostError`
    (static), `CloudError` (opennebula).
    """


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """An instance as the boss has it on record."""

    instance: int
    worker: str
    #: Empty: the call was made or not, nobody knows.
    reference: str


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How many more instances the provider would make now, as far as it can tell; None: it cannot."""

    more: int | None = None
    #: What limits it; empty: nothing does.
    reason: str = ""


class Guest(msgspec.Struct, frozen=True, kw_only=True):
    """What the machine of one worker is told at its start. Made anew for each start: tokens are short-lived."""

    #: ECLOUD_* variables.
    variables: Mapping[str, str]
    #: Run by root at each boot, or by hand; holds no secret.
    script: str


def no_bundle(name: str) -> Path:
    raise OSError(f"this boss makes no bundle {name} of the agent")


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What the boss hands to every provider: functions, because an edge does not import another one."""

    deployment: str
    state_directory: Path
    told: Notify
    #: (instance, worker) -> what its machine is told. May block; raises OSError with a sentence.
    guest: Callable[[int, str], Guest]
    #: Of the processes that the boss starts beside itself.
    command: list[str]
    environment: Callable[[str], Mapping[str, str]]
    log_path: Callable[[str], Path]
    #: (argv, environment, log) -> id of a process in a session of its own; id -> its start time, None: there is none.
    spawn: Callable[[list[str], Mapping[str, str], Path], int]
    identify: Callable[[int], int | None]
    #: The boss's private SSH key, and the lines for authorized_keys of a worker's user.
    ssh_key: Path
    authorized_keys: tuple[str, ...] = ()
    #: "3.11-x86_64" -> file of the agent's bundle for such hosts. May block; raises OSError with a sentence.
    bundle: Callable[[str], Path] = no_bundle


class Provider(Protocol):
    """What starts and stops instances of one kind."""

    #: What keeps it from its work at present, a sentence; empty: nothing does.
    trouble: str

    def adopt(self, recorded: Iterable[Recorded]) -> None:
        """The boss has started: watch those that live, tell of those that are gone."""
        ...

    def start(self, instance: int, worker: str) -> None:
        """Make one for this worker. Notifies InstanceStarted or InstanceStartFailed."""
        ...

    def stop(self, instance: int, worker: str, reference: str) -> None:
        """End it. Notifies InstanceEnded when it is gone; asking twice is no error."""
        ...

    def limits(self) -> Limits:
        """As it knows them without asking anybody."""
        ...

    def close(self) -> None:
        """The boss ends: no more is told."""
        ...


@runtime_checkable
class WithCards(Protocol):
    """What a provider may do besides: further network cards of machines. Asking again is no error."""

    def attach(self, reference: str, network: str, done: Callable[[str, str], None]) -> None:
        """`done(card, "")` once it is there, or `done("", why not)`."""
        ...

    def detach(self, reference: str, card: str, done: Callable[[str, str], None]) -> None:
        """`done(card, "")` once it is gone, or its machine is; or `done("", why not)`."""
        ...


Make = Callable[[PoolSetup, Surroundings], Provider]
