"""The provider interface: a handful of verbs, asynchronous by nature.

A provider is asked by `start` and `stop`, which return at once; it notifies of the outcome by the core's events, from
any thread. After a start of the boss `adopt` is called once with every instance on record, and the provider notifies of
the fate of each. It is made by a function `make(pool, services)`, which `boss.providers.registry` finds by its name.
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
    #: Empty: whether the call was made is unknown.
    reference: str


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How many more instances the provider would make now, as far as it can tell; None: it cannot."""

    more: int | None = None
    #: What limits it; empty: nothing does.
    reason: str = ""


class BootstrapData(msgspec.Struct, frozen=True, kw_only=True):
    """What the machine of one worker is given at its start. Made again for each start: tokens are short-lived."""

    #: ECLOUD_* variables.
    variables: Mapping[str, str]
    #: Run by root at each boot, or by an operator; holds no secret.
    script: str


class BossServices(msgspec.Struct, frozen=True, kw_only=True):
    """What the boss gives to every provider."""

    deployment: str
    state_directory: Path
    notify: Notify
    #: (instance, worker) -> what its machine is given. May block; raises OSError with a sentence.
    bootstrap_data: Callable[[int, str], BootstrapData]
    #: "3.11-x86_64" -> file of the agent's bundle for such hosts. May block; raises OSError with a sentence.
    bundle: Callable[[str], Path]
    #: Worker -> environment of its process beside the boss. May block; raises EmbeddedError, OSError.
    local_environment: Callable[[str], Mapping[str, str]]
    #: The boss's private SSH key.
    ssh_key: Path


class Provider(Protocol):
    """What starts and stops instances of one kind."""

    #: What keeps it from its work at present, a sentence; empty: nothing does.
    warning: str

    def adopt(self, recorded: Iterable[Recorded]) -> None:
        """The boss has started: watch those that live, notify of those that have terminated."""
        ...

    def start(self, instance: int, worker: str) -> None:
        """Make one for this worker. Notifies InstanceStarted or InstanceStartFailed."""
        ...

    def stop(self, instance: int, worker: str, reference: str) -> None:
        """Terminate it. Notifies InstanceEnded when it has; asking twice is no error."""
        ...

    def limits(self) -> Limits:
        """As it knows them without a call."""
        ...

    def close(self) -> None:
        """The boss ends: notifies no more."""
        ...


@runtime_checkable
class NicProvider(Protocol):
    """What a provider may do besides: further network interfaces (NICs) of machines. Asking again is no error."""

    def attach(self, reference: str, network: str, done: Callable[[str, str], None]) -> None:
        """`done(nic, "")` once it is there, or `done("", why not)`."""
        ...

    def detach(self, reference: str, nic: str, done: Callable[[str, str], None]) -> None:
        """`done(nic, "")` once it is removed, or its machine is; or `done("", why not)`."""
        ...


Make = Callable[[PoolSetup, BossServices], Provider]
