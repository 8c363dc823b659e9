"""What OpenNebula says of a virtual machine, and what that means for us. Pure.

States are compared as plain integers: pyone's list of them ends before the server's does. RUNNING says that the
hypervisor started it, no more: whether a worker lives in it is known by the worker's hello alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

PENDING, HOLD, ACTIVE, DONE, POWEROFF = 1, 2, 3, 6, 8
_RUNNING, _UNKNOWN = 3, 16
_ENDING = frozenset({10, 11, 12, 13, 23, 29, 30})  # epilogs, shutdowns, cleanups
_FAILED = frozenset({14, 36, 37, 38, 39, 40, 41, 42, 44, 46, 47, 48, 49, 50, 61})

#: Our marks in USER_TEMPLATE. Only what has our deployment's is ever touched. The instance's number is the mark's
#: generation: the same worker's next machine has a higher one, and no number is used twice.
DEPLOYMENT, POOL, WORKER, INSTANCE = "ECLOUD_DEPLOYMENT", "ECLOUD_POOL", "ECLOUD_WORKER", "ECLOUD_INSTANCE"
#: What the machine is for: worker, datastore, boss.
ROLE = "ECLOUD_ROLE"
#: Of what `admin.py deploy` made, and of all that its boss makes.
DEPLOY = "ECLOUD_DEPLOY"


class Seen(StrEnum):
    """What a machine is to us."""

    #: No host has taken it yet.
    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    #: It is not executed any more, or never was, and stays so: to be terminated.
    BROKEN = "broken"
    #: Its host does not answer.
    UNREACHABLE = "unreachable"
    ENDING = "ending"
    GONE = "gone"


class Nic(NamedTuple):
    """A network interface."""

    id: str
    network: str
    network_id: str
    address: str


class CloudMachine(NamedTuple):
    """One listed machine, with what our marks say of it."""

    id: int
    worker: str
    #: Number of the instance that it was made for.
    instance: int
    seen: Seen
    address: str
    #: Why it waits, in OpenNebula's words, or why it is broken, in ours.
    message: str
    pool: str = ""
    nics: tuple[Nic, ...] = ()
    name: str = ""
    deployment: str = ""
    #: Mark of the `admin.py deploy` that it comes from.
    deploy: str = ""
    #: boss, datastore or worker.
    role: str = ""


def seen_of(state: int, lcm: int) -> Seen:
    """What a machine's STATE and LCM_STATE mean; their numbers are those of OpenNebula's reference of VM states."""
    if state in (PENDING, HOLD):
        return Seen.WAITING
    if state == DONE:
        return Seen.GONE
    if state != ACTIVE:
        return Seen.BROKEN  # stopped, suspended, powered off, undeployed: nothing of ours asks for these
    if lcm == _RUNNING:
        return Seen.RUNNING
    if lcm == _UNKNOWN:
        return Seen.UNREACHABLE
    if lcm in _FAILED:
        return Seen.BROKEN
    return Seen.ENDING if lcm in _ENDING else Seen.STARTING


def machine_of(
    id: int, state: int, lcm: int, template: Mapping[str, object], marks: Mapping[str, object], name: str = ""
) -> CloudMachine:
    """`template`, `marks`: TEMPLATE and USER_TEMPLATE as pyone gives them."""
    number = str(marks.get(INSTANCE) or "")
    seen = seen_of(state, lcm)
    said = str(marks.get("ERROR") or marks.get("SCHED_MESSAGE") or "")
    return CloudMachine(
        id=id,
        worker=str(marks.get(WORKER) or ""),
        instance=int(number) if number.isdigit() else 0,
        seen=seen,
        address=address_of(template),
        message=why_broken(state, lcm, said) if seen is Seen.BROKEN else said,
        pool=str(marks.get(POOL) or ""),
        nics=nics_of(template),
        name=name,
        deployment=str(marks.get(DEPLOYMENT) or ""),
        deploy=str(marks.get(DEPLOY) or ""),
        role=str(marks.get(ROLE) or ""),
    )


def nics_of(template: Mapping[str, object]) -> tuple[Nic, ...]:
    """One is a dict, several are a list, none is no key."""
    given = template.get("NIC")
    several = given if isinstance(given, list) else [given]
    return tuple(
        Nic(*(str(one.get(name) or "") for name in ("NIC_ID", "NETWORK", "NETWORK_ID", "IP")))
        for one in several
        if isinstance(one, Mapping)
    )


def address_of(template: Mapping[str, object]) -> str:
    """Of the first network interface; empty: there is none, or it has none."""
    nics = nics_of(template)
    return nics[0].address if nics else ""


def why_broken(state: int, lcm: int, message: str) -> str:
    """For users."""
    if state == POWEROFF:
        return "it was switched off, or switched itself off"
    said = f": {message}" if message else ""
    if lcm in _FAILED:
        return f"OpenNebula could not start it{said}"
    return f"it is in state {state}, in which nothing of ours puts it{said}"


def owner_and_name(given: str) -> tuple[str, str]:
    """Of a network or an image, as the settings name it: owner/name, or a name alone. The owner is empty then."""
    owner, _, name = given.rpartition("/")
    return owner, name
