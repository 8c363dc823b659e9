"""What the cloud lists of deployments: machines by the mark that `deploy` and its boss give them.

The mark is the only thing that is trusted: names can be another user's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from boss.providers.opennebula.client import CloudClient
from boss.providers.opennebula.machines import DEPLOY, ROLE, WORKER, Seen, address_of, seen_of, why_broken

BOSS, DATASTORE = "boss", "datastore"


class Listed(NamedTuple):
    """One machine that bears a deployment's mark and is not done."""

    id: int
    name: str
    mark: str
    #: boss, datastore or worker.
    role: str
    worker: str
    seen: Seen
    address: str
    message: str


def machines(client: CloudClient, mark: str = "") -> list[Listed]:
    """Of one deployment, or of all of this account; oldest first. Raises CloudError."""
    found = [_listed(vm) for vm in client.all_machines()]
    return sorted(one for one in found if one.mark and mark in ("", one.mark) and one.seen is not Seen.GONE)


def _listed(vm: Any) -> Listed:
    marks: Mapping[str, object] = vm.USER_TEMPLATE or {}
    state, lcm = int(vm.STATE), int(vm.LCM_STATE)
    seen = seen_of(state, lcm)
    said = str(marks.get("ERROR") or marks.get("SCHED_MESSAGE") or "")
    return Listed(
        id=int(vm.ID),
        name=str(vm.NAME),
        mark=str(marks.get(DEPLOY) or ""),
        role=str(marks.get(ROLE) or ""),
        worker=str(marks.get(WORKER) or ""),
        seen=seen,
        address=address_of(vm.TEMPLATE or {}),
        message=why_broken(state, lcm, said) if seen is Seen.BROKEN else said,
    )
