"""What OpenNebula says of a virtual machine, and what that means for us. Pure.

States are compared as plain integers: pyone's list of them ends before the server's does. RUNNING says that the
hypervisor started it, no more: whether a worker lives in it is told by the worker's hello alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

PENDING, HOLD, ACTIVE, DONE, POWEROFF = 1, 2, 3, 6, 8
_RUNNING, _UNKNOWN = 3, 16
_ENDING = frozenset({10, 11, 12, 13, 23, 29, 30})  # epilogs, shutdowns, cleanups
_FAILED = frozenset({14, 36, 37, 38, 39, 40, 41, 42, 44, 46, 47, 48, 49, 50, 61})

#: Our marks in USER_TEMPLATE. Only what bears our deployment's is ever touched.
DEPLOYMENT, WORKER, INSTANCE = "ECLOUD_DEPLOYMENT", "ECLOUD_WORKER", "ECLOUD_INSTANCE"


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


class Machine(NamedTuple):
    """One listed machine with our mark."""

    id: int
    worker: str
    #: Number of the instance that it was made for.
    instance: int
    seen: Seen
    address: str
    #: Why it waits or broke, in OpenNebula's words.
    message: str


def seen_of(state: int, lcm: int) -> Seen:
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
    id: int, state: int, lcm: int, template: Mapping[str, object], marks: Mapping[str, object], deployment: str
) -> Machine | None:
    """None: it is not ours. `template`, `marks`: TEMPLATE and USER_TEMPLATE as pyone gives them."""
    if marks.get(DEPLOYMENT) != deployment:
        return None
    number = str(marks.get(INSTANCE) or "")
    return Machine(
        id=id,
        worker=str(marks.get(WORKER) or ""),
        instance=int(number) if number.isdigit() else 0,
        seen=seen_of(state, lcm),
        address=address_of(template),
        message=str(marks.get("ERROR") or marks.get("SCHED_MESSAGE") or ""),
    )


def address_of(template: Mapping[str, object]) -> str:
    """Of the first network card: one is a dict, several are a list, none is no key."""
    cards = template.get("NIC")
    first = cards[0] if isinstance(cards, list) and cards else cards
    return str(first.get("IP") or "") if isinstance(first, Mapping) else ""


def why_broken(state: int, lcm: int, message: str) -> str:
    """For people."""
    if state == POWEROFF:
        return "it was switched off, or switched itself off"
    said = f": {message}" if message else ""
    if lcm in _FAILED:
        return f"OpenNebula could not start it{said}"
    return f"it is in state {state}, in which nothing of ours puts it{said}"
