"""Transfers to and from other hosts: rsync over SSH, one at a time for each worker and direction.

This puts the parts together: `sending` brings inputs into a worker's cache, `fetching` brings results into incoming,
both by the `runs` that share each host's connection.
"""

from __future__ import annotations

from pathlib import Path

from datastore.disk.content import Stopped
from datastore.disk.tree import Tree
from datastore.disk.versions import Versions
from datastore.paths import OWN_FOLDER
from datastore.transfers.children import end_leftovers, environment, mark_of
from datastore.transfers.connections import Connections
from datastore.transfers.fetching import Fetching
from datastore.transfers.runs import Runs
from datastore.transfers.sending import Sending, sweep


class SshTransfers:
    def __init__(self, tree: Tree, versions: Versions, key: Path | None, stopped: Stopped) -> None:
        """Ends what a former start left, before anything else. `key`: the private key for all workers."""
        mark = mark_of(tree.fd)
        end_leftovers(mark)
        sweep(tree)
        connections = Connections(key, mark, tree.root / OWN_FOLDER / "ssh-folder")
        self.runs = Runs(tree, connections, environment(mark), stopped)
        self.sending = Sending(tree, versions, self.runs, stopped)
        self.fetching = Fetching(tree, self.runs, stopped)
