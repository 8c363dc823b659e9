"""Transfers to and from other hosts: rsync over SSH, one at a time for each worker and direction.

This puts the parts together: `sending` brings inputs into a worker's cache, `fetching` brings results into incoming,
both by the `runs` that share each host's connection.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from datastore.disk.content import Stopped
from datastore.disk.tree import Tree
from datastore.disk.versions import Versions
from datastore.paths import OWN_FOLDER
from datastore.transfers import send_folder
from datastore.transfers.children import end_leftovers, environment, mark_of
from datastore.transfers.connections import Connections
from datastore.transfers.fetching import Fetching, TellFetched, Unwanted
from datastore.transfers.runs import Runs
from datastore.transfers.sending import Sending, TellStaged
from wire.messages import AttemptKey, Collect, Place, Stage


class SshTransfers:
    def __init__(self, tree: Tree, versions: Versions, key: Path | None, stopped: Stopped) -> None:
        """Ends what a former start left, before anything else. `key`: the private key for all workers."""
        mark = mark_of(tree.fd)
        end_leftovers(mark)
        send_folder.sweep(tree)
        connections = Connections(key, mark, tree.root / OWN_FOLDER / "ssh-folder")
        self._runs = Runs(tree, connections, environment(mark), stopped)
        self._sending = Sending(tree, versions, self._runs, stopped)
        self._fetching = Fetching(tree, self._runs, stopped)

    def stage(self, worker: str, place: Place, jobs: list[Stage], tell: TellStaged) -> None:
        """Answer every job, all of one place. Raises only CopyStoppedError."""
        self._sending.stage(worker, place, jobs, tell)

    def fetch(self, worker: str, place: Place, jobs: list[Collect], tell: TellFetched, unwanted: Unwanted) -> None:
        """Answer every job, all of one place. Raises only CopyStoppedError."""
        self._fetching.fetch(worker, place, jobs, tell, unwanted)

    def discard(self, keys: Iterable[AttemptKey]) -> None:
        """Nothing more is wanted of these attempts: remove what was kept for another try."""
        self._fetching.discard(keys)

    def end_unwanted(self, unwanted: Unwanted) -> None:
        """Something is not wanted any more: end the fetches of which nothing is."""
        self._runs.end_unwanted(unwanted)

    def stop(self) -> None:
        """End all that is under way; whoever waits for it raises CopyStoppedError (`stopped` is true by now)."""
        self._runs.stop()
