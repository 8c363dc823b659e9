"""What the cloud lists of deployments: machines by the mark that `deploy` and its boss give them.

The mark is the only thing that is trusted: names can be another user's.
"""

from __future__ import annotations

from boss.providers.opennebula.client import CloudClient
from boss.providers.opennebula.machines import CloudMachine, Seen

BOSS, DATASTORE = "boss", "datastore"


def machines(client: CloudClient, mark: str = "") -> list[CloudMachine]:
    """Of one deployment, or of all of this account; oldest first. Raises CloudError."""
    found = client.all_machines()
    return sorted(one for one in found if one.deploy and mark in ("", one.deploy) and one.seen is not Seen.GONE)
